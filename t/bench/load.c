
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * A load generator for HTTP/1.1 that counts exactly: one thread, epoll, GET.
 *
 *     cc -std=c99 -O2 -o load load.c -lm
 *     load -c CONNECTIONS -n REQUESTS [options] ADDRESS:PORT URI ..
 *
 *     -r RATE      open loop: that many requests a second, whatever becomes of
 *                  them; latency counts from when a request should have been
 *                  sent.  Without it a connection sends the next request when
 *                  it has the answer to the last one
 *     -p           with -r: arrivals as of a Poisson process, not constant
 *     -s SEED      which one (1)
 *     -f NUMBER    with -r: so many requests at each arrival, a fan-out; RATE
 *                  is still that of requests
 *     -w REQUESTS  leave the first ones out of the latencies
 *     -o FILE      write all latencies in order: us, uint32, all ones for none
 *     -N           send the number of a request, from 0: X-Number
 *     -k           keep connections (the default); -K: one request on each
 *     -H HEADER    one more header line, may be repeated
 *     -t SECONDS   longest time without an answer (30)
 *
 * The URIs are asked for in turn.  A connection that the server closes is
 * replaced; a request that was on it is "repeated" if no byte of an answer had
 * come, at most MAX_TRIES times.  So requests = answers by status + errors.
 * The result is one line of JSON, times in ms.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "dist.h"
#include "latency.h"


#define MAX_TRIES   5
#define MAX_EVENTS  256
#define SECOND      UINT64_C(1000000000)


typedef enum { CONNECT = 0, CLOSED, TIMEOUT, MALFORMED, ERRORS } error_e;

typedef enum {
    STATE_FREE = 0,              /* no socket */
    STATE_IDLE,
    STATE_CONNECT,
    STATE_SEND,
    STATE_RECEIVE
} state_e;

typedef struct conn_s  conn_t;

struct conn_s {
    int          fd;
    state_e      state;
    conn_t      *next;           /* in the list of those without a request */
    uint64_t     due;            /* ns, when to send the request at best */
    uint64_t     sent_at;
    uint64_t     number;
    char        *request;
    size_t       sent;
    unsigned     tries;
    unsigned     answered;       /* some byte has come */
    answer_t     answer;
};


static struct sockaddr_in   server = { .sin_family = AF_INET };
static unsigned             nconns = 1, nuris, keepalive = 1;
static unsigned             poisson, numbered, fan = 1;
static uint64_t             nrequests = 1, timeout = 30, seed = 1, skip;
static const char          *output;
static double               rate;
static char                 headers[4096];

static int                  epoll_fd, timer_fd;
static conn_t              *conns, *ready;
static char               **requests;      /* by uri, without the last lines */
static uint64_t             start;
static double               due_next;      /* ns after the start */
static uint64_t             latest;        /* ns, of a request that was sent */

static uint64_t             started, answers, codes[600], errors[ERRORS];
static uint64_t             repeated, connections, body_bytes;
static uint32_t            *latency;       /* us, by number */


static void try_send(conn_t *c);


static void
die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}


static uint64_t
clock_ns(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * SECOND + (uint64_t) ts.tv_nsec;
}


static uint64_t
finished(void)
{
    return answers + errors[CONNECT] + errors[CLOSED] + errors[TIMEOUT]
           + errors[MALFORMED];
}


static void
close_socket(conn_t *c)
{
    if (c->fd != -1) {
        close(c->fd);
    }

    c->fd = -1;
    c->state = STATE_FREE;
}


/* the connection waits for another request */
static void
release(conn_t *c)
{
    c->next = ready;
    ready = c;
}


static void
failed(conn_t *c, error_e error)
{
    errors[error]++;

    close_socket(c);
    release(c);
}


/* the connection is gone while there is a request on it */
static void
lost(conn_t *c)
{
    if (c->answered || c->tries == MAX_TRIES) {
        failed(c, CLOSED);
        return;
    }

    repeated++;

    close_socket(c);
    try_send(c);
}


static void
complete(conn_t *c)
{
    codes[c->answer.status]++;
    body_bytes += c->answer.body;
    latency[c->number] = (uint32_t) ((clock_ns() - c->due) / 1000);
    answers++;

    if (!keepalive || c->answer.last) {
        close_socket(c);

    } else {
        c->state = STATE_IDLE;
    }

    release(c);
}


static void
send_more(conn_t *c)
{
    size_t   len;
    ssize_t  n;

    len = strlen(c->request);

    while (c->sent < len) {

        n = send(c->fd, c->request + c->sent, len - c->sent, 0);

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        if (n == -1) {
            lost(c);
            return;
        }

        c->sent += (size_t) n;
    }

    c->state = STATE_RECEIVE;
}


static void
try_send(conn_t *c)
{
    int                 one;
    struct epoll_event  ee;

    c->tries++;
    c->sent = 0;
    c->answered = 0;
    c->sent_at = clock_ns();
    answer_begin(&c->answer);

    if (c->state == STATE_IDLE) {
        c->state = STATE_SEND;
        send_more(c);
        return;
    }

    connections++;
    c->state = STATE_CONNECT;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (c->fd == -1) {
        die("socket()");
    }

    one = 1;
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    if (connect(c->fd, (struct sockaddr *) &server, sizeof(server)) == -1
        && errno != EINPROGRESS)
    {
        failed(c, CONNECT);
        return;
    }

    memset(&ee, 0, sizeof(ee));
    ee.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    ee.data.ptr = c;

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        die("epoll_ctl()");
    }
}


static void
receive(conn_t *c)
{
    int          fd;
    ssize_t      n;
    static char  buf[65536];

    fd = c->fd;

    while (c->fd == fd && c->state != STATE_CONNECT) {

        n = recv(fd, buf, sizeof(buf), 0);

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        if (c->state == STATE_IDLE) {

            /* closed, or an answer to nothing such as 408 */

            close_socket(c);
            return;
        }

        if (n <= 0) {

            if (n == 0 && answer_ends(&c->answer)) {
                complete(c);

            } else {
                lost(c);
            }

            return;
        }

        c->answered = 1;

        switch (answer_feed(&c->answer, buf, (size_t) n)) {

        case ANSWER_COMPLETE:
            complete(c);
            break;

        case ANSWER_MALFORMED:
            failed(c, MALFORMED);
            return;

        default:
            break;
        }
    }
}


static void
event(conn_t *c, uint32_t events)
{
    int        error;
    socklen_t  len;

    if (c->state == STATE_CONNECT) {

        error = 0;
        len = sizeof(error);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1
            || error)
        {
            failed(c, CONNECT);
            return;
        }

        if (!(events & EPOLLOUT)) {
            return;
        }

        c->state = STATE_SEND;
    }

    if (c->state == STATE_SEND) {
        send_more(c);
    }

    if (c->state != STATE_FREE) {
        receive(c);
    }
}


/* the request that is sent next, and the arrival of the one after it */
static void
prepare(conn_t *c)
{
    double  gap;

    c->number = started++;
    c->tries = 0;

    free(c->request);

    if (asprintf(&c->request, numbered ? "%sX-Number: %" PRIu64 "\r\n\r\n"
                                       : "%s\r\n",
                 requests[c->number % nuris], c->number)
        == -1)
    {
        die("asprintf()");
    }

    if (rate > 0 && started % fan == 0) {
        gap = (double) fan / rate * 1e9;
        due_next += poisson ? -log(dist_uniform(seed, started / fan)) * gap
                            : gap;
    }
}


/* starts what is due, on connections that have no request */
static void
begin(void)
{
    conn_t             *c;
    uint64_t            due;
    struct itimerspec   it;

    while (ready && started < nrequests) {

        due = clock_ns();

        if (rate > 0) {
            due = start + (uint64_t) due_next;

            if (due > clock_ns()) {
                memset(&it, 0, sizeof(it));
                it.it_value.tv_sec = (time_t) (due / SECOND);
                it.it_value.tv_nsec = (long) (due % SECOND);

                if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &it, NULL)) {
                    die("timerfd_settime()");
                }

                return;
            }
        }

        c = ready;
        ready = c->next;

        c->due = due;
        latest = clock_ns() - due > latest ? clock_ns() - due : latest;

        prepare(c);
        try_send(c);
    }
}


static void
expire(uint64_t now)
{
    unsigned  i;

    for (i = 0; i < nconns; i++) {
        if (conns[i].state > STATE_IDLE
            && now - conns[i].sent_at > timeout * SECOND)
        {
            failed(&conns[i], TIMEOUT);
        }
    }
}


static void
run(void)
{
    int                 i, n;
    uint64_t            swept;
    struct epoll_event  events[MAX_EVENTS];

    swept = start = clock_ns();

    for (begin(); finished() < nrequests; begin()) {

        n = epoll_wait(epoll_fd, events, MAX_EVENTS, 100);

        for (i = 0; i < n; i++) {

            /* the timer has no connection: it wakes the loop, once */

            if (events[i].data.ptr) {
                event(events[i].data.ptr, events[i].events);
            }
        }

        if (clock_ns() - swept > SECOND / 10) {
            swept = clock_ns();
            expire(swept);
        }
    }
}


static void
report(void)
{
    double     seconds;
    uint32_t   worst, *whole;
    uint64_t   i, n, classes[6] = { 0 };

    seconds = (double) (clock_ns() - start) / 1e9;

    for (i = 0; i < 600; i++) {
        classes[i / 100] += codes[i];
    }

    if (output && latency_write(latency, nrequests, output) == -1) {
        die(output);
    }

    printf("{\"requests\":%" PRIu64 ",\"answers\":%" PRIu64, nrequests,
           answers);

    for (i = 2; i < 6; i++) {
        printf(",\"%" PRIu64 "xx\":%" PRIu64, i, classes[i]);
    }

    printf(",\"codes\":{");

    for (i = 0, n = 0; i < 600; i++) {
        if (codes[i]) {
            printf("%s\"%" PRIu64 "\":%" PRIu64, n++ ? "," : "", i, codes[i]);
        }
    }

    printf("},\"late_ms\":%.3f,\"errors\":{\"connect\":%" PRIu64
           ",\"closed\":%" PRIu64
           ",\"timeout\":%" PRIu64 ",\"malformed\":%" PRIu64 "}",
           latest / 1e6, errors[CONNECT], errors[CLOSED], errors[TIMEOUT],
           errors[MALFORMED]);

    printf(",\"repeated\":%" PRIu64 ",\"connections\":%" PRIu64
           ",\"body_bytes\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.1f",
           repeated, connections, body_bytes, seconds,
           (double) answers / seconds);

    if (fan > 1) {
        whole = latency_create(nrequests / fan);

        if (whole == NULL) {
            die("start");
        }

        for (n = 0; n < nrequests / fan; n++) {

            for (worst = 0, i = n * fan; i < (n + 1) * fan; i++) {
                worst = latency[i] > worst ? latency[i] : worst;
            }

            whole[n] = worst;
        }

        printf(",\"whole\":");
        latency_print(whole + skip / fan, nrequests / fan - skip / fan);
    }

    printf(",\"latency\":");
    latency_print(latency + skip, nrequests - skip);
    printf("}\n");
}


static void
options(int argc, char **argv)
{
    int     c;
    char   *port;
    size_t  len;

    while ((c = getopt(argc, argv, "c:n:r:ps:f:Nw:o:kKH:t:")) != -1) {

        switch (c) {

        case 'c': nconns = (unsigned) strtoul(optarg, NULL, 10); break;
        case 'n': nrequests = strtoull(optarg, NULL, 10); break;
        case 'r': rate = strtod(optarg, NULL); break;
        case 'p': poisson = 1; break;
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'N': numbered = 1; break;
        case 'f': fan = (unsigned) strtoul(optarg, NULL, 10); break;
        case 'w': skip = strtoull(optarg, NULL, 10); break;
        case 'o': output = optarg; break;
        case 'k': keepalive = 1; break;
        case 'K': keepalive = 0; break;
        case 't': timeout = strtoull(optarg, NULL, 10); break;

        case 'H':
            len = strlen(headers);
            snprintf(headers + len, sizeof(headers) - len, "%s\r\n", optarg);
            break;

        default:
            optind = argc;
            break;
        }
    }

    port = argc - optind < 2 ? NULL : strchr(argv[optind], ':');

    if (port == NULL || nconns == 0 || nrequests == 0 || rate < 0
        || fan == 0 || skip >= nrequests)
    {
        fprintf(stderr, "usage: load -c CONNECTIONS -n REQUESTS [-r RATE [-p] "
                "[-s SEED] [-f FAN]] [-N] [-w REQUESTS] [-o FILE] [-k|-K] "
                "[-H HEADER] [-t SECONDS] ADDRESS:PORT URI ..\n");
        exit(2);
    }

    *port++ = '\0';
    server.sin_port = htons((uint16_t) strtoul(port, NULL, 10));

    if (inet_pton(AF_INET, argv[optind], &server.sin_addr) != 1) {
        die(argv[optind]);
    }
}


int
main(int argc, char **argv)
{
    unsigned            i;
    struct epoll_event  ee;

    options(argc, argv);

    nuris = (unsigned) (argc - optind - 1);
    conns = calloc(nconns, sizeof(conn_t));
    requests = calloc(nuris, sizeof(char *));
    latency = latency_create(nrequests);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    memset(&ee, 0, sizeof(ee));
    ee.events = EPOLLIN | EPOLLET;

    if (conns == NULL || requests == NULL || latency == NULL
        || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &ee) == -1)
    {
        die("start");
    }

    for (i = 0; i < nuris; i++) {
        if (asprintf(&requests[i], "GET %s HTTP/1.1\r\nHost: localhost\r\n"
                     "%s%s", argv[optind + 1 + i], headers,
                     keepalive ? "" : "Connection: close\r\n")
            == -1)
        {
            die("asprintf()");
        }
    }

    for (i = nconns; i > 0; i--) {
        conns[i - 1].fd = -1;
        release(&conns[i - 1]);
    }

    run();
    report();

    return answers == nrequests ? EXIT_SUCCESS : EXIT_FAILURE;
}
