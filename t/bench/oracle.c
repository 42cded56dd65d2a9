
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The same upstreams, balancer and policy of hedging as in a bench, as a
 * simulation of events: what a perfect proxy without costs would reach.
 *
 *     cc -std=c99 -O2 -o oracle oracle.c -lm
 *     oracle -d DISTRIBUTION -r RATE -n REQUESTS [options]
 *
 *     -s SEED
 *     -w REQUESTS     leave the first ones out of the figures
 *     -p PEERS        (3)
 *     -k SERVERS      each peer has so many, and a queue before them; a
 *                     cancelled request keeps its server, or its place in the
 *                     queue.  0: as many as are wanted (the default)
 *     -l rr|least     balancer (rr)
 *     -f PEER,FACTOR  one peer is slower
 *     -S MS,FACTOR    from that time on all are slower
 *     -h PERCENTILE   hedge; 0: never (the default)
 *     -H MS           hedge after a fixed delay
 *     -b PERCENT      budget, 0: none (the default); -B BURST (10)
 *     -g prefer|other|idle
 *     -m NUMBER       least samples before the first hedge (100)
 *     -M MS           longest delay
 *     -a LOW,HIGH,MIN the budget shrinks with load: median of attempts that
 *                     start while more is in flight than on average, over that
 *                     of the others, is 1 without queues.  Up to LOW all of the
 *                     budget, from HIGH on MIN of it
 *     -y FRACTION     while that ratio is above LOW, a hedge waits for less
 *                     than average in flight: each FRACTION of the delay
 *     -t              delays in whole ms, rounded up, as timers of nginx are
 *     -o FILE         write the latency of each request, us, uint32
 *
 * The result is one line of JSON, times in ms.
 */

#define _GNU_SOURCE

#include <inttypes.h>
#include <unistd.h>

#include "dist.h"
#include "latency.h"


#define MAX_PEERS   16
#define WINDOWS     6
#define BUCKETS     1024


typedef struct {
    double       created;
    unsigned     request;
    unsigned     peer;
    unsigned     finished;           /* or cancelled */
    unsigned     next;               /* in the queue of the peer, 0: none */
    unsigned     high;               /* more in flight than on average */
    double       time;               /* of service, ms */
} attempt_t;

typedef struct {
    double       due;
    unsigned     first;              /* attempts; 0: none */
    unsigned     second;
    unsigned     done;
} request_t;

typedef struct {
    double       at;
    enum { ARRIVAL = 0, SERVED, TRIGGER }  kind;
    unsigned     i;
} event_t;

typedef struct {
    unsigned     busy;
    unsigned     head, tail;         /* queue */
    unsigned     flight;             /* as the balancer sees it */
    double       factor;
    double       worked;             /* ms of its servers */
} peer_t;


static dist_t      dist;
static uint64_t    seed = 1;
static double      rate, percentile, fixed, budget, burst = 10, longest;
static double      shift_at, shift = 1;
static unsigned    nrequests, skip, npeers = 3, servers, least, whole;
static unsigned    warmup = 100, turn;
static enum { PREFER = 0, OTHER, IDLE }  gate;

static request_t  *requests;
static attempt_t  *attempts;
static unsigned    nattempts = 1;        /* 0 is none */
static event_t    *heap;
static unsigned    nheap;
static peer_t      peers[MAX_PEERS];
static double      now, tokens, delay = -1, refreshed = -1e9;
static uint64_t    sketch[2][WINDOWS][BUCKETS], rotated;
static double      low, high, least_share = 1, share = 1, ratio = 1, fraction;
static double      average;              /* in flight */
static unsigned    flight;
static uint32_t   *latency;              /* us */
static uint64_t    hedges, wins, denied_budget, denied_peer, denied_busy;
static const char *output;


static void
push(double at, unsigned kind, unsigned i)
{
    unsigned  k;
    event_t   e;

    for (k = nheap++; k > 0 && heap[(k - 1) / 2].at > at; k = (k - 1) / 2) {
        heap[k] = heap[(k - 1) / 2];
    }

    e.at = at;
    e.kind = kind;
    e.i = i;
    heap[k] = e;
}


static event_t
pop(void)
{
    unsigned  k, c;
    event_t   top, last;

    top = heap[0];
    last = heap[--nheap];

    for (k = 0; (c = 2 * k + 1) < nheap; k = c) {

        if (c + 1 < nheap && heap[c + 1].at < heap[c].at) {
            c++;
        }

        if (heap[c].at >= last.at) {
            break;
        }

        heap[k] = heap[c];
    }

    heap[k] = last;

    return top;
}


/* buckets 2.2 % apart, 0.001 ms to hours */
static void
sample(attempt_t *t)
{
    int       i;
    double    ms;
    uint64_t  window;

    ms = now - t->created;
    window = (uint64_t) (now / 5000);

    for ( ; rotated < window; rotated++) {
        i = (int) ((rotated + 1) % WINDOWS);
        memset(sketch[0][i], 0, sizeof(sketch[0][i]));
        memset(sketch[1][i], 0, sizeof(sketch[1][i]));
    }

    i = (int) ((log2(ms > 0.001 ? ms : 0.001) + 10) * 32);
    i = i < 0 ? 0 : i >= BUCKETS ? BUCKETS - 1 : i;

    sketch[t->high][window % WINDOWS][i]++;
}


/* of one half (0, 1) or of both (2); the count through "total" */
static double
quantile(unsigned half, double p, uint64_t *total)
{
    double    in;
    uint64_t  sum[BUCKETS], before;
    unsigned  i, w, h;

    *total = 0;
    memset(sum, 0, sizeof(sum));

    for (h = 0; h < 2; h++) {
        for (w = 0; half == 2 || h == half ? w < WINDOWS : 0; w++) {
            for (i = 0; i < BUCKETS; i++) {
                sum[i] += sketch[h][w][i];
                *total += sketch[h][w][i];
            }
        }
    }

    in = p * (double) *total;

    for (i = 0, before = 0; i < BUCKETS - 1; i++) {

        if ((double) (before + sum[i]) >= in) {
            break;
        }

        before += sum[i];
    }

    in = sum[i] ? (in - (double) before) / (double) sum[i] : 0.5;

    return pow(2, (i + in) / 32 - 10);
}


static void
refresh(void)
{
    double    of_low, of_high;
    uint64_t  total, nlow, nhigh;

    if (now - refreshed < 100) {
        return;
    }

    refreshed = now;
    delay = quantile(2, percentile / 100, &total);

    if (total < warmup || total == 0) {
        delay = -1;
        return;
    }

    if (longest > 0 && delay > longest) {
        delay = longest;
    }

    if (high <= 0) {
        return;
    }

    of_low = quantile(0, 0.5, &nlow);
    of_high = quantile(1, 0.5, &nhigh);

    ratio = nlow >= 50 && nhigh >= 50 ? of_high / of_low : 1;
    share = 1 - (1 - least_share) * (ratio - low) / (high - low);
    share = share > 1 ? 1 : share < least_share ? least_share : share;
}


/* the peer for another attempt, or npeers; "not" is excluded where that goes */
static unsigned
choose(unsigned not)
{
    unsigned  i, p, best;

    best = npeers;

    for (i = 0; i < npeers; i++) {
        p = (turn + i) % npeers;

        if (p == not) {
            continue;
        }

        if (best == npeers
            || ((least || (gate == IDLE && not < npeers))
                && peers[p].flight < peers[best].flight))
        {
            best = p;
        }
    }

    turn = (best + 1) % npeers;

    return best;
}


static void
serve(unsigned a)
{
    peer_t  *p;

    p = &peers[attempts[a].peer];

    if (servers && p->busy == servers) {

        if (p->head) {
            attempts[p->tail].next = a;

        } else {
            p->head = a;
        }

        p->tail = a;
        return;
    }

    p->busy++;
    p->worked += attempts[a].time;
    push(now + attempts[a].time, SERVED, a);
}


static unsigned
start(unsigned r, unsigned peer, unsigned k)
{
    unsigned    a;
    attempt_t  *t;

    a = nattempts++;
    t = &attempts[a];

    t->created = now;
    t->request = r;
    t->peer = peer;
    t->high = flight > average;
    t->time = dist_draw(&dist, seed, 8 * (uint64_t) r + k)
              * peers[peer].factor * (now >= shift_at ? shift : 1);

    average += (flight - average) / 512;
    flight++;
    peers[peer].flight++;

    serve(a);

    return a;
}


static void
arrive(unsigned r)
{
    double  d;

    if (r + 1 < nrequests) {
        push(now - log(dist_uniform(seed, r + 1)) * 1000 / rate, ARRIVAL,
             r + 1);
    }

    requests[r].due = now;
    requests[r].first = start(r, choose(npeers), 0);

    tokens += budget / 100 * share;
    tokens = tokens > burst ? burst : tokens;

    d = fixed;

    if (percentile > 0) {
        refresh();
        d = delay;
    }

    if (d > 0) {
        push(now + (whole ? ceil(d) : d), TRIGGER, r);
    }
}


static void
trigger(unsigned r)
{
    unsigned  peer, first;

    if (requests[r].done) {
        return;
    }

    if (fraction > 0 && ratio > low && flight > average) {
        denied_busy++;
        push(now + fraction * delay, TRIGGER, r);
        return;
    }

    first = attempts[requests[r].first].peer;
    peer = choose(npeers > 1 ? first : npeers);

    if (gate != PREFER
        && (peer == first
            || (gate == IDLE && peers[peer].flight >= peers[first].flight)))
    {
        denied_peer++;
        return;
    }

    if (budget > 0) {

        if (tokens < 1) {
            denied_budget++;
            return;
        }

        tokens--;
    }

    hedges += r >= skip;
    requests[r].second = start(r, peer, 1);
}


static void
end(unsigned a)
{
    if (a == 0 || attempts[a].finished) {
        return;
    }

    attempts[a].finished = 1;
    flight--;
    peers[attempts[a].peer].flight--;
    sample(&attempts[a]);
}


static void
served(unsigned a)
{
    peer_t     *p;
    unsigned    next;
    request_t  *r;

    p = &peers[attempts[a].peer];
    p->busy--;

    if (p->head) {
        next = p->head;
        p->head = attempts[next].next;
        p->busy++;
        p->worked += attempts[next].time;
        push(now + attempts[next].time, SERVED, next);
    }

    r = &requests[attempts[a].request];

    if (r->done) {
        return;
    }

    r->done = 1;

    end(r->first);
    end(r->second);

    wins += a == r->second && r - requests >= skip;
    latency[r - requests] = (uint32_t) ((now - r->due) * 1000);
}


static void
report(void)
{
    double    worked, n;
    unsigned  i;

    worked = 0;
    n = nrequests - skip;

    for (i = 0; i < npeers; i++) {
        worked += peers[i].worked;
    }

    if (output && latency_write(latency, nrequests, output) == -1) {
        fprintf(stderr, "oracle: cannot write %s\n", output);
        exit(2);
    }

    printf("{\"requests\":%.0f,\"hedges\":%.5f,\"wins\":%.5f,"
           "\"budget\":%.5f,\"no_peer\":%.5f,\"busy\":%.5f,\"delay\":%.2f,"
           "\"ratio\":%.3f,\"used\":%.3f,\"latency\":",
           n, (double) hedges / n, (double) wins / n,
           (double) denied_budget / nrequests,
           (double) denied_peer / nrequests,
           (double) denied_busy / nrequests, delay, ratio,
           servers ? worked / now / npeers / servers : 0);

    latency_print(latency + skip, nrequests - skip);
    printf("}\n");
}


int
main(int argc, char **argv)
{
    int       c;
    double    factor;
    unsigned  i, bad = 0;
    event_t   e;

    for (i = 0; i < MAX_PEERS; i++) {
        peers[i].factor = 1;
    }

    while ((c = getopt(argc, argv, "d:r:n:s:w:p:k:l:f:S:h:H:b:B:g:m:M:a:y:to:"))
           != -1)
    {
        switch (c) {

        case 'd': bad |= dist_parse(&dist, optarg) == -1; break;
        case 'r': rate = strtod(optarg, NULL); break;
        case 'n': nrequests = (unsigned) strtoul(optarg, NULL, 10); break;
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'w': skip = (unsigned) strtoul(optarg, NULL, 10); break;
        case 'p': npeers = (unsigned) strtoul(optarg, NULL, 10); break;
        case 'k': servers = (unsigned) strtoul(optarg, NULL, 10); break;
        case 'l': least = strcmp(optarg, "least") == 0; break;
        case 'h': percentile = strtod(optarg, NULL); break;
        case 'H': fixed = strtod(optarg, NULL); break;
        case 'b': budget = strtod(optarg, NULL); break;
        case 'B': burst = strtod(optarg, NULL); break;
        case 'm': warmup = (unsigned) strtoul(optarg, NULL, 10); break;
        case 'M': longest = strtod(optarg, NULL); break;
        case 't': whole = 1; break;
        case 'y': fraction = strtod(optarg, NULL); break;
        case 'o': output = optarg; break;

        case 'a':
            bad |= sscanf(optarg, "%lf,%lf,%lf", &low, &high, &least_share)
                   != 3;
            break;

        case 'g':
            gate = *optarg == 'i' ? IDLE : *optarg == 'o' ? OTHER : PREFER;
            break;

        case 'f':
            bad |= sscanf(optarg, "%u,%lf", &i, &factor) != 2
                   || i >= MAX_PEERS;

            if (!bad) {
                peers[i].factor = factor;
            }

            break;

        case 'S':
            bad |= sscanf(optarg, "%lf,%lf", &shift_at, &shift) != 2;
            break;

        default:
            bad = 1;
            break;
        }
    }

    if (bad || rate <= 0 || nrequests <= skip || npeers == 0
        || npeers > MAX_PEERS)
    {
        fprintf(stderr, "usage: see the head of oracle.c\n");
        return 2;
    }

    requests = calloc(nrequests, sizeof(request_t));
    attempts = calloc(2 * (size_t) nrequests + 1, sizeof(attempt_t));
    heap = calloc(4 * (size_t) nrequests + 16, sizeof(event_t));
    latency = latency_create(nrequests);

    if (!requests || !attempts || !heap || !latency) {
        return 2;
    }

    for (push(0, ARRIVAL, 0); nheap; /* void */) {

        e = pop();
        now = e.at;

        switch (e.kind) {

        case ARRIVAL: arrive(e.i); break;
        case SERVED: served(e.i); break;
        default: trigger(e.i); break;
        }
    }

    report();

    return 0;
}
