
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Every sequence of events up to a depth is fed to the decision machine, and
 * what it wants done is held against rules that know nothing of its insides.
 */


#include "hedge_print.h"


#define DEPTH      8             /* without what follows a no-op */
#define LITERAL    4             /* with all of it */
#define ATTEMPTS   3
#define DELAY      300
#define STEP       50
#define MAX        NGX_SMART_HEDGE_MAX_ATTEMPTS


typedef enum {
    RULE_VERDICT = 0,
    RULE_ENDS,
    RULE_CANCEL,
    RULE_FIRST,
    RULE_SILENT,
    RULE_LAUNCH,
    RULE_NUMBER,
    RULE_ALLOWED,
    RULE_PARK,
    RULE_DROP,
    RULE_ALIVE,
    RULE_RESCUE,
    RULE_DUE,
    RULE_ARM,
    RULE_WANTED,
    RULE_OWN,
    RULE_STATE,
    RULE_OUTCOME,
    RULES
} rule_e;


typedef struct {
    ngx_smart_hedge_event_e   event;
    unsigned                  attempt;
    unsigned                  allowed;
} step_t;


/* what is known from outside; nothing but whole words: it is memcmp()ed */
typedef struct {
    ngx_smart_hedge_t         h;
    unsigned                  begun;
    unsigned                  aborted;
    unsigned                  verdicts;
    unsigned                  promoted;
    unsigned                  started;
    unsigned                  alive;
    unsigned                  ended[MAX];
} walk_t;


/* what one event has caused */
typedef struct {
    ngx_smart_hedge_action_t  actions[NGX_SMART_HEDGE_MAX_ACTIONS];
    size_t                    n;
    unsigned                  count[NGX_SMART_HEDGE_TIMEOUT + 1];
    unsigned                  cancelled;
    uint64_t                  armed;
    uint64_t                  now;
    unsigned                  wanted;
} effect_t;


static void exhaust(void);
static void walk(const walk_t *before, unsigned depth, unsigned end);
static void aftermath(const walk_t *decided, unsigned depth);
static void apply(walk_t *w, unsigned depth);
static void take(walk_t *w, const walk_t *was, effect_t *e);
static void judge(const walk_t *w, const walk_t *was, const effect_t *e);
static void judge_failure(const walk_t *w, const walk_t *was,
    const effect_t *e);
static void judge_launches(const walk_t *was, const effect_t *e);
static void judge_arm(const walk_t *w, const walk_t *was, const effect_t *e);
static void judge_state(const walk_t *w);
static void rule(rule_e r, int good);
static void story(void);


static const char  *rule_names[] = {
    "one verdict at most, the one that the event calls for",
    "each attempt ends once",
    "each loser is cancelled once, while it runs",
    "cancels come before the verdict",
    "nothing follows a decision, an abort or news of what does not run",
    "launches only between the beginning and the verdict",
    "hedges are numbered in order and never exceed extra",
    "one event never launches more than allowed",
    "only the failed primary is parked, and only if something runs on",
    "only a failed hedge is dropped, and only if something else runs",
    "a failure never beats a live attempt",
    "the failure of the primary launches what is left at once",
    "the due time launches one hedge, or all of them without a step",
    "armed only while something is left, for the right time",
    "wanted() agrees with what is launched",
    "own_failure makes the failure ours, and only then",
    "the state tells the winner and the decision",
    "a sequence has a winner, a failure, or something alive"
};


static const char  *event_names[] = {
    "BEGIN", "DUE", "SUCCESS", "FAILURE", "EXPIRE", "ABORT"
};


static const step_t  alphabet[] = {
    { NGX_SMART_HEDGE_BEGIN,   0, 2 },
    { NGX_SMART_HEDGE_DUE,     0, 0 },
    { NGX_SMART_HEDGE_DUE,     0, 1 },
    { NGX_SMART_HEDGE_DUE,     0, 2 },
    { NGX_SMART_HEDGE_SUCCESS, 0, 2 },
    { NGX_SMART_HEDGE_SUCCESS, 1, 2 },
    { NGX_SMART_HEDGE_SUCCESS, 2, 2 },
    { NGX_SMART_HEDGE_FAILURE, 0, 0 },
    { NGX_SMART_HEDGE_FAILURE, 0, 1 },
    { NGX_SMART_HEDGE_FAILURE, 0, 2 },
    { NGX_SMART_HEDGE_FAILURE, 1, 0 },
    { NGX_SMART_HEDGE_FAILURE, 1, 1 },
    { NGX_SMART_HEDGE_FAILURE, 1, 2 },
    { NGX_SMART_HEDGE_FAILURE, 2, 0 },
    { NGX_SMART_HEDGE_FAILURE, 2, 1 },
    { NGX_SMART_HEDGE_FAILURE, 2, 2 },
    { NGX_SMART_HEDGE_EXPIRE,  0, 2 },
    { NGX_SMART_HEDGE_ABORT,   0, 2 }
};

#define LETTERS  (sizeof(alphabet) / sizeof(alphabet[0]))


static ngx_smart_hedge_plan_t  plan;
static step_t                  path[DEPTH + 1];
static unsigned                path_len;
static unsigned long           sequences;
static unsigned long           broken[RULES];


int
main(void)
{
    exhaust();

    return tap_done();
}


static void
exhaust(void)
{
    walk_t    w;
    unsigned  i;

    for (i = 0; i < ATTEMPTS * 4; i++) {
        plan.delay = DELAY;
        plan.extra = (uint8_t) (ATTEMPTS - 1 - i / 4);
        plan.step = i & 2 ? STEP : 0;
        plan.own_failure = i & 1;

        memset(&w, 0, sizeof(w));
        ngx_smart_hedge_init(&w.h);

        walk(&w, 0, DEPTH);
        walk(&w, 0, LITERAL);
    }

    for (i = 0; i < RULES; i++) {
        ok(broken[i] == 0, "%s (%lu sequences)", rule_names[i], sequences);
    }
}


static void
walk(const walk_t *before, unsigned depth, unsigned end)
{
    size_t  i;
    walk_t  w;

    for (i = 0; i < LETTERS; i++) {
        w = *before;
        path[depth] = alphabet[i];

        apply(&w, depth);
        sequences++;

        if (w.verdicts || w.aborted) {
            aftermath(&w, depth + 1);
            continue;
        }

        if (depth + 1 == end) {
            continue;
        }

        /* what follows, follows the sequence without this event as well */

        if (end == DEPTH && memcmp(&w, before, sizeof(w)) == 0) {
            continue;
        }

        walk(&w, depth + 1, end);
    }
}


static void
aftermath(const walk_t *decided, unsigned depth)
{
    size_t  i;
    walk_t  w;

    w = *decided;

    for (i = 0; i < LETTERS; i++) {
        path[depth] = alphabet[i];
        apply(&w, depth);
    }
}


static void
apply(walk_t *w, unsigned depth)
{
    walk_t         was;
    effect_t       e;
    const step_t  *s;

    was = *w;
    s = &path[depth];
    path_len = depth + 1;

    memset(&e, 0, sizeof(e));

    e.now = 1000 * (depth + 1);
    e.wanted = ngx_smart_hedge_wanted(&w->h, &plan, s->event, s->attempt);
    e.n = ngx_smart_hedge_feed(&w->h, &plan, s->event, s->attempt, e.now,
                               s->allowed, e.actions);

    take(w, &was, &e);
    judge(w, &was, &e);
    judge_launches(&was, &e);
    judge_arm(w, &was, &e);
    judge_state(w);
}


/* keeps the books, and the rules about single actions */

static void
take(walk_t *w, const walk_t *was, effect_t *e)
{
    unsigned                         i, bit;
    const ngx_smart_hedge_action_t  *a;

    if (path[path_len - 1].event == NGX_SMART_HEDGE_BEGIN && !was->verdicts
        && !was->aborted && !was->begun)
    {
        w->begun = 1;
        w->started = 1;
        w->alive = 1;
    }

    if (path[path_len - 1].event == NGX_SMART_HEDGE_ABORT && !was->verdicts) {
        w->aborted = 1;
    }

    for (i = 0; i < e->n; i++) {
        a = &e->actions[i];
        e->count[a->type]++;

        if (a->type == NGX_SMART_HEDGE_ARM) {
            e->armed = a->time;
            continue;
        }

        if (a->type == NGX_SMART_HEDGE_TIMEOUT) {
            w->verdicts++;
            continue;
        }

        rule(RULE_NUMBER, a->attempt <= plan.extra);

        if (a->attempt >= MAX) {
            continue;
        }

        bit = 1u << a->attempt;

        if (a->type == NGX_SMART_HEDGE_LAUNCH) {
            rule(RULE_LAUNCH, was->begun && !w->verdicts && !w->aborted);
            rule(RULE_NUMBER, a->attempt == w->started);
            rule(RULE_ENDS, !(w->alive & bit) && w->ended[a->attempt] == 0);

            w->alive |= bit;
            w->started++;
            continue;
        }

        rule(RULE_ENDS, (w->alive & bit) && w->ended[a->attempt] == 0);

        w->alive &= ~bit;
        w->ended[a->attempt]++;

        if (a->type == NGX_SMART_HEDGE_CANCEL) {
            rule(RULE_CANCEL, was->alive & bit);
            rule(RULE_FIRST, !w->verdicts);
            e->cancelled |= bit;

        } else if (a->type >= NGX_SMART_HEDGE_PROMOTE) {
            w->verdicts++;
            w->promoted |= a->type == NGX_SMART_HEDGE_PROMOTE ? bit : 0;
        }
    }
}


/* what the event calls for, by the words of the header */

static void
judge(const walk_t *w, const walk_t *was, const effect_t *e)
{
    unsigned       bit, runs, success;
    const step_t  *s;

    s = &path[path_len - 1];
    bit = s->attempt < MAX ? 1u << s->attempt : 0;
    runs = (was->alive & bit) != 0;
    success = s->event == NGX_SMART_HEDGE_SUCCESS;

    rule(RULE_VERDICT, w->verdicts <= 1 && !(w->verdicts && w->aborted));

    if (was->verdicts || was->aborted
        || (s->event == NGX_SMART_HEDGE_BEGIN && was->begun)
        || (s->event == NGX_SMART_HEDGE_DUE && !was->begun)
        || (success && !runs)
        || (s->event == NGX_SMART_HEDGE_FAILURE && !runs))
    {
        rule(RULE_SILENT, e->n == 0
                          && memcmp(&w->h, &was->h, sizeof(w->h)) == 0);
        return;
    }

    rule(RULE_VERDICT, e->count[NGX_SMART_HEDGE_PROMOTE] == success);
    rule(RULE_VERDICT, e->count[NGX_SMART_HEDGE_TIMEOUT]
                       == (s->event == NGX_SMART_HEDGE_EXPIRE));

    if (success) {
        rule(RULE_VERDICT, w->promoted == bit);
        rule(RULE_CANCEL, e->cancelled == (was->alive & ~bit));

    } else if (s->event == NGX_SMART_HEDGE_EXPIRE
               || s->event == NGX_SMART_HEDGE_ABORT)
    {
        rule(RULE_CANCEL, e->cancelled == was->alive);

    } else {
        rule(RULE_CANCEL, e->cancelled == 0);
    }

    judge_failure(w, was, e);
}


static void
judge_failure(const walk_t *w, const walk_t *was, const effect_t *e)
{
    unsigned       last, failure, verdicts;
    const step_t  *s;

    s = &path[path_len - 1];
    failure = s->event == NGX_SMART_HEDGE_FAILURE;
    last = failure && was->alive == 1u << s->attempt
           && e->count[NGX_SMART_HEDGE_LAUNCH] == 0;
    verdicts = e->count[NGX_SMART_HEDGE_PASS]
               + e->count[NGX_SMART_HEDGE_FAIL];

    rule(RULE_ALIVE, verdicts == 0 || w->alive == 0);
    rule(RULE_VERDICT, verdicts == last);
    rule(RULE_OWN, e->count[NGX_SMART_HEDGE_FAIL]
                   == (last && plan.own_failure));

    rule(RULE_PARK, e->count[NGX_SMART_HEDGE_PARK]
                    == (failure && !last && s->attempt == 0));
    rule(RULE_PARK, !e->count[NGX_SMART_HEDGE_PARK] || w->alive);
    rule(RULE_DROP, e->count[NGX_SMART_HEDGE_DROP]
                    == (failure && !last && s->attempt != 0));
    rule(RULE_DROP, !e->count[NGX_SMART_HEDGE_DROP] || w->alive);

    if (failure) {
        rule(RULE_ENDS, w->ended[s->attempt] == 1);
    }
}


static void
judge_launches(const walk_t *was, const effect_t *e)
{
    unsigned       left, wanted, launches;
    const step_t  *s;

    s = &path[path_len - 1];
    launches = e->count[NGX_SMART_HEDGE_LAUNCH];
    left = plan.extra + 1 - was->started;
    wanted = 0;

    rule(RULE_ALLOWED, launches <= s->allowed);
    rule(RULE_WANTED, launches == (e->wanted < s->allowed ? e->wanted
                                                          : s->allowed));

    if (!(was->alive & 1)) {
        left = 0;
    }

    if (s->event == NGX_SMART_HEDGE_FAILURE && s->attempt == 0) {
        wanted = left;
        rule(RULE_RESCUE, launches == (left < s->allowed ? left
                                                         : s->allowed));

    } else if (s->event == NGX_SMART_HEDGE_DUE) {
        wanted = plan.step && left ? 1 : left;
        rule(RULE_DUE, launches == (wanted < s->allowed ? wanted
                                                        : s->allowed));

    } else {
        rule(RULE_LAUNCH, launches == 0);
    }

    rule(RULE_WANTED, e->wanted == wanted);
}


static void
judge_arm(const walk_t *w, const walk_t *was, const effect_t *e)
{
    unsigned  arms, left;

    arms = 0;
    left = w->started <= plan.extra;

    if (w->begun && !was->begun) {
        arms = left;
        rule(RULE_ARM, !arms || e->armed == e->now + plan.delay);

    } else if (path[path_len - 1].event == NGX_SMART_HEDGE_DUE
               && e->count[NGX_SMART_HEDGE_LAUNCH])
    {
        arms = plan.step && left;
        rule(RULE_ARM, !arms || e->armed == e->now + plan.step);
    }

    rule(RULE_ARM, e->count[NGX_SMART_HEDGE_ARM] == arms);
}


static void
judge_state(const walk_t *w)
{
    unsigned  i, over;

    over = w->verdicts || w->aborted;

    rule(RULE_STATE, ngx_smart_hedge_decided(&w->h) == over);
    rule(RULE_STATE, w->h.alive == w->alive && w->h.started == w->started);
    rule(RULE_STATE, w->promoted ? w->promoted == 1u << w->h.winner
                            : w->h.winner == NGX_SMART_HEDGE_NO_WINNER);

    rule(RULE_OUTCOME, w->verdicts + w->aborted + (w->alive != 0)
                       == (w->begun || over));

    for (i = 0; i < w->started && i < MAX; i++) {
        rule(RULE_ENDS, w->ended[i] + ((w->alive >> i) & 1) == 1);
    }
}


static void
rule(rule_e r, int good)
{
    if (good) {
        return;
    }

    if (broken[r]++ == 0) {
        printf("# broken: %s\n", rule_names[r]);
        story();
    }
}


/* the sequence, and what each event of it caused */

static void
story(void)
{
    char                       text[512];
    size_t                     n;
    unsigned                   i;
    ngx_smart_hedge_t          h;
    ngx_smart_hedge_action_t   actions[NGX_SMART_HEDGE_MAX_ACTIONS];
    const step_t              *s;

    printf("#   plan: extra %u, step %" PRIu64 ", own_failure %u\n",
           plan.extra, plan.step, plan.own_failure);

    ngx_smart_hedge_init(&h);

    for (i = 0; i < path_len; i++) {
        s = &path[i];
        n = ngx_smart_hedge_feed(&h, &plan, s->event, s->attempt,
                                 1000 * (i + 1), s->allowed, actions);
        hedge_print(text, sizeof(text), actions, n);

        printf("#   %u: %s %u, allowed %u -> %s\n", 1000 * (i + 1),
               event_names[s->event], s->attempt, s->allowed, text);
    }
}
