/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * Charts over time, drawn by uPlot in the colours of the style sheet.
 */

/* global uPlot */

"use strict";

const SmartChart = (() => {

const charts = [];


/*
 * In the element, with these lines: { name, color, dash, fill, width }, where
 * color names a property of the style sheet; "unit" formats a value.  The
 * element is described by text for who cannot see it.
 */

function create(element, lines, unit) {
    const chart = { element, lines, unit, plot: null, data: null };

    element.setAttribute("role", "img");
    charts.push(chart);

    new ResizeObserver(() => fit(chart)).observe(element);

    return {
        set(data, label) {
            chart.data = data;

            if (chart.plot === null) {
                draw(chart);

            } else {
                chart.plot.setData(data);
            }

            if (label) {
                element.setAttribute("aria-label", label);
            }
        }
    };
}


function css(name) {
    return getComputedStyle(document.documentElement)
        .getPropertyValue("--" + name).trim();
}


function size(chart) {
    return { width: Math.max(chart.element.clientWidth, 120),
             height: Math.max(chart.element.clientHeight, 80) };
}


function fit(chart) {
    if (chart.plot) {
        chart.plot.setSize(size(chart));
    }
}


function draw(chart) {
    const font = "11px " + css("font");
    const axis = {
        stroke: css("dim"), font, ticks: { show: false },
        grid: { stroke: css("line"), width: 1 }
    };

    if (chart.plot) {
        chart.plot.destroy();
    }

    chart.plot = new uPlot({
        ...size(chart),
        padding: [8, 26, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 7 }, drag: { setScale: false } },
        scales: {
            x: { time: true },
            y: { range: (u, min, max) => [0, max > 0 ? max * 1.1 : 1] }
        },
        axes: [
            { ...axis, grid: { show: false }, space: 70, size: 22, gap: 4,
              values: (u, splits) => splits.map(clock) },
            { ...axis, size: 52, gap: 6, space: 32,
              values: (u, splits) => splits.map(chart.unit) }
        ],
        series: [
            {},
            ...chart.lines.map(line => ({
                label: line.name,
                stroke: css(line.color),
                width: line.width || 1.75,
                dash: line.dash,
                fill: line.fill ? css(line.fill) : undefined,
                points: { show: false },
                spanGaps: false
            }))
        ],
        plugins: [tip(chart)]
    }, chart.data, chart.element);
}


function clock(seconds) {
    return new Date(seconds * 1000).toLocaleTimeString([], {
        hour: "2-digit", minute: "2-digit", second: "2-digit",
        hour12: false
    });
}


/* the values under the pointer */

function tip(chart) {
    const box = document.createElement("div");

    box.className = "tip";
    box.hidden = true;
    box.setAttribute("aria-hidden", "true");

    return { hooks: {
        init: u => u.over.append(box),

        setCursor: u => {
            const i = u.cursor.idx;

            if (i === null || i === undefined || u.cursor.left < 0) {
                box.hidden = true;
                return;
            }

            const rows = [row(clock(u.data[0][i]), "")];

            chart.lines.forEach((line, n) => {
                const value = u.data[n + 1][i];

                rows.push(row(line.name, value === null || value === undefined
                                         ? "–" : chart.unit(value)));
            });

            box.replaceChildren(...rows);
            box.hidden = false;
            box.classList.toggle("left",
                                 u.cursor.left > u.over.clientWidth / 2);
            box.style.left = u.cursor.left + "px";
        }
    } };
}


function row(name, value) {
    const p = document.createElement("p");
    const b = document.createElement("b");

    p.textContent = name + " ";
    b.textContent = value;
    p.append(b);

    return p;
}


/* after the colours have changed */

function redraw() {
    for (const chart of charts) {
        if (chart.data) {
            draw(chart);
        }
    }
}


return { create, redraw };

})();
