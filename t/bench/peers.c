
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A simulated upstream: peers that answer after times of a seeded distribution.
 *
 *     cc -std=c99 -O2 -o peers peers.c -lm
 *     peers -d DISTRIBUTION [options]
 *
 *     -d DISTRIBUTION  see dist.h
 *     -s SEED          (1)
 *     -p PEERS         listening sockets on 127.0.0.1 (3)
 *     -k SERVERS       each peer has so many, and one queue before them: a
 *                      request takes its time of a server, and goes on taking
 *                      it when its client has left, as most programs do.
 *                      0: as many as are wanted, times alone (the default)
 *     -o FILE          write of each request when it arrived, us, and 1 if its
 *                      X-Number had come before, else 0: two uint64; complete
 *                      with each answer to /_ctl/stats
 *
 * The first line it writes are the ports. It ends with its standard input.
 *
 * A request's time is a draw by its X-Number and by how many of that number
 * came before it, so that two runs of the same requests can be compared one by
 * one.  Without X-Number each draw is the next one.
 *
 * Control, at any peer:
 *
 *     /_ctl/scale?N           all times from now on are N times as long
 *     /_ctl/peer?PEER=N       those of one peer
 *     /_ctl/seed?N            draws as of a program that starts with that seed
 *     /_ctl/stats             JSON: of each peer requests received, answered,
 *                             left by the client, waiting, most waiting, and
 *                             the time its servers worked; how late timers were
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "dist.h"
#include "heap.h"


#define MAX_PEERS    64
#define MAX_REQUEST  8192
#define MAX_EVENTS   256
#define SEEN         (1 << 22)
#define SECOND       UINT64_C(1000000000)


struct conn_s {
    int          fd;
    unsigned     peer;
    job_t       *job;
    unsigned     last;                   /* close it after the answer */
    unsigned     closed;
    conn_t      *next;                   /* of those closed in this turn */
    size_t       len;
    char         text[MAX_REQUEST + 1];
};

typedef struct {
    int          fd;
    unsigned     port;
    double       factor;
    unsigned     busy, waiting, most;
    job_t       *head, *tail;
    uint64_t     received, answered, left;
    double       worked;                 /* s */
} peer_t;


static dist_t      dist;
static uint64_t    seed = 1, drawn;
static unsigned    npeers = 3, servers;
static double      scale = 1;
static peer_t      peers[MAX_PEERS];
static uint8_t    *seen;
static int         epoll_fd, timer_fd;
static conn_t     *closed;
static FILE       *arrivals;
static uint64_t    fired, late, latest;


static void
die(const char *what)
{
    fprintf(stderr, "peers: %s: %s\n", what, strerror(errno));
    exit(2);
}


static uint64_t
clock_ns(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * SECOND + (uint64_t) ts.tv_nsec;
}


/* other events of this turn may still name it */
static void
close_conn(conn_t *c)
{
    if (c->closed) {
        return;
    }

    if (c->job) {
        peers[c->peer].left++;
        c->job->conn = NULL;
    }

    close(c->fd);
    c->closed = 1;
    c->next = closed;
    closed = c;
}


static void
answer(conn_t *c, const char *body, uint64_t ns)
{
    int   n;
    char  text[16384];

    n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n"
                 "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
                 "X-Service: %.3f\r\n%s\r\n%s", strlen(body), ns / 1e6,
                 c->last ? "Connection: close\r\n" : "", body);

    /* so little always fits into the buffer of the socket */

    if (send(c->fd, text, (size_t) n, MSG_NOSIGNAL) != n || c->last) {
        close_conn(c);
    }
}


static void
serve(job_t *job, uint64_t now)
{
    peer_t  *p;

    p = &peers[job->peer];
    p->busy++;
    p->worked += (double) job->ns / 1e9;

    job->due = now + job->ns;
    heap_push(job);
}


static uint64_t
draw(const char *text, unsigned peer, uint64_t now)
{
    double       ms;
    uint64_t     n, again, pair[2];
    const char  *number;

    again = 0;
    number = strcasestr(text, "\nX-Number:");

    if (number) {
        n = strtoull(number + sizeof("\nX-Number:") - 1, NULL, 10);
        again = seen[n % SEEN] > 0;
        n = n * 8 + (seen[n % SEEN]++ & 7);

    } else {
        n = drawn++;
    }

    if (arrivals) {
        pair[0] = now / 1000;
        pair[1] = again;

        if (fwrite(pair, sizeof(pair), 1, arrivals) != 1) {
            die("fwrite()");
        }
    }

    ms = dist_draw(&dist, seed, n) * scale * peers[peer].factor;

    return (uint64_t) (ms * 1e6);
}


static void
begin(conn_t *c, uint64_t now)
{
    job_t   *job;
    peer_t  *p;

    p = &peers[c->peer];
    p->received++;

    job = calloc(1, sizeof(job_t));

    if (job == NULL) {
        die("calloc()");
    }

    job->conn = c;
    job->peer = c->peer;
    job->ns = draw(c->text, c->peer, now);
    c->job = job;

    if (servers == 0 || p->busy < servers) {
        serve(job, now);
        return;
    }

    if (p->head) {
        p->tail->next = job;

    } else {
        p->head = job;
    }

    p->tail = job;
    p->waiting++;
    p->most = p->waiting > p->most ? p->waiting : p->most;
}


static void
finish(job_t *job, uint64_t now)
{
    conn_t   *c;
    job_t    *next;
    peer_t   *p;

    p = &peers[job->peer];
    p->busy--;

    fired++;
    late += now - job->due;
    latest = now - job->due > latest ? now - job->due : latest;

    if (p->head) {

        /* a server that was late takes the next one as if it had not been */

        next = p->head;
        p->head = next->next;
        p->waiting--;
        serve(next, job->due);
    }

    c = job->conn;

    if (c) {
        c->job = NULL;
        p->answered++;
        answer(c, "hello\n", job->ns);
    }

    free(job);
}


static void
stats(conn_t *c)
{
    size_t    n;
    char      text[12288];
    peer_t   *p;

    n = (size_t) snprintf(text, sizeof(text), "{\"timers\":%" PRIu64
                          ",\"late_ms\":%.4f,\"latest_ms\":%.4f,\"peers\":[",
                          fired, fired ? late / 1e6 / fired : 0, latest / 1e6);

    for (p = peers; p < peers + npeers; p++) {
        n += (size_t) snprintf(text + n, sizeof(text) - n,
                               "%s{\"received\":%" PRIu64 ",\"answered\":%"
                               PRIu64 ",\"left\":%" PRIu64 ",\"busy\":%u,"
                               "\"waiting\":%u,\"most\":%u,\"worked\":%.3f}",
                               p == peers ? "" : ",", p->received, p->answered,
                               p->left, p->busy, p->waiting, p->most,
                               p->worked);
    }

    snprintf(text + n, sizeof(text) - n, "]}\n");

    if (arrivals && fflush(arrivals)) {
        die("fflush()");
    }

    answer(c, text, 0);
}


static void
control(conn_t *c, const char *what)
{
    double    factor;
    unsigned  peer;

    if (strncmp(what, "stats", 5) == 0) {
        stats(c);
        return;
    }

    if (sscanf(what, "scale?%lf", &factor) == 1) {
        scale = factor;

    } else if (sscanf(what, "seed?%" SCNu64, &seed) == 1) {
        memset(seen, 0, SEEN);
        drawn = fired = late = latest = 0;

    } else if (sscanf(what, "peer?%u=%lf", &peer, &factor) == 2
               && peer < npeers)
    {
        peers[peer].factor = factor;

    } else {
        close_conn(c);
        return;
    }

    answer(c, "", 0);
}


static void
request(conn_t *c, uint64_t now)
{
    const char  *what;

    c->text[c->len] = '\0';

    if (strstr(c->text, "\r\n\r\n") == NULL) {

        if (c->len == MAX_REQUEST) {
            close_conn(c);
        }

        return;
    }

    c->len = 0;
    c->last = strcasestr(c->text, "\nConnection: close") != NULL
              || strstr(c->text, " HTTP/1.0\r\n") != NULL;

    what = strstr(c->text, " /_ctl/");

    if (what && what < strchr(c->text, '\r')) {
        control(c, what + sizeof(" /_ctl/") - 1);

    } else {
        begin(c, now);
    }
}


static void
receive(conn_t *c, uint64_t now)
{
    ssize_t  n;

    while (!c->closed) {

        n = recv(c->fd, c->text + c->len, MAX_REQUEST - c->len, 0);

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        /* nothing may come while there is an answer to wait for */

        if (n <= 0 || c->job) {
            close_conn(c);
            return;
        }

        c->len += (size_t) n;
        request(c, now);
    }
}


static void
accept_all(unsigned peer)
{
    int                 fd, one = 1;
    conn_t             *c;
    struct epoll_event  ee;

    for ( ;; ) {
        fd = accept4(peers[peer].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd == -1) {
            return;
        }

        c = calloc(1, sizeof(conn_t));

        if (c == NULL) {
            die("calloc()");
        }

        c->fd = fd;
        c->peer = peer;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

        memset(&ee, 0, sizeof(ee));
        ee.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
        ee.data.ptr = c;

        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ee) == -1) {
            die("epoll_ctl()");
        }
    }
}


static void
listen_all(void)
{
    unsigned             i;
    socklen_t            len;
    struct epoll_event   ee;
    struct sockaddr_in   sin;

    for (i = 0; i < npeers; i++) {

        memset(&sin, 0, sizeof(sin));
        sin.sin_family = AF_INET;
        sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        len = sizeof(sin);

        memset(&ee, 0, sizeof(ee));
        ee.events = EPOLLIN;
        ee.data.ptr = &peers[i];

        peers[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

        if (peers[i].fd == -1
            || bind(peers[i].fd, (struct sockaddr *) &sin, len) == -1
            || listen(peers[i].fd, 4096) == -1
            || getsockname(peers[i].fd, (struct sockaddr *) &sin, &len) == -1
            || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peers[i].fd, &ee) == -1)
        {
            die("listen");
        }

        printf("%s%u", i ? " " : "", ntohs(sin.sin_port));
    }

    printf("\n");
    fflush(stdout);
}


static void
set_timer(void)
{
    static uint64_t     set;
    struct itimerspec   it;

    if (nheap == 0 || heap[0]->due == set) {
        return;
    }

    set = heap[0]->due;
    memset(&it, 0, sizeof(it));
    it.it_value.tv_sec = (time_t) (set / SECOND);
    it.it_value.tv_nsec = (long) (set % SECOND);

    if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &it, NULL) == -1) {
        die("timerfd_settime()");
    }
}


static void
run(void)
{
    int                  i, n;
    void                *ptr;
    conn_t              *c;
    uint64_t             now;
    struct epoll_event   events[MAX_EVENTS];

    for ( ;; ) {

        for (now = clock_ns(); nheap && heap[0]->due <= now; now = clock_ns()) {
            finish(heap_pop(), now);
        }

        while (closed) {
            c = closed;
            closed = c->next;
            free(c);
        }

        set_timer();

        n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        now = clock_ns();

        for (i = 0; i < n; i++) {

            ptr = events[i].data.ptr;

            if (ptr == NULL) {
                return;
            }

            if (ptr == &timer_fd) {
                continue;
            }

            if ((char *) ptr >= (char *) peers
                && (char *) ptr < (char *) (peers + npeers))
            {
                accept_all((unsigned) ((peer_t *) ptr - peers));

            } else {
                receive(ptr, now);
            }
        }
    }
}


int
main(int argc, char **argv)
{
    int                 c, bad;
    unsigned            i;
    struct epoll_event  ee;
    struct rlimit       rl;

    bad = 1;

    while ((c = getopt(argc, argv, "d:s:p:k:o:")) != -1) {

        switch (c) {

        case 'd': bad = dist_parse(&dist, optarg); break;
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'p': npeers = (unsigned) strtoul(optarg, NULL, 10); break;
        case 'k': servers = (unsigned) strtoul(optarg, NULL, 10); break;

        case 'o':
            arrivals = fopen(optarg, "w");

            if (arrivals == NULL) {
                die(optarg);
            }

            break;

        default: optind = argc + 1; break;
        }
    }

    if (bad || optind != argc || npeers == 0 || npeers > MAX_PEERS) {
        fprintf(stderr, "usage: peers -d DISTRIBUTION [-s SEED] [-p PEERS] "
                "[-k SERVERS] [-o FILE]\n");
        return 2;
    }

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &rl);
    }

    for (i = 0; i < npeers; i++) {
        peers[i].factor = 1;
    }

    seen = calloc(SEEN, 1);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    memset(&ee, 0, sizeof(ee));
    ee.events = EPOLLIN | EPOLLET;
    ee.data.ptr = &timer_fd;

    if (seen == NULL
        || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &ee) == -1)
    {
        die("start");
    }

    /* the end of the standard input */

    ee.events = EPOLLIN | EPOLLHUP;
    ee.data.ptr = NULL;

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &ee) == -1) {
        die("the standard input has to be a pipe");
    }

    listen_all();
    run();

    return 0;
}
