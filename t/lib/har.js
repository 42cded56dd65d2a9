// Whether an export opens where HAR 1.2 is read: by har-validator, which many
// tools use. Prints how many entries there are, or what is wrong.
//
//     node t/lib/har.js FILE

"use strict";

const fs = require("fs");
const validator = require("har-validator/lib/async");

const har = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

validator.har(har, (errors, valid) => {
    console.log(valid ? har.log.entries.length : JSON.stringify(errors));
});
