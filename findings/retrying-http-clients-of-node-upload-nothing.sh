#!/usr/bin/env bash
# Software: axios 1.21.1 with axios-retry 4.5.0, undici 7.30.2 (interceptors.retry), got 14.6.6 (npm), on Node.js.
# Expected: a body that can be read only once is not sent again: the client gives the 503 or an error back, as got and undici
#   say for Node's file streams ("Cannot retry with consumed body stream").
# Seen: the second request has no body, the server stores an empty file, and the client gives back its 200.
#   - axios-retry: a file stream, after a 503 (PUT is among the methods that it repeats by default).
#   - undici's interceptor: an iterable, which is also what fetch makes of every stream that is its body. request with a file
#     stream is refused.
#   - got: an async generator after a 503; a file stream after a redirect with 307, which does not ask whether it was read.
# Why it matters: signed URLs are uploaded to by PUT, and storage answers 503 and 307 now and then. The file is there, empty,
#   and nobody is told. Give these clients a Buffer or a Blob, or make the stream anew for each attempt.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund axios@1.21.1 axios-retry@4.5.0 undici@7.30.2 got@14.6.6 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import axios from "axios";
import axiosRetry from "axios-retry";
import got from "got";
import { Agent, fetch, interceptors, request } from "undici";

const size = 300000;
writeFileSync("file", Buffer.alloc(size));
const file = () => createReadStream("file");
async function* generator() {
  for (let i = 0; i < 3; i++) yield Buffer.alloc(size / 3);
}

// The storage answers the first request of each case with a status, and takes what comes then.
let first, received;
const storage = http.createServer((request, response) => {
  let length = 0;
  request.on("data", (data) => (length += data.length));
  request.on("end", () => {
    received.push(length);
    const status = received.length === 1 ? first : 200;
    response.writeHead(status, status === 307 ? { location: "/elsewhere" } : { "retry-after": "0" });
    response.end();
  });
});
await new Promise((done) => storage.listen(0, "127.0.0.1", done));
const url = `http://127.0.0.1:${storage.address().port}/file`;

const client = axios.create();
axiosRetry(client, { retries: 2 });
const dispatcher = new Agent().compose(interceptors.retry({ maxRetries: 2, minTimeout: 10 }));
const cases = [
  ["axios-retry, file stream, 503", 503, async () => (await client.put(url, file())).status, "300000,0 200"],
  ["undici, file stream, 503", 503, async () => (await request(url, { method: "PUT", body: file(), dispatcher })).statusCode, "300000 UND_ERR_REQ_RETRY"],
  ["undici, generator, 503", 503, async () => (await request(url, { method: "PUT", body: generator(), dispatcher })).statusCode, "300000,0 200"],
  ["undici, fetch, file stream, 503", 503, async () => (await fetch(url, { method: "PUT", body: file(), duplex: "half", dispatcher })).status, "300000,0 200"],
  ["got, file stream, 503", 503, async () => (await got.put(url, { body: file() })).statusCode, "300000 ERR_NON_2XX_3XX_RESPONSE"],
  ["got, generator, 503", 503, async () => (await got.put(url, { body: generator() })).statusCode, "300000,0 200"],
  ["got, file stream, 307", 307, async () => (await got.put(url, { body: file() })).statusCode, "300000,0 200"],
];
const version = (name) => `${name} ${JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version}`;
console.log(`${["axios", "axios-retry", "undici", "got"].map(version).join(", ")}, Node.js ${process.version}`);
console.log("what was done                   bytes of each request, what the client says");
let changed = false;
for (const [name, status, put, expected] of cases) {
  first = status;
  received = [];
  const result = await put().catch((error) => error.code);
  const seen = `${received} ${result}`;
  console.log(name.padEnd(31), seen);
  changed ||= seen !== expected;
}
if (changed) console.log("CHANGED");
process.exit(changed ? 1 : 0);
JS
node main.mjs
