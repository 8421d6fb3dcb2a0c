#!/usr/bin/env bash
# Software: github.com/gofiber/fiber/v3 v3.1.0, middleware/idempotency, with the sender's id of a webhook as its key
#   (KeyHeader), and its default Lifetime of 30 minutes.
# Expected: what succeeded is not run again. What failed (5xx) is, when the sender comes again: that is what it comes for. At
#   the least, all ways to answer 503 are alike.
# Seen: a 503 that the handler has written is stored like any other response, and given to each repeat for half an hour, without
#   the handler. One that it returns as an error (fiber.NewError, or any error) is not stored, and the repeat is handled. A
#   net/http handler behind Fiber's adaptor always writes its status, so all of its 5xx are stored.
# Why it matters: a database is away for a second, the receiver answers 503 to be asked again, and is not: the sender's
#   attempts over the next 30 minutes are all answered by the first 503, and after them the event is lost. Return errors
#   from the handler, or leave the middleware out and deduplicate where the work is committed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/gofiber/fiber/v3@v3.1.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
)

func main() {
	app, runs := fiber.New(), 0
	app.Use(idempotency.New(idempotency.Config{
		KeyHeader:         "Webhook-Id",
		KeyHeaderValidate: func(string) error { return nil }, // by default, only keys of 36 characters
	}))
	away := func() bool { runs++; return runs == 1 } // the database is away for the first delivery only
	app.Post("/written", func(c fiber.Ctx) error {
		if away() {
			return c.Status(fiber.StatusServiceUnavailable).SendString("later")
		}
		return c.SendString("handled")
	})
	app.Post("/error", func(c fiber.Ctx) error {
		if away() {
			return fiber.ErrServiceUnavailable
		}
		return c.SendString("handled")
	})
	app.Post("/adaptor", adaptor.HTTPHandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away() {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "handled")
	}))
	changed := false
	for path, want := range map[string]string{
		"/written": "503 503 503, handler called 1", "/error": "503 200 200, handler called 2", "/adaptor": "503 503 503, handler called 1",
	} {
		runs = 0
		var statuses []string
		for range 3 {
			request := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
			request.Header.Set("Webhook-Id", "evt_"+path)
			resp, err := app.Test(request)
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			statuses = append(statuses, fmt.Sprint(resp.StatusCode))
		}
		got := fmt.Sprintf("%s, handler called %d", strings.Join(statuses, " "), runs)
		fmt.Printf("%-9s three attempts: %s\n", path, got)
		changed = changed || got != want
	}
	if changed {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
GO
echo "fiber $(go list -m -f '{{.Version}}' github.com/gofiber/fiber/v3)"
go run .
