#!/usr/bin/env bash
# Software: smee-client 5.0.0 (npm), on Node.js. It relays the webhooks that a smee.io channel has taken to a laptop. Here a
#   local server of events stands for the channel, in the form that smee.io gives them: one JSON object of fields and body.
# Expected: a delivery that its sender has sent with Transfer-Encoding: chunked is relayed like any other; fields that
#   concern one connection only are left out, as a relay does that makes a request of its own.
# Seen: the client copies transfer-encoding beside a content-length of its own, its HTTP library refuses that request, and
#   the delivery never arrives. An error is logged on the laptop; the sender had its 200 long before.
# Why it matters: many HTTP clients send chunked when they stream a body. A developer who tries a receiver out sees nothing
#   arrive, and looks for the mistake in the receiver.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund smee-client@5.0.0 >/dev/null 2>&1
cat >main.mjs <<'JS'
import http from "node:http";
import { readFileSync } from "node:fs";
import * as smee from "smee-client";

const SmeeClient = smee.default ?? smee.SmeeClient;
const arrived = [];
const target = http.createServer((request, response) => {
  arrived.push(request.headers["x-delivery"]);
  request.resume();
  response.end();
});
const deliveries = [
  { "x-delivery": "length", "content-length": "12" },
  { "x-delivery": "chunked", "transfer-encoding": "chunked" },
  { "x-delivery": "last", "content-length": "12" },
];
const channel = http.createServer((_, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const fields of deliveries) {
    response.write(`data: ${JSON.stringify({ ...fields, body: { id: "a1" }, query: {} })}\n\n`);
  }
});
const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
const errors = [];
const logger = { info() {}, error: (error) => errors.push(String(error?.cause ?? error)) };
const client = new SmeeClient({
  source: `http://127.0.0.1:${await listen(channel)}/channel`,
  target: `http://127.0.0.1:${await listen(target)}/`,
  logger,
});
await client.start();
for (let i = 0; i < 100 && !arrived.includes("last"); i++) await new Promise((done) => setTimeout(done, 100));
await new Promise((done) => setTimeout(done, 500));
const version = JSON.parse(readFileSync("node_modules/smee-client/package.json")).version;
console.log(`smee-client ${version}, Node.js ${process.version}`);
console.log(`sent: length, chunked, last; arrived: ${arrived.toSorted().join(", ")}; logged: ${errors.join("; ")}`);
const asSeen = arrived.includes("length") && arrived.includes("last") && !arrived.includes("chunked");
if (!asSeen) console.log("CHANGED");
process.exit(asSeen ? 0 : 1);
JS
node main.mjs
