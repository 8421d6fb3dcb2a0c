package blackbox

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go/internal/apitest"
)

// unreliable is a transport to an API behind a proxy that refuses, cuts, delays and responds with
// the statuses of CDNs, at random. It counts which tasks were made.
type unreliable struct {
	requests atomic.Int64

	mu   sync.Mutex
	made map[string]int // by ref
}

func (u *unreliable) count(ref string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.made[ref]
}

// RoundTrip implements [http.RoundTripper]. It traces as net/http's transport does.
func (u *unreliable) RoundTrip(req *http.Request) (*http.Response, error) {
	u.requests.Add(1)
	trace := httptrace.ContextClientTrace(req.Context())
	trace.GetConn(req.URL.Host)
	if rand.IntN(10) == 0 {
		return nil, errors.New("connect: connection refused")
	}
	trace.GotConn(httptrace.GotConnInfo{})
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	trace.WroteHeaders()
	act := func() {
		var task struct{ Ref string }
		_ = json.Unmarshal(body, &task) // a test whose tasks have no ref fails by its counts
		u.mu.Lock()
		defer u.mu.Unlock()
		u.made[task.Ref]++
	}
	switch rand.IntN(8) {
	case 0: // cut before it has arrived
		return nil, io.ErrUnexpectedEOF
	case 1: // cut after it was carried out
		act()
		return nil, io.EOF
	case 2: // so late that nobody waits any longer
		act()
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-time.After(time.Minute):
		}
	case 3: // the proxy's own, before or after it was carried out
		if rand.IntN(2) == 0 {
			act()
		}
		return apitest.Response(520+rand.IntN(11), "<html>error</html>")
	case 4:
		return apitest.Response(http.StatusTooManyRequests, "", "Retry-After", "0.5")
	case 5:
		return apitest.Response(http.StatusServiceUnavailable, "", "Retry-After", "1")
	}
	act()
	return apitest.Response(http.StatusCreated, `{"id":"task_1"}`)
}
