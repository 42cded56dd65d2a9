/*
 * The sanitizers' options, linked into nginx so that they hold for each way to
 * start it, an upgrade of the binary included.
 */

#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>


#define SAN_COMMON  "log_path=" SAN_LOG ":print_stacktrace=1"


/* weak: the test programs of nginx's configure do not have them */

extern volatile sig_atomic_t  ngx_quit __attribute__((weak));
extern volatile sig_atomic_t  ngx_terminate __attribute__((weak));

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_options(void);
int __lsan_is_turned_off(void);

static void san_log_ubsan(void) __attribute__((constructor));


const char *
__asan_default_options(void)
{
    return SAN_COMMON ":detect_leaks=1:detect_stack_use_after_return=1";
}


const char *
__ubsan_default_options(void)
{
    return SAN_COMMON ":halt_on_error=1";
}


const char *
__lsan_default_options(void)
{
    return "suppressions=" SAN_SUPPRESSIONS ":print_suppressions=0";
}


/*
 * A process that was told to end frees all it has first. One whose main()
 * returns, after "-t" or a wrong configuration, never does.
 */

int
__lsan_is_turned_off(void)
{
    if (&ngx_quit == NULL || &ngx_terminate == NULL) {
        return 1;
    }

    return !ngx_quit && !ngx_terminate;
}


/*
 * Beside libasan, gcc's libubsan ignores log_path, and a daemon's stderr is
 * lost.
 */

static void
san_log_ubsan(void)
{
    void  *lib;
    void  (*set_path)(const char *);

    lib = dlopen("libubsan.so.1", RTLD_LAZY|RTLD_NOLOAD);
    if (lib == NULL) {
        return;
    }

    *(void **) &set_path = dlsym(lib, "__sanitizer_set_report_path");
    if (set_path != NULL) {
        set_path(SAN_LOG);
    }

    dlclose(lib);
}
