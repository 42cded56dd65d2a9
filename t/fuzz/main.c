
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Runs a fuzz program without libFuzzer: every seed, then mutations of them
 * out of a fixed sequence, so that a run can be repeated.
 *
 *     redact [-n runs] [-s seed]       50000 runs, seed 1
 *     redact FILE..                    these inputs alone
 *
 * The input that something is found with is left in ./crash-SEED.
 */


#include <signal.h>
#include <unistd.h>

#include "fuzz.h"


#define FUZZ_MAX    4096
#define FUZZ_SEEDS  4096


typedef struct {
    uint8_t  *data;
    size_t    len;
} fuzz_input_t;


static fuzz_input_t   inputs[FUZZ_SEEDS];
static size_t         inputs_n;
static uint64_t       state;
static unsigned long  seed = 1;
static uint8_t        buffer[FUZZ_MAX];
static size_t         buffer_len;


static void read_seeds(const char *path);
static void run_file(const char *path);
static void mutate(void);
static void splice(size_t at, size_t gone, const uint8_t *p, size_t len);
static void run(void);
static void died(int sig);
static size_t pick(size_t n);


int
main(int argc, char **argv)
{
    int            i;
    size_t         n;
    const char    *name;
    unsigned long  runs;

    runs = 50000;
    name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

    signal(SIGABRT, died);

    for (i = 1; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        *(argv[i][1] == 'n' ? &runs : &seed) = strtoul(argv[i + 1], NULL, 10);
    }

    if (i < argc) {
        for ( /* void */ ; i < argc; i++) {
            run_file(argv[i]);
        }

        return EXIT_SUCCESS;
    }

    for (i = 0; fuzz_seeds[i]; i++) {
        read_seeds(fuzz_seeds[i]);
    }

    buffer_len = 0;
    run();

    for (n = 0; n < inputs_n; n++) {
        buffer_len = inputs[n].len;
        memcpy(buffer, inputs[n].data, buffer_len);
        run();
    }

    state = seed;

    for (n = 0; n < runs; n++) {
        mutate();
        run();
    }

    printf("ok 1 - %s: %zu seeds, %lu mutations from %lu\n1..1\n", name,
           inputs_n, runs, seed);

    for (n = 0; n < inputs_n; n++) {
        free(inputs[n].data);
    }

    return EXIT_SUCCESS;
}


static void
read_seeds(const char *path)
{
    FILE          *f;
    size_t         len;
    fuzz_input_t  *input;
    static char    line[FUZZ_MAX];

    f = fopen(path, "r");

    if (f == NULL) {
        printf("Bail out!  %s cannot be opened\n", path);
        exit(EXIT_FAILURE);
    }

    while (fgets(line, sizeof(line), f) && inputs_n < FUZZ_SEEDS) {
        len = strcspn(line, "\n");

        input = &inputs[inputs_n++];
        input->len = len;
        input->data = malloc(len + 1);

        if (input->data == NULL) {
            abort();
        }

        memcpy(input->data, line, len);
    }

    fclose(f);
}


static void
run_file(const char *path)
{
    FILE  *f;

    f = fopen(path, "r");

    if (f == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }

    buffer_len = fread(buffer, 1, sizeof(buffer), f);
    fclose(f);
    run();
}


/* some changes to a seed, or to what the last run had */

static void
mutate(void)
{
    size_t         at, len, n;
    uint8_t        byte, copy[64];
    fuzz_input_t  *other;

    if (inputs_n && (buffer_len == 0 || pick(4))) {
        other = &inputs[pick(inputs_n)];
        buffer_len = other->len;
        memcpy(buffer, other->data, buffer_len);
    }

    for (n = 1 + pick(6); n; n--) {
        at = pick(buffer_len + 1);
        len = pick(buffer_len - at + 1);
        byte = (uint8_t) pick(256);

        switch (pick(8)) {

        case 0:
            splice(at, 0, &byte, 1);
            break;

        case 1:
            splice(at, len ? 1 : 0, &byte, 1);
            break;

        case 2:
            splice(at, len < 16 ? len : 16, NULL, 0);
            break;

        case 3:
            buffer_len = at;
            break;

        case 4:
            if (len) {
                buffer[at] ^= (uint8_t) (1u << pick(8));
            }
            break;

        case 5:
            len = len < sizeof(copy) ? len : sizeof(copy);
            memcpy(copy, buffer + at, len);
            splice(pick(buffer_len + 1), 0, copy, len);
            break;

        default:
            if (inputs_n) {
                other = &inputs[pick(inputs_n)];
                len = pick(other->len + 1);
                splice(at, 0, other->data + len,
                       pick(other->len - len + 1));
            }
        }
    }
}


static void
splice(size_t at, size_t gone, const uint8_t *p, size_t len)
{
    size_t  rest;

    rest = buffer_len - at - gone;

    if (at + len + rest > sizeof(buffer)) {
        return;
    }

    memmove(buffer + at + len, buffer + at + gone, rest);

    if (len) {
        memcpy(buffer + at, p, len);
    }

    buffer_len = at + len + rest;
}


/* in memory of exactly its size, for the address sanitizer */

static void
run(void)
{
    uint8_t  *copy;

    copy = malloc(buffer_len ? buffer_len : 1);

    if (copy == NULL) {
        abort();
    }

    memcpy(copy, buffer, buffer_len);
    LLVMFuzzerTestOneInput(buffer_len ? copy : copy + 1, buffer_len);
    free(copy);
}


/* the program is at its end: what a handler should not call does no harm */

static void
died(int sig)
{
    FILE  *f;
    char   name[32];

    snprintf(name, sizeof(name), "crash-%lu", seed);
    f = fopen(name, "w");

    if (f) {
        fwrite(buffer, 1, buffer_len, f);
        fclose(f);
        fprintf(stderr, "the input is in ./%s\n", name);
    }

    signal(sig, SIG_DFL);
    raise(sig);
}


/* splitmix64 */

static size_t
pick(size_t n)
{
    uint64_t  z;

    state += UINT64_C(0x9e3779b97f4a7c15);
    z = state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;

    return (size_t) (z % n);
}
