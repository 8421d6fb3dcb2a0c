package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A browser that opened the printed address stays signed in when serve is started again on the
// same directory and port.
func TestServe_opensAConsole(t *testing.T) {
	dir := t.TempDir()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	status := func(address string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		require.NoError(t, err)
		req.Header.Set("X-Ittybit-Console", "1")
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	page, stop := consoleOf(t, "--data", dir)
	u, err := url.Parse(page)
	require.NoError(t, err)
	list := u.Scheme + "://" + u.Host + "/api/_local/deliveries"
	assert.Equal(t, http.StatusUnauthorized, status(list))
	assert.Equal(t, http.StatusOK, status(page))
	assert.Equal(t, http.StatusOK, status(list))
	stop()
	again, stop := consoleOf(t, "--data", dir, "--console-addr", u.Host)
	defer stop()
	assert.Equal(t, page, again)
	assert.Equal(t, http.StatusOK, status(list))
}

func TestServe_wantsAPasswordForAConsoleThatOthersReach(t *testing.T) {
	code, _, errOut := command(t, "serve", "--addr", "127.0.0.1:0", "--storage-addr", "127.0.0.1:0", "--console-addr", "0.0.0.0:0")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errOut, "needs a password")
	page, _ := consoleOf(t, "--console-addr", "0.0.0.0:0", "--password", "a long password of a test")
	assert.True(t, strings.HasPrefix(page, "http://127.0.0.1:"), page)
}
