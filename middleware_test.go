package ittybit_test

import (
	"context"
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

	"github.com/ittybit/ittybit-go"
)

func TestMiddleware_givesBackWhatItTakes(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	h := webhookMiddleware(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, ittybit.WithMaxBodyBytes(8<<20))
	signature := signedHeader(large)
	for n := range 20 { // 20 × 4 MiB are more than may be held at once
		r := signedRequest(large)
		want := "status 204"
		if r.Header.Set(ittybit.SignatureHeader, signature); n%2 == 1 {
			r.Header.Set(ittybit.SignatureHeader, "junk")
			want = "status 401"
		}
		w := newWebhookWire()
		h.ServeHTTP(w, r)
		require.Contains(t, w.calls, want)
	}
}

// webhookMiddleware wraps next with the clock of real life.
func webhookMiddleware(tb testing.TB, next http.HandlerFunc, opts ...ittybit.VerifierOption) http.Handler {
	tb.Helper()
	v, err := ittybit.NewWebhookVerifier(webhookSecret, opts...)
	require.NoError(tb, err)
	return v.Middleware(next)
}

func TestMiddleware_handsOnTheVerifiedRequest(t *testing.T) {
	for name, chunked := range map[string]bool{"with a length": false, "chunked": true} {
		t.Run(name, func(t *testing.T) {
			large := `{"x":"` + strings.Repeat("x", 100_000) + `"}`
			calls := 0
			mux := http.NewServeMux()
			mux.Handle("/hooks/{name}", webhookMiddleware(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, large, string(body))
				assert.EqualValues(t, len(large), r.ContentLength)
				assert.Empty(t, r.TransferEncoding)
				assert.Equal(t, "nsfw", r.PathValue("name"))
				assert.Equal(t, "1", r.URL.Query().Get("ref"))
				assert.NotEmpty(t, r.Header.Get(ittybit.SignatureHeader))
				assert.NoError(t, r.Context().Err())
				n, err := r.Body.Read(make([]byte, 1))
				assert.Zero(t, n)
				assert.ErrorIs(t, err, io.EOF)
				assert.NoError(t, r.Body.Close())
				_, err = r.Body.Read(make([]byte, 1))
				assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
				w.WriteHeader(http.StatusTeapot)
			}))
			srv := webhookServer(t, mux)
			var body io.Reader = strings.NewReader(large)
			if chunked {
				body = io.MultiReader(body) // net/http can't tell its length
			}
			r, err := http.NewRequest(http.MethodPut, srv.URL+"/hooks/nsfw?ref=1", body) // the method is next's business
			require.NoError(t, err)
			r.Header.Set(ittybit.SignatureHeader, signedHeader(large))
			response := webhookDo(srv.Client(), r)
			require.NoError(t, response.Err)
			assert.Equal(t, http.StatusTeapot, response.Status)
			assert.Equal(t, 1, calls)
		})
	}
}

func TestMiddleware_refuses(t *testing.T) {
	const body = `{"id":"task_1"}`
	tests := map[string]struct {
		opts   []ittybit.VerifierOption
		body   string
		header string
		status int
	}{
		"missing":        {nil, body, "", 401},
		"malformed":      {nil, body, "junk", 401},
		"wrong":          {nil, body, ittybit.SignWebhook("a key of a stranger", time.Now(), []byte(body)), 401},
		"too old":        {nil, body, signedAgo(time.Hour)(body)[0], 401},
		"too large":      {[]ittybit.VerifierOption{ittybit.WithMaxBodyBytes(14)}, body, signedHeader(body), 413},
		"over the limit": {nil, strings.Repeat("x", ittybit.DefaultMaxBodyBytes+1), "", 413},
		"over budget":    {[]ittybit.VerifierOption{ittybit.WithMaxBodyBytes(1 << 30)}, strings.Repeat("x", ittybit.DefaultMaxBufferedBytes+1), "", 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := webhookMiddleware(t, func(http.ResponseWriter, *http.Request) { t.Error("next must not be reached") }, tt.opts...)
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set(ittybit.SignatureHeader, tt.header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, http.StatusText(tt.status)+"\n", w.Body.String())
			assert.Equal(t, tt.status == 503, w.Header().Get("Retry-After") == "1")
		})
	}
}

func TestMiddleware_takesTheBodyBackWhenNextHasReturned(t *testing.T) {
	var kept io.ReadCloser
	read := make(chan error, 1)
	var group sync.WaitGroup
	h := webhookMiddleware(t, func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Body
		group.Go(func() { // one who goes on reading all the while, for the race detector
			for {
				if _, err := r.Body.Read(make([]byte, 1)); err == http.ErrBodyReadAfterClose { //nolint:errorlint // as net/http gives it
					read <- err
					return
				}
			}
		})
	})
	large := strings.Repeat("x", 1000)
	h.ServeHTTP(httptest.NewRecorder(), signedRequest(large))
	// The buffer is used again meanwhile.
	for range 20 {
		other := webhookMiddleware(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		other.ServeHTTP(httptest.NewRecorder(), signedRequest(large))
	}
	require.ErrorIs(t, webhookReceive(t, read), http.ErrBodyReadAfterClose)
	group.Wait()
	n, err := kept.Read(make([]byte, 10))
	assert.Zero(t, n)
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	assert.NoError(t, kept.Close())
}

func TestMiddleware_isNotAcknowledgedByAnAdapterWhatNextDidNotFinish(t *testing.T) {
	for name, end := range map[string]func(){
		"a panic":                func() { panic("boom") },
		"http.ErrAbortHandler":   func() { panic(http.ErrAbortHandler) },
		"the end of a goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			reason := webhookServe(webhookMiddleware(t, func(http.ResponseWriter, *http.Request) { end() }), w, signedRequest("{}"))
			assert.Equal(t, http.StatusInternalServerError, w.Code)
			assert.Equal(t, name != "the end of a goroutine", reason != nil, "it goes on to whoever is around")

			w = httptest.NewRecorder()
			webhookServe(webhookMiddleware(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				end()
			}), w, signedRequest("{}"))
			assert.Equal(t, http.StatusAccepted, w.Code, "what next has written stands")
		})
	}
	w := httptest.NewRecorder()
	h := webhookMiddleware(t, func(http.ResponseWriter, *http.Request) { t.Error("next must not be reached") },
		ittybit.WithSignedContent(func(hash.Hash, string, []byte) { panic("boom") }))
	webhookServe(h, w, signedRequest("{}"))
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	large := strings.Repeat("x", 60_000)
	for range 2 * ittybit.DefaultMaxBufferedBytes / len(large) { // what a stranger can cause must not use the budget up
		w = httptest.NewRecorder()
		webhookServe(h, w, signedRequest(large))
		require.Equal(t, http.StatusInternalServerError, w.Code)
	}
}

func TestMiddleware_takesTheBodyBackAlsoAfterAPanic(t *testing.T) {
	var kept io.Reader
	h := webhookMiddleware(t, func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Body
		panic(http.ErrAbortHandler)
	})
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(httptest.NewRecorder(), signedRequest("{}")) })
	_, err := kept.Read(make([]byte, 10))
	assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
}

func TestMiddleware_canStandInFrontOfAHandler(t *testing.T) {
	recorder := newWebhookRecorder()
	v, err := ittybit.NewWebhookVerifier(webhookSecret)
	require.NoError(t, err)
	srv := webhookServer(t, v.Middleware(webhookHandler(t, recorder)))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)
	assert.Len(t, recorder.handled(), 1)
}

func TestMiddleware_leavesTheRequestItWasGivenAlone(t *testing.T) {
	r := signedRequest("{}")
	r = r.WithContext(context.WithValue(r.Context(), webhookValueKey{}, "trace"))
	before := r.Body
	h := webhookMiddleware(t, func(_ http.ResponseWriter, inner *http.Request) {
		assert.NotSame(t, r, inner)
		assert.Equal(t, "trace", inner.Context().Value(webhookValueKey{}))
	})
	h.ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, before, r.Body)
}
