package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestRun_tellsTheWholeStoryAgainstALocalIttybit(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, env(nil)))

	text := out.String()
	assert.Contains(t, text, "Mode: local Ittybit")
	assert.Equal(t, 2, strings.Count(text, "Received and verified: "), text)
	assert.Regexp(t, `(?m)^task_\S+ +task\.completed +nsfw: false`, text)
	assert.Regexp(t, `(?m)^med_\S+ +media\.created +title: "Quickstart"$`, text)
}

func TestRun_asksForTheWebhookURLBeforeItTouchesARealAccount(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), &out, env(map[string]string{"ITTYBIT_API_KEY": "key"}))
	require.ErrorContains(t, err, "WEBHOOK_URL is missing")
	assert.Empty(t, out.String())
}

func TestRun_saysInWhichModeItRanAndGivesUpWithItsContext(t *testing.T) {
	// A port of this machine plays the public address; nothing is sent to it, for the context has ended.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	var out strings.Builder
	err = run(ctx, &out, env(map[string]string{
		"ITTYBIT_API_KEY": "key", "WEBHOOK_URL": "https://hooks.example.com", "PORT": port,
	}))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, out.String(), "Mode: real Ittybit, which calls https://hooks.example.com")
}
