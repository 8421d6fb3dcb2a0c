#!/usr/bin/env bash
# Software: github.com/prometheus/alertmanager v0.35.0, packages notify/webhook and notify/discord.
# Expected: a webhook that is answered 429 or 408 is sent again, as those statuses say, and as Alertmanager does it with 429
#   for Slack, Discord, PagerDuty and others; with 503, after Retry-After, which this version has a place for.
# Seen: a webhook is sent again after 5xx only. 429, 408 and 425 end it, whatever Retry-After says; after 503, Retry-After is
#   not looked at.
# Source: prometheus/alertmanager issue 2121, closed, and pull request 2145, not taken.
# Why it matters: rate limiters in front of a receiver (and its own protection against floods) answer 429, and do so when
#   there is most to be said. That notification is dropped; the next one comes with the group's interval, minutes later, if
#   the alert is still there then. Answer 503 to what shall come again.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/prometheus/alertmanager@v0.35.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	amcommoncfg "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/discord"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/template"
	commoncfg "github.com/prometheus/common/config"
)

func main() {
	status := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
	}))
	defer receiver.Close()
	tmpl, err := template.FromGlobs(nil)
	check(err)
	tmpl.ExternalURL, err = url.Parse("http://alertmanager.example.test")
	check(err)
	address, err := url.Parse(receiver.URL)
	check(err)
	logger := slog.New(slog.DiscardHandler)
	w, err := webhook.New(&webhook.WebhookConfig{
		URL: amcommoncfg.SecretTemplateURL(receiver.URL), HTTPConfig: &commoncfg.HTTPClientConfig{},
	}, tmpl, logger)
	check(err)
	d, err := discord.New(&discord.DiscordConfig{
		WebhookURL: &amcommoncfg.SecretURL{URL: address}, HTTPConfig: &commoncfg.HTTPClientConfig{},
	}, tmpl, logger)
	check(err)
	ctx := notify.WithGroupKey(context.Background(), "group")
	var lines []string
	for _, status = range []int{503, 429, 408, 425} {
		byWebhook, toDiscord := w.Notify(ctx), d.Notify(ctx)
		lines = append(lines, fmt.Sprintf("%d: webhook again %t (after %v), Discord again %t", status, byWebhook.ShouldRetry(), byWebhook.Delay(), toDiscord.ShouldRetry()))
	}
	fmt.Println(strings.Join(lines, "\n"))
	want := []string{
		"503: webhook again true (after 0s), Discord again true",
		"429: webhook again false (after 0s), Discord again true",
		"408: webhook again false (after 0s), Discord again false",
		"425: webhook again false (after 0s), Discord again false",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "alertmanager $(go list -m -f '{{.Version}}' github.com/prometheus/alertmanager)"
go run .
