package ittybit

import (
	"context"
	"errors"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/bodyread"
)

// budgetedHandler is a handler whose budget can be looked at.
func budgetedHandler(t *testing.T, next EventHandlerFunc, opts ...WebhookOption) (*WebhookHandler, *bodyread.Budget) {
	t.Helper()
	h, err := NewWebhookHandler("key", next, opts...)
	require.NoError(t, err)
	budget := bodyread.NewBudget(h.cfg.maxBuffered)
	h.bodies = bodyread.NewReader(h.verifier.maxBody, budget)
	return h, budget
}

func budgetedRequest(method, body, secret string) *http.Request {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.Header.Set(SignatureHeader, SignWebhook(secret, time.Now(), []byte(body)))
	return r
}

func TestWebhookHandler_givesBackWhatItTakes(t *testing.T) {
	large := `{"x":"` + strings.Repeat("x", 50_000) + `"}`
	h, budget := budgetedHandler(t, func(_ context.Context, e *Event) error {
		switch e.Type {
		case EventTaskFailed:
			return errors.New("no")
		case EventTaskCancelled:
			panic("boom")
		case EventMediaCreated:
			panic(http.ErrAbortHandler)
		case EventTaskUpdated:
			runtime.Goexit()
		}
		return nil
	}, WithMaxBodyBytes(100_000), WithMaxInFlight(4))
	requests := map[string]func() *http.Request{
		"handled": func() *http.Request { return budgetedRequest("POST", large, "key") },
		"empty":   func() *http.Request { return budgetedRequest("POST", "", "key") },
		"failed": func() *http.Request {
			return budgetedRequest("POST", `{"id":"task_1","object":"task","status":"failed"}`, "key")
		},
		"panicked": func() *http.Request {
			return budgetedRequest("POST", `{"id":"task_1","object":"task","status":"cancelled"}`, "key")
		},
		"aborted":   func() *http.Request { return budgetedRequest("POST", `{"id":"med_1","object":"media"}`, "key") },
		"ended":     func() *http.Request { return budgetedRequest("POST", `{"id":"task_1","object":"task"}`, "key") },
		"malformed": func() *http.Request { return budgetedRequest("POST", "[]", "key") },
		"unsigned":  func() *http.Request { return budgetedRequest("POST", large, "stranger") },
		"method":    func() *http.Request { return budgetedRequest("PUT", large, "key") },
		"too large": func() *http.Request { return budgetedRequest("POST", large+large, "key") },
		"lies":      func() *http.Request { r := budgetedRequest("POST", large+large, "key"); r.ContentLength = 1; return r },
		"broken": func() *http.Request {
			r := budgetedRequest("POST", large, "key")
			r.Body = brokenBody(errors.New("no"))
			return r
		},
		"a body panics":   func() *http.Request { r := budgetedRequest("POST", large, "key"); r.Body = brokenBody(nil); return r },
		"no body":         func() *http.Request { r := budgetedRequest("POST", "", "key"); r.Body = nil; return r },
		"a length of one": func() *http.Request { r := budgetedRequest("POST", large, "key"); r.ContentLength = 1; return r },
	}
	var group sync.WaitGroup
	for range 20 {
		for _, request := range requests {
			group.Go(func() {
				defer func() { _ = recover() }() // as a server does
				h.ServeHTTP(httptest.NewRecorder(), request())
			})
		}
	}
	group.Wait()
	assert.Zero(t, budget.Used())
	assert.Zero(t, h.inFlight.Load())
}

func TestWebhookHandler_givesBackWhatItTookWhereTheSignedContentPanics(t *testing.T) {
	h, budget := budgetedHandler(t, func(context.Context, *Event) error { return nil },
		WithSignedContent(func(hash.Hash, string, []byte) { panic("boom") }))
	for range 10 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, budgetedRequest("POST", "{}", "key"))
		assert.Equal(t, http.StatusInternalServerError, w.Code)
	}
	assert.Zero(t, budget.Used())
	assert.Zero(t, h.inFlight.Load())
}

func TestWebhookHandler_countsWhatItHolds(t *testing.T) {
	body := `{"x":"` + strings.Repeat("x", 5000) + `"}`
	var held func() int64
	var seen int64
	h, budget := budgetedHandler(t, func(context.Context, *Event) error { seen = held(); return nil })
	held = budget.Used
	w := httptest.NewRecorder()
	h.ServeHTTP(w, budgetedRequest("POST", body, "key"))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.EqualValues(t, len(body), seen, "while it is handled, its own copy is held and nothing else")
	assert.Zero(t, budget.Used())
}

// brokenBody fails after a few bytes; without an error, it panics.
func brokenBody(err error) io.ReadCloser {
	return io.NopCloser(io.MultiReader(strings.NewReader("{}"), readerFunc(func([]byte) (int, error) {
		if err == nil {
			panic(http.ErrAbortHandler)
		}
		return 0, err
	})))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
