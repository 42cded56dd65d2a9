
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 */


#include "table.h"

#include "ngx_smart_utf8.h"


static void sequences(void);
static void points(void);
static void ends(void);
static unsigned reference(const unsigned char *p, size_t len);


int
main(void)
{
    sequences();
    points();
    ends();

    return tap_done();
}


/* all sequences of up to three bytes, and four by the bytes at edges */

static void
sequences(void)
{
    size_t         a, b, n;
    unsigned       i, wrong;
    unsigned char  p[4];

    static const unsigned char  edges[] = {
        0x00, 0x22, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
        0xc2, 0xe0, 0xef, 0xf0, 0xff
    };

    for (n = 1; n <= 3; n++) {

        wrong = 0;

        for (i = 0; i < (unsigned) 1 << (8 * n); i++) {
            p[0] = (unsigned char) (i >> (8 * (n - 1)));
            p[1] = (unsigned char) (n > 1 ? i >> (8 * (n - 2)) : 0);
            p[2] = (unsigned char) i;

            wrong += ngx_smart_utf8_length(p, n) != reference(p, n);
        }

        is_uint(wrong, 0, "sequences of %u bytes told wrongly", (unsigned) n);
    }

    wrong = 0;

    for (i = 0; i < 0x10000; i++) {
        p[0] = (unsigned char) (i >> 8);
        p[1] = (unsigned char) i;

        for (a = 0; a < sizeof(edges); a++) {
            for (b = 0; b < sizeof(edges); b++) {
                p[2] = edges[a];
                p[3] = edges[b];

                wrong += ngx_smart_utf8_length(p, 4) != reference(p, 4);
            }
        }
    }

    is_uint(wrong, 0, "sequences of 4 bytes told wrongly");
}


/* every code point, encoded by hand */

static void
points(void)
{
    size_t         n;
    unsigned       code, good, wrong;
    unsigned char  p[4];

    good = 0;
    wrong = 0;

    for (code = 0; code < 0x200000; code++) {

        if (code < 0x80) {
            n = 1;
            p[0] = (unsigned char) code;

        } else if (code < 0x800) {
            n = 2;
            p[0] = (unsigned char) (0xc0 | code >> 6);

        } else if (code < 0x10000) {
            n = 3;
            p[0] = (unsigned char) (0xe0 | code >> 12);
            p[1] = (unsigned char) (0x80 | (code >> 6 & 0x3f));

        } else {
            n = 4;
            p[0] = (unsigned char) (0xf0 | code >> 18);
            p[1] = (unsigned char) (0x80 | (code >> 12 & 0x3f));
            p[2] = (unsigned char) (0x80 | (code >> 6 & 0x3f));
        }

        if (n > 1) {
            p[n - 1] = (unsigned char) (0x80 | (code & 0x3f));
        }

        switch (ngx_smart_utf8_length(p, n)) {

        case 0:
            wrong += code < 0x110000 && (code < 0xd800 || code > 0xdfff);
            break;

        default:
            good++;
            wrong += ngx_smart_utf8_length(p, n) != n;
            break;
        }
    }

    is_uint(wrong, 0, "code points told wrongly");
    is_uint(good, 0x110000 - 0x800, "code points that are well-formed");
}


/* nothing is read behind the end */

static void
ends(void)
{
    char     *copy, *block;
    size_t    i, len, n;

    static const char  *whole[] = {
        "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\x88"
    };

    for (i = 0; i < 4; i++) {
        for (len = 1; len <= i + 1; len++) {
            copy = table_copy(whole[i], len, &block);
            n = ngx_smart_utf8_length((unsigned char *) copy, len);
            free(block);

            is_uint(n, len == i + 1 ? len : 0, "%u of %u bytes",
                    (unsigned) len, (unsigned) i + 1);
        }
    }
}


/* RFC 3629, section 4 */

static unsigned
reference(const unsigned char *p, size_t len)
{
    unsigned  i, n, least, most;

    n = p[0] < 0x80 ? 1
        : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
        : p[0] >= 0xe0 && p[0] <= 0xef ? 3
        : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;

    if (n == 0 || n > len) {
        return 0;
    }

    least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

    for (i = 1; i < n; i++) {

        if (p[i] < least || p[i] > most) {
            return 0;
        }

        least = 0x80;
        most = 0xbf;
    }

    return n;
}
