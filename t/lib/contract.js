/*
 * Holds a live server against its own OpenAPI document:
 *
 *   contract.js http://127.0.0.1:8080 /schema
 *
 * Each response that the document names for an operation is provoked, and its
 * status, media type and body must be as it says.  Prints TAP.  The upstream
 * behind the server is upstream.pl, which does what the argument "s" says.
 */

"use strict";

const Ajv = require("ajv/dist/2020");
const yaml = require("js-yaml");

const [base, place] = process.argv.slice(2);

const METHODS = ["get", "head", "put", "post", "patch", "delete", "options"];

/* how each response comes about: arguments, headers */
const provoke = {
    200: { s: "type:application/json;"
              + 'body:{"id":7,"time":5,"user":{"name":"x","tags":["a"]}}' },
    "2XX": { s: "status:201;body:{}" },
    304: { etag: true },
    "3XX": { s: "status:302" },
    400: { timeout: "soon" },
    "4XX": { s: "status:404" },
    502: { s: "status:500" },
    504: { s: "hang", timeout: "30" },
    default: { s: "status:503" }
};

/* only from elsewhere */
const unseen = ["403"];

let n = 0;
let failed = 0;


function ok(good, name, why) {
    n++;
    failed += !good;
    console.log((good ? "" : "not ") + "ok " + n + " - " + name);

    if (!good) {
        console.log("# " + String(why).replace(/\n/g, "\n# "));
    }
}


function pointer(...keys) {
    return "#/" + keys.map(key => encodeURIComponent(
        key.replace(/~/g, "~0").replace(/\//g, "~1"))).join("/");
}


/* a request as the parameters want it, with what provokes the response */

function request(path, parameters, how, unique) {
    const query = new URLSearchParams();
    const headers = {};

    for (const p of parameters) {
        const given = p.name !== "rest" && how.timeout !== undefined
                      ? how.timeout : String(p.example);

        if (p.in === "path") {
            path = path.replace("{" + p.name + "}", "some/thing");

        } else if (p.in === "query") {
            query.set(p.name, given);

        } else if (p.in === "header") {
            headers[p.name] = given;

        } else if (p.in === "cookie") {
            headers.cookie = p.name + "=" + given;
        }
    }

    if (how.s) {
        query.set("id", unique);
        query.set("s", how.s);
    }

    return { url: base + path + (query.size ? "?" + query : ""), headers };
}


function accepted(content, type) {
    return Object.keys(content).find(key => key === type || key === "*/*"
        || (key.endsWith("/*") && type.startsWith(key.slice(0, -1))));
}


function parsed(type, text) {
    return /json$/.test(type) ? JSON.parse(text)
         : /yaml$/.test(type) ? yaml.load(text) : text;
}


async function check(ajv, doc, path, method, key, accept) {
    const item = doc.paths[path];
    const response = item[method].responses[key];
    const how = provoke[key];
    const name = method + " " + path + " " + key
                 + (accept ? " as " + accept : "");

    if (!how) {
        ok(false, name, "it is not known how to provoke it");
        return;
    }

    const parameters = [...(item.parameters || []),
                        ...(item[method].parameters || [])];
    const { url, headers } = request(path, parameters, how, "c" + n);

    if (accept) {
        headers.accept = accept;
    }

    if (how.etag) {
        headers["if-none-match"] = (await fetch(url)).headers.get("etag");
    }

    const answer = await fetch(url, {
        method: method.toUpperCase(), headers, redirect: "manual",
        body: ["put", "post", "patch"].includes(method) ? "{}" : undefined
    });

    const text = await answer.text();
    const status = String(answer.status);
    const right = key === "default" ? !(status in item[method].responses)
                : key.endsWith("XX") ? status[0] === key[0] : status === key;

    ok(right, name + ": the status", status + " " + text);

    if (method === "head") {
        ok(text === "", name + ": no body", text);
        return;
    }

    if (!response.content) {
        return;
    }

    const type = (answer.headers.get("content-type") || "").split(";")[0];
    const media = accepted(response.content, type);

    ok(media && (!accept || type === accept), name + ": the type", type);

    if (!media) {
        return;
    }

    const valid = ajv.compile({ $ref: "doc" + pointer("paths", path, method,
        "responses", key, "content", media, "schema") });

    ok(valid(parsed(type, text)), name + ": the body",
       JSON.stringify(valid.errors) + "\n" + text);
}


(async () => {
    const doc = await (await fetch(base + place)).json();
    const ajv = new Ajv({ strict: false, allErrors: true,
                          validateFormats: false });

    ajv.addSchema(doc, "doc");

    const text = await (await fetch(base + place, {
        headers: { accept: "application/yaml" }
    })).text();

    ok(JSON.stringify(yaml.load(text)) === JSON.stringify(doc),
       "YAML says what JSON says", text);

    for (const [path, item] of Object.entries(doc.paths)) {
        for (const method of METHODS.filter(m => item[m])) {
            for (const [key, response]
                 of Object.entries(item[method].responses))
            {
                if (unseen.includes(key)) {
                    continue;
                }

                const types = Object.keys(response.content || {})
                    .filter(type => !type.includes("*"));

                if (types.length < 2) {
                    await check(ajv, doc, path, method, key);
                }

                for (const type of types.length > 1 ? types : []) {
                    await check(ajv, doc, path, method, key, type);
                }
            }
        }
    }

    console.log("1.." + n);
    process.exit(failed ? 1 : 0);
})().catch(e => {
    console.log("not ok - " + e.stack.replace(/\n/g, " "));
    process.exit(1);
});
