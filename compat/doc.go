// Package compat runs one table of deliveries through ittybit.WebhookHandler inside the real
// frameworks, adapters and middleware that people mount it in. It has no API: all of it is tests.
//
//	go test -race ./...
//
// Each way to mount the receiver is a row (rows_*_test.go), and runs in a child process, so that
// a library that ends its process is seen. The expected responses are those of plain net/http
// (deliveries_test.go); where a library makes another one of them, the row says which, since
// which version, and why. Folder proxies does the same with reverse proxies in front.
//
// The module is a workspace of its own: its frameworks would raise everybody's versions.
package compat
