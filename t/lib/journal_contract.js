/*
 * Holds the journal's API against the OpenAPI document of its server:
 *
 *   journal_contract.js http://127.0.0.1:8080 /schema PREFIX
 *
 * Each call is made so that each of its answers comes, but for 503; status,
 * media type and body must be as the document says.  Prints TAP.
 */

"use strict";

const Ajv = require("ajv/dist/2020");

const [base, place, prefix] = process.argv.slice(2);

const ID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
const OTHER = "6ba7b810-9dad-41d1-80b4-00c04fd430c9";
const RECORD = { id: ID, timestamp: 1700000000.25, duration: 0.5,
                 target_url: "http://a.example/", response_code: 200 };
const FRAME = "?from=2023-01-01&to=2033-01-01T00:00:00Z";
const MANY = "x".repeat(20000);

/* method, call, what of the document, body; in this order */

const calls = [
    ["put", "/get", 201, RECORD],
    ["put", "/get", 201, { ...RECORD, id: OTHER, response_code: null }],
    ["put", "/get", 200, RECORD],
    ["put", "/get", 409, { ...RECORD, response_code: 201 }],
    ["put", "/get", 413, { ...RECORD, target_url: MANY }],
    ["put", "/get", 422, { ...RECORD, duration: -1 }],
    ["put", "/get", 400, [1]],
    ["get", "/get", 200],
    ["get", "/get?limit=1", 200],
    ["get", "/get?id=" + ID, 200],
    ["get", "/get?id=" + OTHER.replace(/9$/, "7"), 404],
    ["get", "/get?limit=0", 400],
    ["get", "/get?code=2xx&state=complete&host=a.example&method=GET&url=a",
     200],
    ["head", "/get", 200],
    ["head", "/get?limit=0", 400],
    ["get", "/time-frame" + FRAME, 200],
    ["get", "/time-frame", 400],
    ["head", "/time-frame" + FRAME, 200],
    ["get", "/frequent-website", 200],
    ["get", "/frequent-website?top=5&by=url", 200],
    ["get", "/frequent-website?by=x", 400],
    ["head", "/frequent-website", 200],
    ["get", "/export", 200],
    ["get", "/export?format=csv", 200],
    ["get", "/export?format=har", 200],
    ["get", "/export?format=x", 400],
    ["head", "/export", 200]
];

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


function resolve(doc, value) {
    return value && value.$ref
           ? value.$ref.slice(2).split("/").reduce((v, k) => v[k], doc)
           : value;
}


async function check(ajv, doc, [method, call, status, body]) {
    const name = `${method} ${call.slice(0, 60)} ${status}`;
    const operation = (doc.paths[prefix + call.replace(/\?.*/, "")]
                       || {})[method];
    const described = resolve(doc, operation && operation.responses[status]);

    ok(described, name + ": described", Object.keys(doc.paths));

    const answer = await fetch(base + prefix + call, {
        method: method.toUpperCase(), body: body && JSON.stringify(body)
    });
    const text = await answer.text();

    ok(answer.status === status, name + ": the status",
       answer.status + " " + text);

    /* each parameter that was given is in the document */

    const known = (operation.parameters || []).map(p => resolve(doc, p).name);
    const given = [...new URLSearchParams(call.split("?")[1] || "").keys()];

    ok(given.every(p => known.includes(p)), name + ": its parameters", known);

    if (method === "head") {
        ok(text === "", name + ": no body", text);
        return;
    }

    const type = (answer.headers.get("content-type") || "").split(";")[0];
    const media = described.content[type];

    ok(media, name + ": the type", type);

    const valid = ajv.compile({
        ...media.schema, components: doc.components
    });

    ok(valid(/^application\/(problem\+)?json$/.test(type)
             ? JSON.parse(text) : text),
       name + ": the body", JSON.stringify(valid.errors) + "\n" + text);

    if (method === "put" && status < 300) {
        const request = ajv.compile({
            ...operation.requestBody.content["application/json"].schema,
            components: doc.components
        });

        ok(request(body), name + ": its own body",
           JSON.stringify(request.errors));
    }
}


(async () => {
    const doc = await (await fetch(base + place)).json();
    const ajv = new Ajv({ strict: false, allErrors: true,
                          validateFormats: false });

    for (const call of calls) {
        await check(ajv, doc, call);
    }

    console.log("1.." + n);
    process.exit(failed ? 1 : 0);
})();
