// Package limits has the tests of what the SDK may use of memory, whatever is sent to it.
package limits

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

const (
	secret = "ittybit_limits_key_0123456789"

	posts    = 1000
	postSize = 1 << 20
	// margin is what a flood may take beside the bodies, and beside what its connections take
	// without a WebhookHandler.
	margin = 16 << 20
)

// A thousand posts of 1 MiB at once take no more memory than WithMaxBufferedBytes allows: when all
// of them are half sent, when all that were not refused are being handled, at any moment with what
// waits to be collected, and nothing of it afterwards.
func TestWebhookHandler_keepsItsMemoryUnderAFlood(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes what is allocated")
	}
	body := []byte(`{"id":"task_123abc","object":"task","status":"completed","padding":"` + strings.Repeat("x", postSize-70) + `"}`)
	signature := ittybit.SignWebhook(secret, time.Now(), body)
	forged := strings.Replace(signature, ",v1=", ",v1=00", 1)

	bare := measureFlood(t, body, signature, func(*barrier) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	})
	require.Equal(t, posts, bare.statuses[http.StatusOK])

	for name, signature := range map[string]string{"signed": signature, "forged": forged} {
		t.Run(name, func(t *testing.T) {
			f := measureFlood(t, body, signature, func(handling *barrier) http.Handler {
				handler, err := ittybit.NewWebhookHandler(secret, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
					handling.wait(ctx)
					return nil
				}))
				require.NoError(t, err)
				return handler
			})
			answered := f.statuses[http.StatusServiceUnavailable]
			if name == "signed" {
				answered += f.statuses[http.StatusOK]
				assert.Positive(t, f.statuses[http.StatusOK], "those that fit are handled")
			} else {
				answered += f.statuses[http.StatusUnauthorized]
				assert.Zero(t, f.statuses[http.StatusOK])
			}
			assert.Equal(t, posts, answered+f.broken)
			const most = ittybit.DefaultMaxBufferedBytes + margin
			assert.LessOrEqual(t, f.halfSent-bare.halfSent, int64(most), "half of each is sent")
			assert.LessOrEqual(t, f.handling-bare.handling, int64(most), "what fits is being handled")
			assert.LessOrEqual(t, f.peak-bare.peak, int64(most), "at any moment, with garbage")
			assert.LessOrEqual(t, f.afterwards, int64(margin), "afterwards")
		})
	}
}

// flood is what came of many posts at once. All but the counts are bytes of the heap above the
// start.
type flood struct {
	halfSent, handling, peak, afterwards int64
	statuses                             map[int]int
	broken                               int // connections that ended without a response
}

// measureFlood posts the body many times at once. None sends its second half before all have sent
// the first, and the handler, which waits at the barrier, ends no delivery before all others ended.
func measureFlood(t *testing.T, body []byte, signature string, newHandler func(handling *barrier) http.Handler) flood {
	t.Helper()
	start := heap()
	half, ended := newBarrier(posts), newBarrier(posts)
	handler := newHandler(ended)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ReadHeaderTimeout = time.Minute // a sender waits here for a thousand others
	server.Start()
	defer server.Close()
	head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\n%s: %s\r\nContent-Length: %d\r\n\r\n", ittybit.SignatureHeader, signature, len(body))

	result := flood{statuses: map[int]int{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	conns := make([]net.Conn, posts)
	for i := range conns {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer func() { _ = conn.Close() }() //nolint:gocritic // all of them are open at once
		conns[i] = conn
	}
	stopWatching := watchHeap()
	for _, conn := range conns {
		all.Go(func() {
			_, err := io.WriteString(conn, head)
			if err == nil {
				_, err = conn.Write(body[:len(body)/2])
			}
			half.wait(context.Background())
			if err == nil {
				_, _ = conn.Write(body[len(body)/2:]) // whoever was refused may have a response all the same
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusOK || !handles(handler) {
				ended.pass()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				result.broken++
				return
			}
			_ = response.Body.Close()
			result.statuses[response.StatusCode]++
		})
	}
	<-half.full
	result.halfSent = heap() - start
	close(half.open)
	<-ended.full
	result.handling = heap() - start
	close(ended.open)
	all.Wait()
	result.peak = stopWatching() - start
	for _, conn := range conns {
		_ = conn.Close()
	}
	server.Close()
	result.afterwards = heap() - start
	runtime.KeepAlive(handler) // what it keeps counts
	return result
}

// handles says whether the handler passes the barrier itself, with what it responds 200.
func handles(handler http.Handler) bool {
	_, ok := handler.(*ittybit.WebhookHandler)
	return ok
}

// barrier is full when so many have passed or wait. Then the test opens it.
type barrier struct {
	left       atomic.Int64
	full, open chan struct{}
}

func newBarrier(n int64) *barrier {
	b := &barrier{full: make(chan struct{}), open: make(chan struct{})}
	b.left.Store(n)
	return b
}

func (b *barrier) pass() {
	if b.left.Add(-1) == 0 {
		close(b.full)
	}
}

func (b *barrier) wait(ctx context.Context) {
	b.pass()
	select {
	case <-b.open:
	case <-ctx.Done():
	}
}

// heap is what the heap holds after it was collected, twice, since pools let go at the second time.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// watchHeap reads every millisecond what the heap holds, garbage included. The function ends that
// and gives the most.
func watchHeap() (stop func() int64) {
	ctx, cancel := context.WithCancel(context.Background())
	peak := make(chan int64)
	go func() {
		samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		most := uint64(0)
		for ticker := time.NewTicker(time.Millisecond); ; {
			metrics.Read(samples)
			most = max(most, samples[0].Value.Uint64())
			select {
			case <-ticker.C:
			case <-ctx.Done():
				ticker.Stop()
				peak <- int64(most)
				return
			}
		}
	}()
	return func() int64 { cancel(); return <-peak }
}

// A list of any length is read in constant memory.
func TestTasksAll_takesConstantMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes what is allocated")
	}
	const total, pageSize = 20_000, 100
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := 1
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &page)
		if page*pageSize < total {
			w.Header().Set("Links", fmt.Sprintf(`<https://api.ittybit.com/tasks?page=%d>; rel="next"`, page+1))
		}
		w.Header().Set("Content-Type", "application/json")
		var b bytes.Buffer
		for i := (page - 1) * pageSize; i < page*pageSize; i++ {
			fmt.Fprintf(&b, `,{"id":"task_%012d","object":"task","status":"completed","input":{"id":"file_1","url":"https://you.ittybit.net/1"}}`, i)
		}
		b.Bytes()[0] = '['
		_, _ = w.Write(append(b.Bytes(), ']'))
	}))
	defer server.Close()
	client, err := ittybit.NewClient(secret, ittybit.WithBaseURL(server.URL))
	require.NoError(t, err)
	var early, late int64
	n := 0
	for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Limit: pageSize}) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("task_%012d", n), task.ID)
		switch n++; n {
		case total / 10:
			early = heap()
		case total:
			late = heap()
		}
	}
	require.Equal(t, total, n)
	assert.Less(t, late-early, int64(total/4), "a quarter of a byte for each task")
}

// A MemoryDeduplicator takes at most 150 bytes a key, without the key's text.
func TestMemoryDeduplicator_takesLittleForAKey(t *testing.T) {
	const n = 100_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("task:task_%010d:completed", i)
	}
	start := heap()
	store := ittybit.NewMemoryDeduplicator(n, time.Hour)
	for _, key := range keys {
		claim, err := store.Claim(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, claim.Complete(t.Context()))
	}
	each := float64(heap()-start) / n
	runtime.KeepAlive(store)
	runtime.KeepAlive(keys)
	assert.Positive(t, each)
	assert.LessOrEqual(t, each, 150.0)
}
