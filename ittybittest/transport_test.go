package ittybittest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

type contextKey struct{}

func TestMemoryTransport_isLikeHTTP(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		assert.Equal(t, "https://api.ittybit.test", a.srv.URL)
		ctx := context.WithValue(t.Context(), contextKey{}, "private")
		a.srv.SetFaults(ittybittest.Faults{Request: func(r *http.Request) (f ittybittest.RequestFault) {
			assert.Nil(t, r.Context().Value(contextKey{}), "a client's context stays with it")
			assert.Equal(t, "api.ittybit.test", r.Host)
			assert.Equal(t, "/media?page=1", r.RequestURI)
			assert.Empty(t, r.URL.Host)
			assert.NotEmpty(t, r.UserAgent())
			assert.Equal(t, []string{"a", "b"}, r.Header["X-Many"])
			return f
		}})
		req := a.request("GET", "/media?page=1", "").WithContext(ctx)
		req.Header["x-many"] = []string{"a", "b"}
		resp, err := a.http.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		assert.Equal(t, 200, resp.StatusCode)
		assert.Equal(t, "HTTP/1.1", resp.Proto)
		assert.Equal(t, int64(2), resp.ContentLength)
		assert.Equal(t, "application/json; charset=utf-8", resp.Header.Get("Content-Type"))

		a.srv.SetFaults(ittybittest.Faults{})
		head := a.send("HEAD", "/media", "")
		assert.Equal(t, http.StatusOK, head.status)
		assert.Empty(t, head.raw)
	})
}

func TestMemoryTransport_knowsOneHost(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		req := a.request("POST", "/media", "{}")
		req.URL.Host = "api.ittybit.com"
		_, err := a.try(req)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		assert.Empty(t, a.list("/media"))
	})
}

func TestMemoryTransport_honoursTheContext(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		_, err := a.try(a.request("POST", "/media", "{}").WithContext(canceled(t)))
		require.ErrorIs(t, err, context.Canceled)
		synctest.Wait()
		assert.Empty(t, a.list("/media"))
	})
}

// stalling is a body that begins, and then stalls until it is released.
type stalling struct {
	begun    bool
	stalls   chan struct{} // closed when Read does not return
	released chan struct{}
}

func (s *stalling) Read(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		return copy(p, "{"), nil
	}
	close(s.stalls)
	<-s.released
	return copy(p, "}"), io.EOF
}

// net/http's client returns only when a body's Read has returned, whatever the context says.
func TestMemoryTransport_hangsWhileABodyStallsAsSocketsDo(t *testing.T) {
	stall := func(t *testing.T, a api) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		body := &stalling{stalls: make(chan struct{}), released: make(chan struct{})}
		req := a.request("POST", "/media", "x").WithContext(ctx)
		req.Body, req.ContentLength = io.NopCloser(body), -1
		ended := make(chan error, 1)
		go func() {
			_, err := a.try(req)
			ended <- err
		}()
		<-body.stalls
		cancel()
		select {
		case err := <-ended:
			t.Errorf("the request ended with %v while its body stalled", err)
		case <-time.After(50 * time.Millisecond):
		}
		close(body.released)
		require.ErrorIs(t, <-ended, context.Canceled)
		assert.Empty(t, a.list("/media"), "what comes after the end of the context is not acted on")
	}
	bubble(t, nil, stall)
	stall(t, open(t))
}

func TestMemoryTransport_aBodyThatFailsIsAnError(t *testing.T) {
	broken := errors.New("broken body")
	bubble(t, nil, func(t *testing.T, a api) {
		req := a.request("POST", "/media", "x")
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), readerFunc(func() error { return broken })))
		req.ContentLength = -1
		_, err := a.try(req)
		require.ErrorIs(t, err, broken)
		synctest.Wait()
		assert.Empty(t, a.list("/media"))
	})
}

type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, f() }

func TestMemoryTransport_tracesWhatWasWritten(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		var events []string
		trace := &httptrace.ClientTrace{
			GetConn:      func(string) { events = append(events, "conn") },
			WroteHeaders: func() { events = append(events, "headers") },
			WroteRequest: func(httptrace.WroteRequestInfo) { events = append(events, "request") },
		}
		send := func(host string) {
			events = nil
			req := a.request("POST", "/media", "{}")
			req.URL.Host = host
			_, _ = a.try(req.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		}
		send("api.ittybit.test")
		assert.Equal(t, []string{"conn", "headers", "request"}, events)
		a.srv.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropBefore})
		send("api.ittybit.test")
		assert.Equal(t, []string{"conn", "headers", "request"}, events)
		send("elsewhere")
		assert.Equal(t, []string{"conn"}, events)
	})
}

func TestMemoryTransport_aPanicIsADroppedConnection(t *testing.T) {
	for name, c := range map[string]struct {
		do     func()
		logged bool
	}{
		"panic":  {func() { panic("boom") }, true},
		"abort":  {func() { panic(http.ErrAbortHandler) }, false},
		"goexit": {runtime.Goexit, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			calls := 0
			h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if calls++; calls == 1 {
					c.do()
				}
			})
			bubble(t, h, func(t *testing.T, a api) {
				a.create("/tasks", hookedTask)
				d := await(t, a.srv, final)
				assert.True(t, d.Delivered())
				assert.Equal(t, 2, d.Attempt)
				first := a.srv.Deliveries()[0]
				assert.ErrorIs(t, first.Err, io.EOF)
				assert.Zero(t, first.StatusCode)
				a.srv.Close()
				assert.Equal(t, c.logged, strings.Contains(log.String(), "boom"))
			}, ittybittest.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		})
	}
}

func TestMemoryTransport_receiverMaySetDeadlines(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		control := http.NewResponseController(w)
		if control.SetReadDeadline(time.Now().Add(time.Second)) != nil || control.SetWriteDeadline(time.Time{}) != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	bubble(t, h, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		assert.Equal(t, 1, await(t, a.srv, final).Attempt)
	})
}

func TestMemoryTransport_streamsBothBodies(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		reader, writer := io.Pipe()
		done := make(chan answer, 1)
		go func() { done <- a.do(a.upload("/a.mp4", reader, -1)) }()
		part := strings.Repeat("x", 100_000)
		for range 10 { // a pipe holds nothing: each part is taken before the next comes
			_, err := io.WriteString(writer, part)
			require.NoError(t, err)
		}
		a.store("GET", "/a.mp4", "", "", "").refused(t, 404, "Not found: /")
		require.NoError(t, writer.Close())
		require.Equal(t, 201, (<-done).status)

		resp, err := a.http.Do(must(http.NewRequest(http.MethodGet, a.srv.StorageURL+"/a.mp4", nil)))
		require.NoError(t, err)
		assert.Equal(t, int64(10*len(part)), resp.ContentLength)
		begin := make([]byte, len(part))
		_, err = io.ReadFull(resp.Body, begin)
		require.NoError(t, err)
		assert.Equal(t, part, string(begin))
		require.NoError(t, resp.Body.Close())
		synctest.Wait() // or the bubble would complain of a handler that hangs
	})
}

func TestMemoryTransport_knowsHowLongABodyMustBe(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		_, err := a.try(a.upload("/a.mp4", io.MultiReader(strings.NewReader("fil")), 4))
		require.ErrorContains(t, err, "http: ContentLength=4 with Body length 3")
		_, err = a.srv.OpenStored("a.mp4")
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestMemoryTransport_theClientsContextEndsAnAnswerThatStreams(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		require.Equal(t, 201, a.put("/a.mp4", strings.Repeat("x", 1<<20), "").status)
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := a.http.Do(must(http.NewRequestWithContext(ctx, http.MethodGet, a.srv.StorageURL+"/a.mp4", nil)))
		require.NoError(t, err)
		defer resp.Body.Close()
		cancel()
		synctest.Wait()
		_, err = io.ReadAll(resp.Body)
		assert.ErrorIs(t, err, context.Canceled)
	})
}
