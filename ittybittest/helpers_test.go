package ittybittest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// hook is an address in the tests that run without sockets.
const hook = "https://your-app.com/ittybit-webhook"

// api is a client that knows nothing of the server but HTTP.
type api struct {
	t    *testing.T
	srv  *ittybittest.Server
	http *http.Client
}

type answer struct {
	status int
	header http.Header
	raw    string
}

func newAPI(t *testing.T, srv *ittybittest.Server) api {
	return api{t, srv, &http.Client{Transport: srv.Transport()}}
}

// open starts a server with sockets, which ends with the test.
func open(t *testing.T, opts ...ittybittest.Option) api {
	srv := ittybittest.NewServer(opts...)
	t.Cleanup(srv.Close)
	return newAPI(t, srv)
}

// bubble runs a test against a server without sockets, in fake time.
func bubble(t *testing.T, receiver http.Handler, f func(t *testing.T, a api), opts ...ittybittest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := ittybittest.NewServer(append(opts, ittybittest.WithoutSockets(receiver))...)
		defer srv.Close()
		f(t, newAPI(t, srv))
	})
}

func (a api) request(method, path, body string) *http.Request {
	a.t.Helper()
	req, err := http.NewRequest(method, a.srv.URL+path, strings.NewReader(body))
	require.NoError(a.t, err)
	req.Header.Set("Authorization", "Bearer "+a.srv.APIKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func (a api) do(req *http.Request) answer {
	a.t.Helper()
	got, err := a.try(req)
	require.NoError(a.t, err)
	return got
}

func (a api) try(req *http.Request) (answer, error) {
	resp, err := a.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(raw)}, err
}

func (a api) send(method, path, body string) answer {
	a.t.Helper()
	return a.do(a.request(method, path, body))
}

// create posts, and returns the created object.
func (a api) create(path, body string) map[string]any {
	a.t.Helper()
	got := a.send("POST", path, body)
	require.Equal(a.t, http.StatusCreated, got.status, got.raw)
	return got.object(a.t)
}

func (a api) get(path string) map[string]any {
	a.t.Helper()
	got := a.send("GET", path, "")
	require.Equal(a.t, http.StatusOK, got.status, got.raw)
	return got.object(a.t)
}

func (a api) list(path string) []map[string]any {
	a.t.Helper()
	got := a.send("GET", path, "")
	require.Equal(a.t, http.StatusOK, got.status, got.raw)
	var items []map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(got.raw), &items), got.raw)
	return items
}

func (got answer) object(t *testing.T) map[string]any {
	t.Helper()
	return decode(t, got.raw)
}

func decode(t *testing.T, raw string) map[string]any {
	t.Helper()
	var obj map[string]any
	require.NoError(t, json.Unmarshal([]byte(raw), &obj), raw)
	return obj
}

// refused checks an error's status, and that its body is a message with these
// words.
func (got answer) refused(t *testing.T, status int, words string) {
	t.Helper()
	assert.Equal(t, status, got.status, got.raw)
	assert.Contains(t, got.header.Get("Content-Type"), "application/json")
	obj := got.object(t)
	assert.Len(t, obj, 1, "an error has a message and nothing else")
	assert.Contains(t, obj["message"], words)
}

// received is a webhook as it arrived.
type received struct {
	host, path, query string
	header            http.Header
	body              string
	at                time.Time
}

// inbox is a receiver that answers with the given statuses, then with 200.
type inbox struct {
	mu       sync.Mutex
	statuses []int
	got      []received
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got = append(in.got, received{r.Host, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), string(body), time.Now()})
	status := http.StatusOK
	if len(in.statuses) > 0 {
		status, in.statuses = in.statuses[0], in.statuses[1:]
	}
	w.WriteHeader(status)
}

func (in *inbox) all() []received {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]received(nil), in.got...)
}

func (in *inbox) bodies(t *testing.T) []map[string]any {
	t.Helper()
	var bodies []map[string]any
	for _, r := range in.all() {
		bodies = append(bodies, decode(t, r.body))
	}
	return bodies
}

// checkSignature computes the signature on its own.
func checkSignature(t *testing.T, key, header, body string) (signedAt time.Time) {
	t.Helper()
	ts, v1, ok := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	require.True(t, ok, header)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(ts + "." + body))
	assert.Equal(t, hex.EncodeToString(mac.Sum(nil)), v1)
	seconds, err := strconv.ParseInt(ts, 10, 64)
	require.NoError(t, err)
	return time.Unix(seconds, 0)
}

func final(d ittybittest.Delivery) bool { return d.Final }

func waitFor(t *testing.T, srv *ittybittest.Server, match func(ittybittest.Delivery) bool) ittybittest.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := srv.WaitForDelivery(ctx, match)
	require.NoError(t, err)
	return d
}

func receiver(t *testing.T, h http.Handler) *httptest.Server {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}
