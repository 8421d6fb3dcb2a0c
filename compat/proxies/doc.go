// Package proxies runs deliveries to ittybit.WebhookHandler through real reverse proxies: nginx,
// HAProxy, Varnish, Apache httpd, Caddy and httputil.ReverseProxy. It has no API: all of it is
// tests.
//
//	go test -race ./...
//	go test -race -tags long ./...   # also the proxies' own keep-alive times: six minutes
//
// The tests start the programs on loopback, as a user that is not root, and skip those that are
// not installed; where ITTYBIT_TEST_REQUIRE_PROXIES names their programs ("nginx haproxy"), they
// fail. On Debian, and for Caddy, of which Debian has an old one:
//
//	apt-get install nginx-light haproxy varnish apache2-bin
//	go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9
//
// What the tests pin down is in docs/deploying.md.
package proxies
