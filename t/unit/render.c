
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "tap.h"

#include "ngx_smart_render.h"


#define TEXT(text)  { text, sizeof(text) - 1 }


static const ngx_smart_record_t  whole = {
    { 0x01, 0x90, 0xa6, 0xc5, 0x9a, 0x3b, 0x7d, 0xef,
      0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef },
    NGX_SMART_RECORD_COMPLETE, INT64_C(1709210096123456), 100300, 200, 2, 1,
    TEXT("http://a.example/p?q=%22&q=2&r"), TEXT("GET"), TEXT("a.example"),
    TEXT("http://a.example"), TEXT("n\"1"), TEXT("10.0.0.1:80, 10.0.0.2:80"),
    TEXT("4bf92f3577b34da6a3ce929d0e0e4736"), 0
};

static const ngx_smart_record_t  empty = {
    { 0 }, NGX_SMART_RECORD_OPEN, 0, -1, 0, -1, -1, TEXT("http://b/"),
    { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 },
    { NULL, 0 }, 0
};


static void texts(void);
static void durations(void);
static void formulas(void);
static void states(void);
static void sizes(void);
static const char *text(ngx_smart_render_pt render,
    const ngx_smart_record_t *record);


int
main(void)
{
    texts();
    durations();
    formulas();
    states();
    sizes();

    return tap_done();
}


static void
texts(void)
{
    is_str(text(ngx_smart_render_json, &whole),
           "{\"id\":\"0190a6c5-9a3b-7def-8123-456789abcdef\","
           "\"timestamp\":\"2024-02-29T12:34:56.123456Z\","
           "\"duration\":0.1003,"
           "\"target_url\":\"http://a.example/p?q=%22&q=2&r\","
           "\"response_code\":200,\"state\":\"complete\",\"method\":\"GET\","
           "\"host\":\"a.example\",\"website\":\"http://a.example\","
           "\"node\":\"n\\\"1\",\"attempts\":2,\"winner\":1,"
           "\"upstream\":\"10.0.0.1:80, 10.0.0.2:80\","
           "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}",
           "JSON of a whole record");

    is_str(text(ngx_smart_render_json, &empty),
           "{\"id\":\"00000000-0000-0000-0000-000000000000\","
           "\"timestamp\":\"1970-01-01T00:00:00.000000Z\","
           "\"duration\":null,\"target_url\":\"http://b/\","
           "\"response_code\":null,\"state\":\"open\",\"method\":null,"
           "\"host\":null,\"website\":null,\"node\":null,\"attempts\":null,"
           "\"winner\":null,\"upstream\":null,\"trace_id\":null}",
           "JSON of an open record");

    is_str(text(ngx_smart_render_csv, &whole),
           "0190a6c5-9a3b-7def-8123-456789abcdef,"
           "2024-02-29T12:34:56.123456Z,0.1003,"
           "\"http://a.example/p?q=%22&q=2&r\",200,complete,\"GET\","
           "\"a.example\",\"http://a.example\",\"n\"\"1\",2,1,"
           "\"10.0.0.1:80, 10.0.0.2:80\","
           "\"4bf92f3577b34da6a3ce929d0e0e4736\"\r\n",
           "CSV of a whole record");

    is_str(text(ngx_smart_render_csv, &empty),
           "00000000-0000-0000-0000-000000000000,"
           "1970-01-01T00:00:00.000000Z,,\"http://b/\",,open,,,,,,,,\r\n",
           "CSV of an open record");

    is_str(text(ngx_smart_render_har, &whole),
           "{\"startedDateTime\":\"2024-02-29T12:34:56.123456Z\","
           "\"time\":100.3,\"request\":{\"method\":\"GET\","
           "\"url\":\"http://a.example/p?q=%22&q=2&r\","
           "\"httpVersion\":\"unknown\",\"cookies\":[],\"headers\":[],"
           "\"headersSize\":-1,\"bodySize\":-1,\"queryString\":["
           "{\"name\":\"q\",\"value\":\"%22\"},"
           "{\"name\":\"q\",\"value\":\"2\"},"
           "{\"name\":\"r\",\"value\":\"\"}]},"
           "\"response\":{\"status\":200,\"statusText\":\"\","
           "\"httpVersion\":\"unknown\",\"cookies\":[],\"headers\":[],"
           "\"headersSize\":-1,\"bodySize\":-1,"
           "\"content\":{\"size\":0,\"mimeType\":\"\"},"
           "\"redirectURL\":\"\"},\"cache\":{},"
           "\"timings\":{\"send\":0,\"wait\":100.3,\"receive\":0},"
           "\"_id\":\"0190a6c5-9a3b-7def-8123-456789abcdef\","
           "\"_state\":\"complete\",\"_node\":\"n\\\"1\",\"_attempts\":2,"
           "\"_winner\":1,\"_upstream\":\"10.0.0.1:80, 10.0.0.2:80\","
           "\"_trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}",
           "HAR of a whole record");

    ok(strstr(text(ngx_smart_render_har, &empty),
              "\"time\":0,\"request\":{\"method\":\"\",\"url\":\"http://b/\"")
       != NULL, "HAR of an open record");
}


static void
durations(void)
{
    char                expected[64];
    size_t              i;
    ngx_smart_record_t  record;

    static const struct {
        int64_t      us;
        const char  *text;
    } cases[] = {
        { 0, "0" }, { 1, "0.000001" }, { 10, "0.00001" },
        { 999999, "0.999999" }, { 1000000, "1" }, { 1500000, "1.5" },
        { 60000001, "60.000001" }, { INT64_MAX, "9223372036854.775807" }
    };

    record = empty;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        record.duration = cases[i].us;
        snprintf(expected, sizeof(expected), "\"duration\":%s,",
                 cases[i].text);

        ok(strstr(text(ngx_smart_render_json, &record), expected) != NULL,
           "%s s", cases[i].text);
    }
}


static void
formulas(void)
{
    char                expected[64], method[8];
    size_t              i;
    ngx_smart_record_t  record;

    static const char  first[] = "=+-@\t\r\n";

    record = empty;
    record.method.data = method;
    record.method.len = 2;

    for (i = 0; i < sizeof(first) - 1; i++) {
        snprintf(method, sizeof(method), "%cA", first[i]);
        snprintf(expected, sizeof(expected), ",open,\"'%s\",", method);

        ok(strstr(text(ngx_smart_render_csv, &record), expected) != NULL,
           "no formula begins with 0x%02x", (unsigned) first[i]);
    }

    strcpy(method, "A=");
    ok(strstr(text(ngx_smart_render_csv, &record), ",open,\"A=\",") != NULL,
       "what begins otherwise is left alone");
}


static void
states(void)
{
    int          i;
    const char  *name;

    for (i = 0; i < 4; i++) {
        name = ngx_smart_render_state((ngx_smart_record_state_e) i);
        is_uint((uint64_t) ngx_smart_render_state_named(name, strlen(name)),
                (uint64_t) i, "the state %s", name);
    }

    ok(ngx_smart_render_state_named("opens", 5) == -1
       && ngx_smart_render_state_named("ope", 3) == -1
       && ngx_smart_render_state_named("", 0) == -1
       && ngx_smart_render_state_named("Open", 4) == -1, "no states");
}


/* no byte behind the memory, and the same length, whatever its size */

static void
sizes(void)
{
    char      full[2048], part[2048];
    size_t    n, size, i;
    unsigned  wrong;

    static const ngx_smart_render_pt  renders[] = {
        ngx_smart_render_json, ngx_smart_render_csv, ngx_smart_render_har
    };

    for (i = 0; i < 3; i++) {
        n = renders[i](full, sizeof(full), &whole);
        wrong = 0;

        for (size = 0; size <= n; size++) {
            memset(part, '#', sizeof(part));

            if (renders[i](part, size, &whole) != n || part[size] != '#') {
                wrong++;
            }
        }

        ok(wrong == 0 && memcmp(full, part, n) == 0, "sizes of %zu", i);
    }
}


static const char *
text(ngx_smart_render_pt render, const ngx_smart_record_t *record)
{
    size_t       n;
    static char  data[4096];

    n = render(data, sizeof(data) - 1, record);
    data[n] = '\0';

    return data;
}
