#!/usr/bin/env bash
# Software: proxies as libraries of Node.js (npm): @fastify/http-proxy 11.6.3 with fastify 5.12.8, hono 4.13.19 (hono/proxy) with
#   @hono/node-server 2.1.9, express-http-proxy 2.1.2 with express 5.3.0; beside them http-proxy-middleware 3.0.11.
# Expected: a request with Expect: 100-continue is passed on like any other. The field concerns one connection: a proxy answers
#   100 itself, or hands the field on.
# Seen: Node answers 100, the sender sends its body, the proxies copy the field to the HTTP client below (undici, fetch,
#   http.request), which does not take it, and the sender gets 500. Nothing reaches the server behind. http-proxy-middleware
#   passes it on.
# Why it matters: curl sends it with bodies of more than 1 MB, the AWS SDKs with PutObject, and so do some senders of webhooks.
#   Small requests all pass, large ones all fail, each attempt again, and the server behind has no line in its log. Delete
#   request.headers.expect in front of the proxy.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 @fastify/http-proxy@11.6.3 hono@4.13.19 @hono/node-server@2.1.9 \
  express@5.3.0 express-http-proxy@2.1.2 http-proxy-middleware@3.0.11 >/dev/null 2>&1
cat >main.mjs <<'JS'
import http from "node:http";
import { once } from "node:events";
import express from "express";
import expressHttpProxy from "express-http-proxy";
import Fastify from "fastify";
import fastifyHttpProxy from "@fastify/http-proxy";
import { Hono } from "hono";
import { proxy } from "hono/proxy";
import { getRequestListener } from "@hono/node-server";
import { createProxyMiddleware } from "http-proxy-middleware";

console.error = () => {}; // some of them print the error
const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
let reached = 0;
const target = `http://127.0.0.1:${await listen(http.createServer((request, response) => {
  reached++;
  request.resume().on("end", () => response.end("ok"));
}))}`;

const fastify = Fastify();
fastify.register(fastifyHttpProxy, { upstream: target });
await fastify.listen({ host: "127.0.0.1", port: 0 });
const hono = new Hono().all("*", (c) => proxy(target + c.req.path, c.req));
const ports = {
  "http-proxy-middleware": await listen(http.createServer(express().use(createProxyMiddleware({ target })))),
  "@fastify/http-proxy": fastify.server.address().port,
  "hono/proxy": await listen(http.createServer(getRequestListener(hono.fetch))),
  "express-http-proxy": await listen(http.createServer(express().use(expressHttpProxy(target)))),
};

async function post(port, fields) {
  reached = 0;
  const headers = { "content-type": "application/json", "content-length": 2, ...fields };
  const request = http.request({ host: "127.0.0.1", port, path: "/hook", method: "POST", headers, timeout: 10000 });
  request.on("timeout", () => request.destroy());
  const answered = once(request, "response");
  if (fields.expect) {
    request.flushHeaders();
    await once(request, "continue");
  }
  request.end("{}");
  const [response] = await answered;
  response.resume();
  return `${response.statusCode}, ${reached ? "reached" : "not reached"}`;
}

let changed = false;
for (const [name, port] of Object.entries(ports)) {
  const [plain, expecting] = [await post(port, {}), await post(port, { expect: "100-continue" })];
  console.log(`${name.padEnd(22)} plain: ${plain}; with Expect: ${expecting}`);
  const want = name === "http-proxy-middleware" ? "200, reached" : "500, not reached";
  changed ||= plain !== "200, reached" || expecting !== want;
}
if (changed) console.log("CHANGED");
process.exit(changed ? 1 : 0);
JS
echo "Node.js $(node -v)"
timeout 60 node main.mjs
