/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Asks for data.json, keeps some minutes of it, and shows what it means.
 */

/* global SmartData, SmartChart, SmartJournal */

"use strict";

(() => {

const EVERY = 2000;             /* ms between answers and the next question */
const PATIENCE = 5000;          /* ms that an answer may take */
const WINDOW = 60;              /* s that figures are about */
const SMOOTH = 10;              /* s that a point of a rate is about */
const SAMPLES = 300;            /* at most, and fewer with many locations */
const NUMBERS = 45000;

const byId = id => document.getElementById(id);

const samples = [];             /* { time, data }; no data: no answer */
const charts = {};

let page = null;                /* what the files of the page are called */
let asking = false;
let since = null;               /* when the server went silent */
let failures = 0;
let timer = 0;
let spoken = 0;


/* numbers */

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const shorter = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });


function count(n) {
    return n === undefined ? "–" : whole.format(Math.round(n));
}


function perSecond(n) {
    return short.format(n >= 100 ? Math.round(n) : n);
}


function percent(part, all) {
    if (!all) {
        return "–";
    }

    const share = 100 * part / all;

    return (share === 0 || share >= 10 ? Math.round(share)
                                       : shorter.format(share)) + " %";
}


function time(seconds) {
    if (seconds < 0.9995) {
        const ms = seconds * 1000;

        return (ms < 10 ? short.format(ms) : Math.round(ms)) + " ms";
    }

    if (seconds < 100) {
        return short.format(seconds) + " s";
    }

    return seconds < 7200 ? short.format(seconds / 60) + " min"
                          : short.format(seconds / 3600) + " h";
}


function bound(q) {
    return q === null ? "–" : (q.more ? "≥ " : "") + time(q.value);
}


function text(id, value) {
    const element = byId(id);

    if (element.textContent !== value) {
        element.textContent = value;
    }
}


/* what is chosen */

function chosen() {
    return byId("where").value;
}


function level() {
    return Number(document.querySelector("input[name=q]:checked").value);
}


function levelName() {
    return "p" + Math.round(level() * 100);
}


/* asking */

async function poll() {
    if (asking) {
        return;
    }

    clearTimeout(timer);
    asking = true;

    try {
        const answer = await fetch("data.json", {
            cache: "no-store", credentials: "same-origin",
            signal: AbortSignal.timeout(PATIENCE)
        });

        if (!answer.ok) {
            throw new Error("status " + answer.status);
        }

        got(await answer.json());

    } catch (e) {
        silent(e);
    }

    asking = false;
    timer = setTimeout(poll, document.hidden ? 5 * EVERY
                             : Math.min(EVERY * Math.max(failures, 1), 10000));
}


function got(data) {
    const last = latest();

    failures = 0;
    since = null;

    if (last && restarted(last.data, data)) {
        samples.length = 0;
        notice("The counters began again.");
    }

    if (page !== null && page !== data.page) {
        notice("This page has been updated on the server: load it again.");
    }

    page = data.page;
    samples.push({ time: data.time, data });

    const most = Math.min(SAMPLES,
                          Math.max(40, NUMBERS / (data.locations.length || 1)));

    while (samples.length > most) {
        samples.shift();
    }

    state("live", "Live");
    show(data);
}


function silent(e) {
    const last = latest();

    failures++;

    if (since === null) {
        since = new Date();
    }

    if (last && samples[samples.length - 1].data) {
        samples.push({ time: last.time + EVERY / 1000, data: null });
        draw(last);
    }

    const what = e.name === "TimeoutError" ? "does not answer"
               : /^status/.test(e.message) ? "answers with " + e.message
               : "is not reachable";

    state("lost", "The server " + what + " since "
                  + since.toLocaleTimeString([], { hour12: false })
                  + ", trying again");
}


/* counters of the zone survive a reload, and nothing else */

function restarted(before, now) {
    const name = "nginx_smart_start_time_seconds";

    return before[name] !== now[name];
}


function latest() {
    for (let i = samples.length - 1; i >= 0; i--) {
        if (samples[i].data) {
            return samples[i];
        }
    }

    return null;
}


/* the youngest sample that is at least so old, or the oldest there is */

function before(index, seconds) {
    const limit = samples[index].time - seconds;
    let found = null;

    for (let i = index - 1; i >= 0; i--) {
        if (samples[i].data) {
            found = samples[i];

            if (found.time <= limit) {
                break;
            }
        }
    }

    return found;
}


function sums(sample) {
    const where = chosen();

    if (sample.where !== where) {
        sample.where = where;
        sample.sums = SmartData.pick(sample.data, where);
    }

    return sample.sums;
}


/* showing */

function state(kind, message) {
    const element = byId("state");

    element.dataset.state = kind;
    document.body.classList.toggle("stale", kind === "lost");

    /* a screen reader says each change once, not each second */

    text("state", message);
    document.title = (kind === "lost" ? "(no answer) " : "") + "nginx smart";
}


function notice(message) {
    const element = byId("notice");

    element.textContent = message;
    element.hidden = false;
}


function show(data) {
    text("version", "ngx_smart_module " + data.version + ", nginx "
                    + data.nginx);
    offer(data);

    const current = latest();
    const from = before(samples.indexOf(current), WINDOW) || current;

    figures(data, sums(from), sums(current), current.time - from.time);
    tables(data, from, current);
    draw(current);

    SmartJournal.update(byId("journal"), data.journal);
}


/* the locations that can be chosen */

function offer(data) {
    const select = byId("where");
    const keys = data.locations.map(SmartData.key);
    const known = [...select.options].slice(1).map(option => option.value);

    if (keys.length === known.length
        && keys.every((key, i) => key === known[i]))
    {
        return;
    }

    const was = select.value;
    const servers = new Set(data.locations.map(loc => loc.server));

    select.replaceChildren(select.options[0], ...data.locations.map(loc => {
        const option = document.createElement("option");

        option.value = SmartData.key(loc);
        option.textContent = title(loc, servers.size > 1);
        return option;
    }));

    select.value = keys.includes(was) ? was : "";
}


function title(loc, server) {
    return server ? loc.server + " " + loc.location : loc.location;
}


const codes = name => ["1xx", "2xx", "3xx", "4xx", "5xx"]
    .map(code => "nginx_smart_requests_total/" + code);

const HEDGES = "nginx_smart_attempts_total/hedge";
const WON = "nginx_smart_attempts_finished_total/hedge/won";
const PRIMARIES = "nginx_smart_attempts_total/primary";
const ERRORS = "nginx_smart_requests_total/5xx";
const HELD = "nginx_smart_suppressed_total/";


function requests(from, to) {
    return codes().reduce((n, name) => n + SmartData.delta(from, to, name), 0);
}


function held(from, to) {
    return Object.keys(to).filter(name => name.startsWith(HELD))
        .reduce((n, name) => n + SmartData.delta(from, to, name), 0);
}


function figures(data, from, to, seconds) {
    const where = chosen();
    const all = requests(from, to);
    const sent = SmartData.delta(from, to, HEDGES);
    const per = seconds > 0 ? all / seconds : 0;

    text("requests-rate", perSecond(per) + " /s");
    text("requests-total", count(requests({}, to)));
    text("in-flight", count(to.nginx_smart_requests_in_flight || 0));

    text("errors-rate", percent(SmartData.delta(from, to, ERRORS), all));
    text("errors-total", count(to[ERRORS] || 0));
    byId("errors-rate").classList.toggle("bad",
                                SmartData.delta(from, to, ERRORS) > 0);

    text("hedges-rate", percent(sent, SmartData.delta(from, to, PRIMARIES)));
    text("hedges-total", count(to[HEDGES] || 0));
    text("won-rate", percent(SmartData.delta(from, to, WON), sent));
    text("won-total", count(to[WON] || 0));

    const dry = to.nginx_smart_dry_run_hedges_total || 0;

    byId("dry").hidden = dry === 0;
    text("dry-total", count(dry));

    budget(SmartData.gauge(data, where, "nginx_smart_budget_tokens"));
    text("delay", range(SmartData.gauge(data, where,
                                        "nginx_smart_delay_seconds", true),
                        time));

    balance(to);
    reasons(to);
    speed(data, from, to);
}


function range(gauge, format) {
    if (gauge === undefined || gauge === null) {
        return "–";
    }

    const [low, high] = gauge.map(format);

    if (low === high) {
        return low;
    }

    const unit = high.slice(high.indexOf(" "));

    return (low.endsWith(unit) ? low.slice(0, -unit.length) : low)
           + " – " + high;
}


function budget(gauge) {
    if (gauge === null) {
        text("budget", "no limit");
        text("budget-sub", "as many hedges as are due");
        return;
    }

    text("budget", range(gauge, n => count(Math.floor(n))));
    text("budget-sub", "hedges at once");
}


function speed(data, from, to) {
    const { now, without } = SmartData.latency(from, to, data.bounds, level());

    text("latency-q", levelName());
    text("locations-q", levelName());
    text("now", bound(now));
    text("without", bound(without));

    const cut = now && without && without.value > 0 && !now.more
              ? 1 - now.value / without.value : null;

    text("gain", cut === null ? "–"
                 : (without.more && cut > 0 ? "≥ " : "")
                   + Math.max(Math.round(100 * cut), 0) + " %");
}


/* bars to one scale */

function bar(id, share) {
    byId(id).style.width = (100 * share).toFixed(2) + "%";
}


function balance(to) {
    const saved = to.nginx_smart_saved_seconds_total;
    const wasted = to.nginx_smart_wasted_seconds_total || 0;
    const most = Math.max(saved || 0, wasted) || 1;

    text("saved-total", saved === undefined ? "–" : time(saved));
    text("wasted-total", time(wasted));
    bar("saved-bar", (saved || 0) / most);
    bar("wasted-bar", wasted / most);
}


const WORDS = {
    budget: "budget used up", no_peer: "no other peer",
    busy: "other peers busier", method: "method not hedged",
    body: "body too large", warmup: "still warming up",
    deadline: "deadline too near", phase: "not waiting for an upstream"
};


function reasons(to) {
    const rows = Object.keys(to).filter(name => name.startsWith(HELD))
        .map(name => ({ reason: name.slice(HELD.length), n: to[name] }))
        .filter(row => row.n > 0)
        .sort((a, b) => b.n - a.n);
    const most = rows.length ? rows[0].n : 1;

    if (rows.length === 0) {
        byId("reasons").replaceChildren(paragraph("none"));
        return;
    }

    byId("reasons").replaceChildren(...rows.slice(0, 4).map(row => {
        const line = element("p", "line");
        const fill = element("span", "fill held");
        const outer = element("span", "bar");

        line.setAttribute("role", "listitem");
        line.dataset.reason = row.reason;
        outer.setAttribute("aria-hidden", "true");
        fill.style.width = (100 * row.n / most).toFixed(2) + "%";
        outer.append(fill);
        line.append(element("span", "what", WORDS[row.reason] || row.reason),
                    outer, element("span", "value", count(row.n)));
        return line;
    }));
}


function element(name, className, content) {
    const e = document.createElement(name);

    e.className = className;

    if (content !== undefined) {
        e.textContent = content;
    }

    return e;
}


function paragraph(content) {
    const p = element("p", "empty", content);

    p.setAttribute("role", "listitem");
    return p;
}


function tables(data, from, to) {
    peers(data);
    locations(data, from, to);
}


const RESULTS = ["won", "cancelled", "failed", "rejected"];


function peers(data) {
    const upstreams = new Set(data.peers.map(peer => peer.upstream));
    const rows = data.peers.map(peer => {
        const of = result => peer["nginx_smart_peer_attempts_total/" + result];

        return {
            name: upstreams.size > 1 ? peer.upstream + " " + peer.peer
                                     : peer.peer,
            attempts: RESULTS.reduce((n, result) => n + of(result), 0),
            failed: of("failed") + of("rejected"),
            lost: peer.nginx_smart_peer_lost_total
        };
    }).filter(row => row.attempts > 0)
      .sort((a, b) => b.lost / b.attempts - a.lost / a.attempts
                      || b.attempts - a.attempts)
      .slice(0, 50);

    fill("peers", rows.map(row => {
        const tr = document.createElement("tr");
        const share = element("td", "share");
        const outer = element("span", "bar");
        const inner = element("span", "fill lost");

        outer.setAttribute("aria-hidden", "true");
        inner.style.width = (100 * row.lost / row.attempts).toFixed(2) + "%";
        outer.append(inner);
        share.append(outer, element("span", "value",
                                    percent(row.lost, row.attempts)));
        tr.append(head(row.name), element("td", "n", count(row.attempts)),
                  element("td", "n", count(row.failed)),
                  element("td", "n", count(row.lost)), share);
        return tr;
    }), 5, "No attempt has ended yet.");
}


function locations(data, from, to) {
    const servers = new Set(data.locations.map(loc => loc.server));
    const seconds = to.time - from.time;
    const old = new Map(from.data.locations.map(loc => [SmartData.key(loc),
                                                        loc]));
    const rows = data.locations.map(loc => {
        const was = old.get(SmartData.key(loc)) || loc;
        const n = requests(was, loc);

        return { loc, was, n };
    }).sort((a, b) => b.n - a.n).slice(0, 50);

    fill("locations", rows.map(({ loc, was, n }) => {
        const tr = document.createElement("tr");
        const { now, without } = SmartData.latency(was, loc, data.bounds,
                                                   level());

        tr.append(head(title(loc, servers.size > 1)),
                  element("td", "n", seconds > 0 ? perSecond(n / seconds)
                                                 : "–"),
                  element("td", "n", percent(SmartData.delta(was, loc, ERRORS),
                                             n)),
                  element("td", "n", percent(SmartData.delta(was, loc, HEDGES),
                                             SmartData.delta(was, loc,
                                                             PRIMARIES))),
                  element("td", "n now", bound(now)),
                  element("td", "n without", bound(without)));
        return tr;
    }), 6, "No location is hedged or has a deadline.");
}


function head(content) {
    const th = element("th", "", content);

    th.scope = "row";
    th.title = content;
    return th;
}


function fill(id, rows, columns, none) {
    if (rows.length === 0) {
        const tr = document.createElement("tr");
        const td = element("td", "empty", none);

        td.colSpan = columns;
        tr.append(td);
        rows = [tr];
    }

    byId(id).replaceChildren(...rows);
}


/* charts */

function draw(current) {
    const bounds = current.data.bounds;
    const times = [];
    const lines = Array.from({ length: 7 }, () => []);

    samples.forEach((sample, i) => {
        const near = sample.data ? before(i, SMOOTH) : null;

        if (i === 0) {
            return;
        }

        times.push(sample.time);

        if (near === null) {
            lines.forEach(line => line.push(null));
            return;
        }

        point(sample, i, near, bounds).forEach((value, n) => {
            lines[n].push(value);
        });
    });

    if (times.length < 2) {
        lines.forEach(line => line.unshift(null));
        times.unshift(current.time - WINDOW);

        if (times.length < 2) {
            lines.forEach(line => line.push(null));
            times.push(current.time);
        }
    }

    const aloud = Date.now() - spoken > 15000;

    if (aloud) {
        spoken = Date.now();
    }

    charts.latency.set([times, lines[0], lines[1]],
        aloud && levelName() + " over time: now " + byId("now").textContent
        + ", had nothing been hedged " + byId("without").textContent);
    charts.traffic.set([times, lines[2], lines[3]],
        aloud && "Requests over time: now "
        + byId("requests-rate").textContent);
    charts.hedges.set([times, lines[4], lines[5], lines[6]],
        aloud && "Hedges over time: now sent for "
        + byId("hedges-rate").textContent + " of the requests");
}


/* what a sample adds to the charts; kept, while the same is asked for */

function point(sample, i, near, bounds) {
    const asked = chosen() + "\n" + level();

    if (sample.asked === asked) {
        return sample.point;
    }

    const far = before(i, WINDOW);
    const seconds = sample.time - near.time;
    const rate = n => seconds > 0 ? n / seconds : null;
    const to = sums(sample);
    const from = sums(near);
    const { now, without } = SmartData.latency(sums(far), to, bounds, level());

    sample.asked = asked;
    sample.point = [
        now && now.value,
        without && without.value,
        rate(requests(from, to)),
        rate(SmartData.delta(from, to, ERRORS)),
        rate(SmartData.delta(from, to, HEDGES)),
        rate(SmartData.delta(from, to, WON)),
        rate(held(from, to))
    ];

    return sample.point;
}


/* light and dark */

function dark() {
    const own = document.documentElement.dataset.theme;

    return own ? own === "dark"
               : matchMedia("(prefers-color-scheme: dark)").matches;
}


function theme() {
    byId("theme").setAttribute("aria-pressed", String(dark()));
    SmartChart.redraw();
}


function recall() {
    try {
        const kept = localStorage.getItem("smart-theme");

        if (kept === "dark" || kept === "light") {
            document.documentElement.dataset.theme = kept;
        }

    } catch (e) {
        /* a browser that keeps nothing */
    }
}


byId("theme").addEventListener("click", () => {
    const wanted = dark() ? "light" : "dark";

    document.documentElement.dataset.theme = wanted;

    try {
        localStorage.setItem("smart-theme", wanted);

    } catch (e) {
        /* then it is for this time only */
    }

    theme();
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);


function again() {
    const current = latest();

    spoken = 0;

    if (current) {
        show(current.data);
    }
}

byId("where").addEventListener("change", again);
byId("quantile").addEventListener("change", again);

document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
        poll();
    }
});


recall();
theme();

charts.latency = SmartChart.create(byId("chart-latency"), [
    { name: "now", color: "now", fill: "now-fill", width: 2 },
    { name: "had nothing been hedged", color: "without", dash: [5, 4] }
], time);

charts.traffic = SmartChart.create(byId("chart-traffic"), [
    { name: "requests", color: "requests", fill: "requests-fill" },
    { name: "errors", color: "errors" }
], perSecond);

charts.hedges = SmartChart.create(byId("chart-hedges"), [
    { name: "sent", color: "sent" },
    { name: "won", color: "won" },
    { name: "not sent", color: "held", dash: [3, 3] }
], perSecond);

poll();

})();
