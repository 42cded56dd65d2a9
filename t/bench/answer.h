
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Finds the end of an HTTP/1.1 answer to a GET, byte by byte as they come.
 */

#ifndef _ANSWER_H_INCLUDED_
#define _ANSWER_H_INCLUDED_


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define ANSWER_MAX_HEADER  16384


typedef enum {
    ANSWER_MORE = 0,
    ANSWER_COMPLETE,
    ANSWER_MALFORMED             /* or with something behind it */
} answer_e;


typedef struct {
    enum {
        ANSWER_HEADER = 0,
        ANSWER_LENGTH,           /* "left" bytes of a body */
        ANSWER_CLOSE,            /* all that comes */
        ANSWER_SIZE,             /* of a chunk */
        ANSWER_CHUNK,            /* "left" bytes of it, with its CRLF */
        ANSWER_TRAILER,
        ANSWER_END
    }            state;

    unsigned     status;
    unsigned     last;           /* the connection ends with it */
    uint64_t     body;           /* bytes */
    uint64_t     left;
    size_t       len;            /* of the header or the line so far */
    char         text[ANSWER_MAX_HEADER + 1];
} answer_t;


static inline void
answer_begin(answer_t *a)
{
    a->state = ANSWER_HEADER;
    a->status = 0;
    a->last = 0;
    a->body = 0;
    a->len = 0;
}


/* the connection was closed: 1 if that is the end of the answer */
static inline int
answer_ends(answer_t *a)
{
    return a->state == ANSWER_CLOSE;
}


/* the header is complete; -1 if it is none */
static inline int
answer_header(answer_t *a)
{
    const char  *length;

    a->text[a->len] = '\0';
    a->len = 0;

    if (sscanf(a->text, "HTTP/1.%*1[01] %3u", &a->status) != 1
        || a->status < 100 || a->status > 599)
    {
        return -1;
    }

    if (a->status < 200) {
        return 0;
    }

    a->last = strcasestr(a->text, "\nConnection: close") != NULL
              || strncmp(a->text, "HTTP/1.0", 8) == 0;

    length = strcasestr(a->text, "\nContent-Length:");

    if (a->status == 204 || a->status == 304) {
        a->state = ANSWER_END;

    } else if (strcasestr(a->text, "\nTransfer-Encoding: chunked")) {
        a->state = ANSWER_SIZE;

    } else if (length) {
        a->left = strtoull(length + strlen("\nContent-Length:"), NULL, 10);
        a->state = a->left ? ANSWER_LENGTH : ANSWER_END;

    } else {
        a->state = ANSWER_CLOSE;
        a->last = 1;
    }

    return 0;
}


/* a line of the chunks' framing is complete */
static inline int
answer_line(answer_t *a)
{
    char  *end;

    a->text[a->len] = '\0';
    a->len = 0;

    if (a->state == ANSWER_TRAILER) {

        if (a->text[0] == '\r') {
            a->state = ANSWER_END;
        }

        return 0;
    }

    a->left = strtoull(a->text, &end, 16);

    if (end == a->text) {
        return -1;
    }

    if (a->left == 0) {
        a->state = ANSWER_TRAILER;
        return 0;
    }

    a->body += a->left;
    a->left += 2;
    a->state = ANSWER_CHUNK;

    return 0;
}


/* the next byte of the header or of a line */
static inline int
answer_byte(answer_t *a, char byte)
{
    if (a->len == ANSWER_MAX_HEADER) {
        return -1;
    }

    a->text[a->len++] = byte;

    if (byte != '\n') {
        return 0;
    }

    if (a->state != ANSWER_HEADER) {
        return answer_line(a);
    }

    if (a->len > 3 && memcmp(a->text + a->len - 4, "\r\n\r\n", 4) == 0) {
        return answer_header(a);
    }

    return 0;
}


static inline answer_e
answer_feed(answer_t *a, const char *p, size_t len)
{
    size_t       n;
    const char  *end;

    end = p + len;

    while (p < end) {

        switch (a->state) {

        case ANSWER_END:
            return ANSWER_MALFORMED;

        case ANSWER_CLOSE:
            a->body += (size_t) (end - p);
            p = end;
            break;

        case ANSWER_LENGTH:
        case ANSWER_CHUNK:
            n = (size_t) (end - p);
            n = n < a->left ? n : (size_t) a->left;

            p += n;
            a->left -= n;

            if (a->state == ANSWER_LENGTH) {
                a->body += n;
            }

            if (a->left == 0) {
                a->state = (a->state == ANSWER_LENGTH) ? ANSWER_END
                                                       : ANSWER_SIZE;
            }

            break;

        default:
            if (answer_byte(a, *p++) == -1) {
                return ANSWER_MALFORMED;
            }

            break;
        }
    }

    return a->state == ANSWER_END ? ANSWER_COMPLETE : ANSWER_MORE;
}


#endif /* _ANSWER_H_INCLUDED_ */
