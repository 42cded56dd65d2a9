/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The journal's section of the page: the latest records, or those that a
 * search finds.
 */

"use strict";

const SmartJournal = (() => {

const PAGE = 20;
const PATIENCE = 5000;          /* ms that an answer may take */

const STATES = ["open", "complete", "aborted", "interrupted"];

const METRICS = [
    ["records", "nginx_smart_journal_records_total", "recorded"],
    ["written", "nginx_smart_journal_written_total", "written"],
    ["queue", "nginx_smart_journal_queue_records", "waiting"],
    ["dropped", "nginx_smart_journal_dropped_total", "dropped"],
    ["up", "nginx_smart_journal_store_up", "store"]
];

let parts = null;               /* elements, made when they are needed */
let api = null;
let asking = false;
let searching = false;          /* a search stands there: nothing newer */
let next = null;                /* the page that follows, as a query string */


/*
 * Called with each answer of data.json.  "journal" is null where the module
 * is not loaded, else { metrics, api }: the text of $smart_journal_metrics, and
 * the path of the call that lists records, null where this server has none.
 */

function update(section, journal) {
    section.hidden = journal === null;

    if (journal === null) {
        return;
    }

    if (parts === null) {
        build(section.querySelector("#journal-body"));
    }

    api = journal.api;
    parts.form.hidden = api === null;
    parts.scroll.hidden = api === null;

    figures(journal.metrics || "");

    if (api !== null && !searching) {
        ask("?limit=" + PAGE, false);
    }
}


function node(name, attributes, ...children) {
    const element = document.createElement(name);

    for (const [key, value] of Object.entries(attributes)) {
        element.setAttribute(key, value);
    }

    element.append(...children);

    return element;
}


function field(name, label, type, hint) {
    return node("label", {}, label, node("input", {
        name, type, placeholder: hint, autocomplete: "off"
    }));
}


function build(body) {
    const states = node("select", { name: "state" },
                        node("option", { value: "" }, "any"),
                        ...STATES.map(state => node("option", { value: state },
                                                    state)));
    const heads = ["time", "state", "code", "seconds", "method", "url"]
        .map(name => node("th", { scope: "col" }, name));

    parts = {
        sums: node("p", { id: "journal-sums" }),
        form: node("form", { id: "journal-search", role: "search" },
                   field("url", "url has ", "search", "part of it"),
                   field("code", "code ", "text", "404, 5xx"),
                   node("label", {}, "state ", states),
                   field("from", "from ", "datetime-local", ""),
                   field("to", "to ", "datetime-local", ""),
                   node("button", { type: "submit" }, "Search"),
                   node("button", { type: "reset" }, "Latest")),
        note: node("p", { id: "journal-note", role: "status" }),
        rows: node("tbody", { id: "journal-rows" }),
        more: node("button", { type: "button", id: "journal-more" }, "More")
    };

    parts.more.hidden = true;
    parts.scroll = node("div", { class: "scroll", tabindex: "0",
                                 role: "group",
                                 "aria-labelledby": "journal-title" },
                        node("table", {},
                             node("thead", {}, node("tr", {}, ...heads)),
                             parts.rows));

    parts.form.addEventListener("submit", event => {
        event.preventDefault();
        search();
    });

    parts.form.addEventListener("reset", () => {
        searching = false;
        ask("?limit=" + PAGE, false);
    });

    parts.more.addEventListener("click", () => {
        searching = true;
        ask(next, true);
    });

    body.replaceChildren(parts.sums, parts.form, parts.note, parts.scroll,
                         parts.more);
}


/* each metric summed over its labels */

function figures(text) {
    const sums = {};

    for (const line of text.split("\n")) {
        const match = /^([a-z_]+)(?:\{[^}]*\})? ([0-9.e+-]+)$/.exec(line);

        if (match) {
            sums[match[1]] = (sums[match[1]] || 0) + Number(match[2]);
        }
    }

    const words = METRICS.filter(row => row[1] in sums).map(row =>
        row[0] === "up" ? row[2] + (sums[row[1]] ? " up" : " DOWN")
                        : sums[row[1]].toLocaleString("en") + " " + row[2]);

    parts.sums.textContent = words.join(", ");
    parts.sums.classList.toggle("bad", sums[METRICS[4][1]] === 0);
}


function search() {
    const values = new FormData(parts.form);
    const query = new URLSearchParams({ limit: PAGE });
    let frame = false;

    for (const name of ["url", "code", "state"]) {
        const value = values.get(name).trim();

        if (value !== "") {
            query.set(name, value);
        }
    }

    /* the call wants both ends */

    for (const [name, end] of [["from", "0001-01-01T00:00:00Z"],
                               ["to", "9999-12-31T23:59:59Z"]])
    {
        const value = values.get(name);

        frame = frame || value !== "";
        query.set(name, value === "" ? end : new Date(value).toISOString());
    }

    if (!frame) {
        query.delete("from");
        query.delete("to");
    }

    searching = true;
    ask("?" + query, false);
}


/* a frame is another call, beside the one that lists */

function address(query) {
    return /[?&]from=/.test(query) ? api.replace(/[^/]*$/, "time-frame") + query
                                   : api + query;
}


async function ask(query, add) {
    if (asking && !searching) {
        return;
    }

    const mine = {};
    asking = mine;

    try {
        const answer = await fetch(address(query), {
            cache: "no-store", signal: AbortSignal.timeout(PATIENCE)
        });
        const value = await answer.json();

        if (asking !== mine) {
            return;
        }

        if (answer.ok) {
            const link = /<(\?[^>]*)>/.exec(answer.headers.get("Link") || "");

            next = link ? link[1] : null;
            show(value, add);

        } else {
            note(value.detail || answer.statusText);
        }

    } catch (error) {
        if (asking === mine) {
            note("The journal does not answer");
        }
    }

    if (asking === mine) {
        asking = false;
    }
}


function note(message) {
    parts.note.textContent = message;
}


function show(records, add) {
    const rows = records.map(row);

    if (add) {
        parts.rows.append(...rows);

    } else {
        parts.rows.replaceChildren(...rows);
    }

    parts.more.hidden = next === null;

    note(!searching ? ""
         : parts.rows.children.length + " found"
           + (next === null ? "" : " so far, there may be more"));
}


function row(record) {
    const cells = [
        new Date(record.timestamp).toLocaleString(),
        record.state,
        record.response_code === null ? "–" : record.response_code,
        record.duration === null ? "–" : record.duration.toFixed(3),
        record.method === null ? "–" : record.method,
        record.target_url
    ].map(value => {
        const cell = document.createElement("td");

        cell.textContent = value;

        return cell;
    });

    cells[1].className = "state-" + record.state;
    cells[5].className = "url";
    cells[5].title = record.target_url;

    const line = document.createElement("tr");

    line.append(...cells);

    return line;
}


return { update };

})();
