// Judges answers by an OpenAPI document, with ajv: node openapi.js DOCUMENT < ANSWERS. An answer is a line of JSON,
// {"method", "path" as the document has it, "status" or null for a request, "type", "body"}; for each a line is printed,
// empty when the document allows it, else what is wrong.
'use strict';
const fs = require('fs');
const Ajv = require('ajv/dist/2020');

const document = JSON.parse(fs.readFileSync(process.argv[2]));
const ajv = new Ajv({strict: true, strictTypes: false, strictRequired: false, allErrors: true});
const compiled = new Map();

function inlined(schema) {                 // what refers to the document refers to the schema's own definitions
    return JSON.parse(JSON.stringify(schema).replaceAll('#/components/schemas/', '#/$defs/'));
}
const $defs = inlined(document.components.schemas);

function judge({method, path, status, type, body}) {
    const operation = (document.paths[path] || {})[method];
    if (!operation) return 'no such operation';
    const described = status === null ? operation.requestBody : operation.responses[status];
    if (!described) return 'no such status';
    const content = described.content[type];
    if (!content) return `no such type: ${type}`;
    const key = [method, path, status, type].join(' ');
    if (!compiled.has(key)) compiled.set(key, ajv.compile({$defs, ...inlined(content.schema)}));
    const valid = compiled.get(key);
    return valid(body) ? '' : ajv.errorsText(valid.errors).replaceAll('\n', ' ');
}

for (const line of fs.readFileSync(0, 'utf8').split('\n'))
    if (line) console.log(judge(JSON.parse(line)));
