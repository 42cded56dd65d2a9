/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * What the counters mean: no DOM here.
 */

"use strict";

const SmartData = (() => {

const HISTOGRAMS = ["nginx_smart_attempt_duration_seconds/primary",
                    "cancelled", "failed", "rescued"];


/* the counters of all locations together, or of one: sums */

function pick(data, where) {
    const sum = {};

    for (const loc of data.locations) {
        if (where !== "" && key(loc) !== where) {
            continue;
        }

        for (const [name, value] of Object.entries(loc)) {
            if (typeof value === "number") {
                sum[name] = (sum[name] || 0) + value;

            } else if (value && value.buckets) {
                const h = sum[name] || {
                    sum: 0, buckets: value.buckets.map(() => 0)
                };

                h.sum += value.sum;
                value.buckets.forEach((n, i) => { h.buckets[i] += n; });
                sum[name] = h;
            }
        }
    }

    return sum;
}


function key(loc) {
    return loc.server + "\n" + loc.location;
}


/*
 * A gauge of the locations that are meant: [lowest, highest]; null if it has
 * no number, for which a 0 can be taken; undefined if there is none
 */

function gauge(data, where, name, skipZero) {
    const values = data.locations
        .filter(loc => where === "" || key(loc) === where)
        .map(loc => loc[name])
        .filter(value => value !== undefined);

    if (values.length === 0) {
        return undefined;
    }

    const known = values.filter(value => value !== null
                                         && !(skipZero && value === 0));

    return known.length === 0 ? null
                              : [Math.min(...known), Math.max(...known)];
}


/* what was counted between two sums; per second with "seconds" */

function delta(from, to, name) {
    return (to[name] || 0) - (from[name] || 0);
}


/* counts per bucket between two sums */

function buckets(from, to, name) {
    const a = from[name] ? from[name].buckets : null;
    const b = to[name] ? to[name].buckets : [];
    let before = 0;

    return b.map((n, i) => {
        const count = n - (a ? a[i] : 0);
        const own = count - before;

        before = count;
        return Math.max(own, 0);
    });
}


/*
 * The time to the answer as it is: of a request that its primary won, the
 * primary's; of one that a hedge won, the age of the primary at that moment.
 */

function answered(from, to) {
    const [all, cancelled, failed, rescued] =
        HISTOGRAMS.map(name => buckets(from, to, name));

    return all.map((n, i) => Math.max(n - cancelled[i] - failed[i], 0)
                             + rescued[i]);
}


/*
 * The time to the answer had nothing been hedged: the primaries', of which
 * those that were cancelled would have taken longer, nobody knows how much.
 * This is the life table of actuaries, the estimate of Kaplan and Meier for
 * counts per bucket: of those cancelled within a bucket one half was watched
 * through it.  It is kept low: what failed counts with the time to its
 * failure, and nothing is guessed beyond what has been seen.
 *
 * Returns the share that is still waiting at the end of each bucket; it ends
 * where nothing is known any more.
 */

function waiting(from, to) {
    const all = buckets(from, to, HISTOGRAMS[0]);
    const cancelled = buckets(from, to, HISTOGRAMS[1]);
    const shares = [];
    let left = all.reduce((a, b) => a + b, 0);
    let share = 1;

    for (let i = 0; i < all.length && left > 0; i++) {
        const lost = Math.min(cancelled[i], all[i]);
        const ended = all[i] - lost;
        const risk = left - lost / 2;

        if (ended > 0) {
            share *= 1 - ended / risk;
        }

        left -= all[i];

        /* all that were left have been cancelled: the rest is unknown */

        if (ended === 0 && left <= 0 && share > 0) {
            break;
        }

        shares.push(share);
    }

    return shares;
}


/* of counts per bucket; { value, more }, more: it is that or longer */

function quantile(counts, bounds, q) {
    const total = counts.reduce((a, b) => a + b, 0);

    if (total === 0) {
        return null;
    }

    let sum = 0;

    return quantileOf(counts.map(n => {
        sum += n;
        return 1 - sum / total;
    }), bounds, q);
}


/* of shares that are still waiting at the ends of buckets */

function quantileOf(shares, bounds, q) {
    const limit = 1 - q;
    let before = 1;

    for (let i = 0; i < shares.length && i < bounds.length; i++) {

        if (shares[i] <= limit + 1e-12) {
            const low = i ? bounds[i - 1] : 0;
            const part = before === shares[i] ? 1
                       : (before - limit) / (before - shares[i]);

            return { value: low + (bounds[i] - low) * part, more: false };
        }

        before = shares[i];
    }

    if (shares.length === 0) {
        return null;
    }

    const last = Math.min(shares.length, bounds.length);

    return { value: bounds[last - 1], more: true };
}


function latency(from, to, bounds, q) {
    const now = quantile(answered(from, to), bounds, q);
    const hedged = delta(from, to, "nginx_smart_attempts_total/hedge") > 0;

    /* without hedges both are the same */

    const without = hedged ? quantileOf(waiting(from, to), bounds, q) : now;

    return { now, without };
}


/* the values of a text of metrics: { name: sum of its samples } */

function metrics(text) {
    const sums = {};

    for (const line of text.split("\n")) {
        const m = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)$/.exec(line);

        if (m) {
            sums[m[1]] = (sums[m[1]] || 0) + Number(m[2]);
        }
    }

    return sums;
}


return { pick, key, gauge, delta, buckets, answered, waiting, quantile,
         quantileOf, latency, metrics };

})();

if (typeof module !== "undefined") {
    module.exports = SmartData;
}
