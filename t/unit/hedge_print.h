
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Actions of the decision machine in words.
 */

#ifndef _HEDGE_PRINT_H_INCLUDED_
#define _HEDGE_PRINT_H_INCLUDED_


#include "tap.h"

#include "ngx_smart_hedge.h"


static const char  *hedge_print_names[] = {
    "arm", "launch", "park", "drop", "cancel", "promote", "pass", "fail",
    "timeout"
};


static inline void
hedge_print(char *p, size_t size, const ngx_smart_hedge_action_t *actions,
    size_t n)
{
    size_t  i, len;

    len = (size_t) snprintf(p, size, "%s", n ? "" : "nothing");

    for (i = 0; i < n; i++) {
        len += (size_t) snprintf(p + len, size - len, "%s%s", i ? ", " : "",
                                 hedge_print_names[actions[i].type]);

        switch (actions[i].type) {

        case NGX_SMART_HEDGE_TIMEOUT:
            break;

        case NGX_SMART_HEDGE_ARM:
            len += (size_t) snprintf(p + len, size - len, " %" PRIu64,
                                     actions[i].time);
            break;

        default:
            len += (size_t) snprintf(p + len, size - len, " %u",
                                     actions[i].attempt);
        }
    }
}


#endif /* _HEDGE_PRINT_H_INCLUDED_ */
