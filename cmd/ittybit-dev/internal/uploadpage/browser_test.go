// Package uploadpage_test runs examples/upload/browser in a browser. It is here because this module
// has what drives one.
package uploadpage_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// storage passes on to the storage of a local Ittybit what a browser sends, and may lose it.
type storage struct {
	mu     sync.Mutex
	proxy  *httputil.ReverseProxy
	ranges []string        // of the PUTs
	lose   map[string]bool // those whose connection is cut
}

// ServeHTTP implements http.Handler.
func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		span := r.Header.Get("Content-Range")
		s.mu.Lock()
		s.ranges = append(s.ranges, span)
		lost := s.lose[span]
		s.mu.Unlock()
		if lost {
			_, _ = io.CopyN(io.Discard, r.Body, 1)
			panic(http.ErrAbortHandler)
		}
	}
	s.proxy.ServeHTTP(w, r)
}

func (s *storage) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ranges)
}

func (s *storage) losing(spans ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges, s.lose = nil, map[string]bool{}
	for _, span := range spans {
		s.lose[span] = true
	}
}

// browser starts Chromium, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.WSURLReadTimeout(time.Minute))
		if os.Geteuid() == 0 {
			opts = append(opts, chromedp.NoSandbox)
		}
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), opts...)
		ctx, stop := chromedp.NewContext(allocator)
		t.Cleanup(stopAllocator)
		t.Cleanup(stop)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		t.Cleanup(cancel)
		return ctx
	}
	t.Skip("Chromium is not installed: uploads are not tested in a browser.")
	return nil
}

// example starts the example, and gives the address of its page.
func example(t *testing.T, env ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "browser")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/ittybit/ittybit-go/examples/upload/browser").CombinedOutput()
	require.NoError(t, err, string(out))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := exec.Command(program, "-addr", address)
	cmd.Env = append(os.Environ(), env...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	return "http://" + address
}

func TestUploadPage_uploadsAndResumes(t *testing.T) {
	ctx := browser(t)
	local := ittybittest.NewTestServer(t)
	target, err := url.Parse(local.StorageURL)
	require.NoError(t, err)
	between := &storage{proxy: httputil.NewSingleHostReverseProxy(target)}
	front := httptest.NewServer(between)
	t.Cleanup(front.Close)
	page := example(t, "ITTYBIT_API_KEY="+local.APIKey, "ITTYBIT_DOMAIN="+front.URL)

	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<12) // 65,536 bytes
	file := filepath.Join(t.TempDir(), "my film.mp4")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	upload := func(query, want string) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, // a page of its own each time: the one before was closed
			chromedp.Navigate(page+"/"+query),
			chromedp.SetUploadFiles("#file", []string{file}),
			chromedp.Click("#start"),
		))
		var status string
		require.Eventually(t, func() bool {
			status, err = chromedp.Run(ctx, chromedp.Evaluate[string](`document.getElementById("status").value`))
			return err == nil && status != "" && status != "uploading"
		}, time.Minute, 20*time.Millisecond)
		require.Contains(t, status, want)
	}
	stored := func() []byte {
		f, err := local.OpenStored("uploads/my-film.mp4")
		require.NoError(t, err)
		defer f.Close()
		data, err := io.ReadAll(f)
		require.NoError(t, err)
		return data
	}

	upload("", "uploaded") // whole
	assert.Equal(t, content, stored())
	assert.Equal(t, []string{""}, between.sent())

	content[0] = 'X'
	require.NoError(t, os.WriteFile(file, content, 0o600))
	between.losing("bytes=40000-59999/65536")
	upload("?chunk=20000", "failed")
	assert.Equal(t, "bytes=0-19999/65536 bytes=20000-39999/65536", strings.Join(between.sent()[:2], " "))
	assert.Contains(t, between.sent()[2:], "bytes=40000-59999/65536")

	between.losing()
	upload("?chunk=20000", "uploaded")
	assert.Equal(t, []string{"bytes=40000-59999/65536", "bytes=60000-65535/65536"}, between.sent(), "what was confirmed is not sent again")
	assert.Equal(t, content, stored())
}
