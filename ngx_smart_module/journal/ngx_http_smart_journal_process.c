
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ngx_http_smart_journal_process.h"


static size_t ngx_http_smart_journal_process_read(const char *path,
    char *text, size_t size);


int64_t
ngx_http_smart_journal_process_random(void)
{
    int              fd;
    ssize_t          n;
    int64_t          value;
    struct timespec  ts;

    value = 0;
    n = 0;

    fd = open("/dev/urandom", O_RDONLY|O_CLOEXEC);

    if (fd != -1) {
        n = read(fd, &value, sizeof(value));
        close(fd);
    }

    if (n != (ssize_t) sizeof(value)) {

        /* a chroot without devices */

        clock_gettime(CLOCK_REALTIME, &ts);
        value = ((int64_t) ts.tv_sec << 30 ^ ts.tv_nsec) * 0x5851f42d4c957f2d
                ^ (int64_t) getpid() << 40;
    }

    return value;
}


void
ngx_http_smart_journal_process_started(
    ngx_http_smart_journal_process_t *process)
{
    char         path[64], text[1024];
    char        *p;
    unsigned     i;
    long long    ticks;

    process->started = 0;

    snprintf(path, sizeof(path), "/proc/%lld/stat", (long long) process->pid);

    if (ngx_http_smart_journal_process_read(path, text, sizeof(text)) == 0) {
        return;
    }

    /* the name, which may hold anything, is between parentheses */

    p = strrchr(text, ')');

    if (p == NULL || p[1] != ' ') {
        return;
    }

    if (p[2] == 'Z' || p[2] == 'X') {
        process->started = -1;
        return;
    }

    for (i = 0; i < 20 && p; i++) {
        p = strchr(p + 1, ' ');
    }

    if (p && sscanf(p, " %lld", &ticks) == 1) {
        process->started = ticks;
    }
}


unsigned
ngx_http_smart_journal_process_alive(
    const ngx_http_smart_journal_process_t *process)
{
    ngx_http_smart_journal_process_t  now;

    if (process->pid <= 0) {
        return 0;
    }

    if (kill((pid_t) process->pid, 0) == -1 && errno == ESRCH) {
        return 0;
    }

    now.pid = process->pid;

    ngx_http_smart_journal_process_started(&now);

    if (now.started == -1) {
        return 0;
    }

    /* where /proc does not tell, the number alone counts */

    return process->started == 0 || now.started == 0
           || now.started == process->started;
}


void
ngx_http_smart_journal_process_boot(
    char text[NGX_HTTP_SMART_JOURNAL_PROCESS_BOOT])
{
    char     id[48], space[48];
    ssize_t  n;

    if (ngx_http_smart_journal_process_read("/proc/sys/kernel/random/boot_id",
                                            id, sizeof(id))
        == 0)
    {
        id[0] = '\0';
    }

    n = readlink("/proc/self/ns/pid", space, sizeof(space) - 1);

    space[n > 0 ? n : 0] = '\0';

    /* without both nothing can be said of the pids of others */

    if (id[0] == '\0' || space[0] == '\0') {
        snprintf(id, sizeof(id), "-");
        snprintf(space, sizeof(space), "%llx", (unsigned long long)
                 ngx_http_smart_journal_process_random());
    }

    id[strcspn(id, "\n")] = '\0';

    snprintf(text, NGX_HTTP_SMART_JOURNAL_PROCESS_BOOT, "%s %s", id, space);
}


static size_t
ngx_http_smart_journal_process_read(const char *path, char *text, size_t size)
{
    int      fd;
    ssize_t  n;

    fd = open(path, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return 0;
    }

    n = read(fd, text, size - 1);

    close(fd);

    if (n <= 0) {
        return 0;
    }

    text[n] = '\0';

    return (size_t) n;
}
