/*
 * A headless Chromium, driven by lines of JSON on the standard input; see
 * SmartBrowser.pm.  Each line is answered by one: { value } or { error }.
 */

"use strict";

const fs = require("fs");
const readline = require("readline");
const { chromium } = require("playwright-core");

/* what has no place in a page that is well: asked for by "bad" */
const bad = [];

let browser;
let context;
let page;


async function open(o) {
    if (context) {
        await context.close();
    }

    context = await browser.newContext({
        viewport: { width: o.width || 1440, height: o.height || 900 },
        deviceScaleFactor: o.scale || 1,
        colorScheme: o.dark ? "dark" : "light",
        reducedMotion: "reduce",
        locale: "en-GB",
        timezoneId: "UTC"
    });

    page = await context.newPage();

    await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", e => {
            console.error("policy: " + e.violatedDirective + " "
                          + e.blockedURI);
        });
    });

    page.on("console", message => {
        if (["error", "warning", "assert"].includes(message.type())) {
            bad.push(message.type() + ": " + message.text());
        }
    });

    page.on("pageerror", e => bad.push("exception: " + e.message));

    const requests = [];

    page.on("request", request => requests.push(request.url()));
    await page.goto(o.url);

    page.requests = requests;
}


const actions = {
    open,

    text: o => page.locator(o.select).first().innerText(),
    texts: o => page.locator(o.select).allInnerTexts(),
    choose: async o => { await page.selectOption(o.select, { label: o.value }); },
    click: o => page.click(o.select),
    press: o => page.keyboard.press(o.key),
    size: o => page.setViewportSize({ width: o.width, height: o.height }),
    requests: () => page.requests,

    /* until an expression is true, at most so many seconds */
    wait: async o => {
        const end = Date.now() + 1000 * (o.seconds || 10);

        while (!await page.evaluate(o.code)) {
            if (Date.now() > end) {
                throw new Error("still not: " + o.code);
            }

            await new Promise(done => setTimeout(done, 50));
        }
    },

    value: o => page.evaluate(o.code),

    shot: async o => {
        await page.screenshot({ path: o.file, fullPage: !!o.full });
    },

    /* what axe finds against */
    axe: async () => {
        await page.evaluate(fs.readFileSync(
            require.resolve("axe-core/axe.min.js"), "utf8"));

        const found = await page.evaluate(() => window.axe.run());

        return found.violations.map(v => v.id + ": " + v.help + " ("
            + v.nodes.map(n => n.target.join(" ")).join(", ") + ")");
    },

    bad: () => bad.splice(0)
};


(async () => {
    browser = await chromium.launch({
        executablePath: process.argv[2],
        args: ["--no-sandbox", "--disable-dev-shm-usage"]
    });

    for await (const line of readline.createInterface({
        input: process.stdin
    })) {
        const o = JSON.parse(line);
        let answer;

        try {
            const value = await actions[o.do](o);

            answer = { value: value === undefined ? null : value };

        } catch (e) {
            answer = { error: e.message };
        }

        process.stdout.write(JSON.stringify(answer) + "\n");
    }

    await browser.close();
})().catch(e => {
    process.stdout.write(JSON.stringify({ error: e.message }) + "\n");
    process.exit(1);
});
