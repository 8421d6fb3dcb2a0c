package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRun_printsAnAddressAndAKeyThatWork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx, writer, slog.New(slog.DiscardHandler))
		_ = writer.Close()
	}()
	var printed strings.Builder
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "In Go:") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	found := regexp.MustCompile(`ITTYBIT_URL=(\S+) ITTYBIT_API_KEY=(\S+)`).FindStringSubmatch(printed.String())
	require.Len(t, found, 3, printed.String())

	req, err := http.NewRequest(http.MethodPost, found[1]+"/tasks", strings.NewReader(`{"kind":"nsfw","url":"https://example.com/cat.jpg"}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+found[2])
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusCreated, resp.StatusCode)

	cancel()
	<-done
}
