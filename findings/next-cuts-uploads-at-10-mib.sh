#!/usr/bin/env bash
# Software: next 16.4.6 (npm), on Node.js: a rewrite to another server, and a route handler, with and without a proxy.js (the
#   former middleware.js) that does nothing but NextResponse.next().
# Expected: a body of 12 MiB reaches the other server and the route whole; where there is a limit, the sender gets 413.
# Seen: a rewrite passes on at most the first 10 MiB, and then the end. A chunked upload arrives as a complete request, and its
#   200 goes back. With Content-Length the other server waits for the rest until the sender gives up. A route handler that
#   proxy.js matches gets no more, either: arrayBuffer() succeeds, beside a Content-Length that is still the whole one. One
#   that it doesn't match gets everything. A line in Next's log is all there is.
# Source: the option middlewareClientMaxBodySize, which the log line names, has a page in Next's documentation.
# Why it matters: rewrites are the usual way to put a Go server behind a Next site, and a proxy.js comes with most logins. Every
#   larger upload through it is stored with its end missing, and everybody sees 200. Send uploads to the other server
#   itself, or to a signed URL; compare the length where there is one.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export NEXT_TELEMETRY_DISABLED=1
mkdir -p app/upload
echo '{"name":"finding","private":true}' >package.json
cat >next.config.mjs <<'JS'
export default {
  rewrites: async () => [{ source: "/rewritten/:path*", destination: `http://127.0.0.1:${process.env.BACKEND}/:path*` }],
};
JS
echo 'export default function Layout({ children }) { return <html><body>{children}</body></html>; }' >app/layout.js
cat >app/upload/route.js <<'JS'
export async function POST(request) {
  const body = await request.arrayBuffer();
  return new Response(`${body.byteLength} of ${request.headers.get("content-length")}`);
}
JS
cp -r app/upload app/unmatched
cat >proxy.js <<'JS'
import { NextResponse } from "next/server";
export const proxy = () => NextResponse.next();
export const config = { matcher: ["/upload"] };
JS
npm install --silent --no-audit --no-fund next@16.4.6 react@19.3.1 react-dom@19.3.1 >/dev/null 2>&1
cat >main.mjs <<'JS'
import http from "node:http";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

const next = "node_modules/next/dist/bin/next";
const whole = Buffer.alloc(12 << 20);
const received = []; // what the server behind the rewrite was sent, and whether it had its end
const backend = http.createServer((request, response) => {
  let bytes = 0;
  request.on("data", (chunk) => (bytes += chunk.length));
  request.on("error", () => received.push(`${bytes}, broken off`));
  request.on("end", () => {
    received.push(`${bytes}, complete`);
    response.end(String(bytes));
  });
});
const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
const unused = http.createServer();
const port = await listen(unused);
unused.close();
const env = { ...process.env, BACKEND: String(await listen(backend)) };

const send = (path, headers) =>
  new Promise((done) => {
    const options = { host: "127.0.0.1", port, path, method: "POST", headers, timeout: 5000 };
    const request = http.request(options, async (response) => {
      let text = "";
      for await (const part of response) text += part;
      done(`${response.statusCode} ${text}`);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => done("no response"));
    request.end(whole);
  });

execFileSync("node", [next, "build"], { env, stdio: "ignore" });
const server = spawn("node", [next, "start", "-H", "127.0.0.1", "-p", String(port)], { env, stdio: "ignore" });
const length = { "content-length": whole.length };
const seen = {};
try {
  for (let i = 0; i < 100 && (await send("/unmatched", length)) === "no response"; i++)
    await new Promise((done) => setTimeout(done, 200));
  seen.unmatched = await send("/unmatched", length);
  seen.matched = await send("/upload", length);
  seen.chunked = await send("/rewritten/x", { "transfer-encoding": "chunked" });
  seen.length = await send("/rewritten/x", length);
  await new Promise((done) => setTimeout(done, 1000));
} finally {
  server.kill();
  await once(server, "exit");
}
const version = JSON.parse(readFileSync("node_modules/next/package.json")).version;
console.log(`next ${version}, Node.js ${process.version}; bodies of ${whole.length} bytes`);
console.log(`route:                         ${seen.unmatched}`);
console.log(`route that proxy.js matches:   ${seen.matched}`);
console.log(`rewrite, chunked:              ${seen.chunked}; the other server had ${received[0]}`);
console.log(`rewrite, Content-Length:       ${seen.length}; the other server had ${received[1]}`);
const first = (text) => Number(text?.match(/^(?:200 )?(\d+)/)?.[1]);
const isCut = (bytes) => bytes > 9 << 20 && bytes <= 10 << 20; // the chunk that passes the limit is dropped
const asSeen =
  seen.unmatched === `200 ${whole.length} of ${whole.length}` &&
  seen.matched.endsWith(` of ${whole.length}`) && isCut(first(seen.matched)) &&
  isCut(first(seen.chunked)) && received[0] === `${first(seen.chunked)}, complete` &&
  seen.length === "no response" && isCut(first(received[1])) && received[1].endsWith("broken off");
if (!asSeen) console.log("CHANGED");
process.exit(asSeen ? 0 : 1);
JS
timeout 400 node main.mjs
