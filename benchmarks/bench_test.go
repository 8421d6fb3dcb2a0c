package benchmarks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// BenchmarkVerify checks the signature of a body.
func BenchmarkVerify(b *testing.B) {
	benchmarkPeers(b, func(p peer) func([]byte) check { return p.verify })
}

// BenchmarkVerifyAndParse does what a library does for a delivery before the application's part.
// Where a library does not parse, a plain struct does it.
func BenchmarkVerifyAndParse(b *testing.B) {
	benchmarkPeers(b, func(p peer) func([]byte) check { return p.parse })
}

func benchmarkPeers(b *testing.B, prepare func(p peer) func([]byte) check) {
	for _, size := range sizes() {
		for _, p := range peers() {
			body := p.payload(size.bytes)
			run := prepare(p)(body)
			benchmark(b, fmt.Sprintf("size=%s/peer=%s", size.name, p.name), size.bytes, func() error { return run(body) })
		}
	}
}

func benchmark(b *testing.B, name string, bytes int, run func() error) {
	b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(bytes))
		b.ReportAllocs()
		for b.Loop() {
			if err := run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkParse is without a signature, beside json.Unmarshal into a plain struct, and json.Valid:
// one scan of the payload.
func BenchmarkParse(b *testing.B) {
	for _, size := range sizes() {
		body := taskPayload(size.bytes)
		benchmark(b, "size="+size.name+"/by=json.Unmarshal", size.bytes, func() error { return plainTask(body) })
		benchmark(b, "size="+size.name+"/by=ParseEvent", size.bytes, func() error { return ourTask(body) })
		benchmark(b, "size="+size.name+"/by=json.Valid", size.bytes, func() error { return expect(json.Valid(body)) })
	}
}

// endpoint is a handler, and the events that came through it.
type endpoint struct {
	name    string
	handler http.Handler
	handled atomic.Int64
}

// endpoints are one that discards the body, one as it is written by hand, without limits, clock and
// deduplication, and WebhookHandlers.
func endpoints(t testing.TB) []*endpoint {
	all := []*endpoint{{name: "bare"}, {name: "by-hand"}, {name: "WebhookHandler"}, {name: "Deduplicate"}}
	all[0].handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		all[0].handled.Add(1)
	})
	all[1].handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		stamp, sum, _ := strings.Cut(r.Header.Get(ittybit.SignatureHeader), ",v1=")
		if err != nil || !verifyByHand(strings.TrimPrefix(stamp, "t="), sum, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if plainTask(body) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		all[1].handled.Add(1)
	})
	for i := 2; i < 4; i++ {
		events := ittybit.NewEventMux()
		events.OnTaskCompleted(ittybit.AnyTaskKind, func(context.Context, *ittybit.Event) error {
			all[i].handled.Add(1)
			return nil
		})
		next := ittybit.EventHandler(events)
		if i == 3 {
			next = ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10_000, time.Hour), events)
		}
		handler, err := ittybit.NewWebhookHandler(secret, next)
		require.NoError(t, err)
		all[i].handler = handler
	}
	return all
}

// verifyByHand keys the hash anew for each delivery, as most do.
func verifyByHand(stamp, sum string, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, stamp+".")
	mac.Write(body)
	want, err := hex.DecodeString(sum)
	return err == nil && hmac.Equal(mac.Sum(nil), want)
}

// request signs a payload about a task of its own.
func request(url string, number int64, size int) *http.Request {
	body := bytes.Replace(taskPayload(size), []byte(`"id": "`+taskID), fmt.Appendf(nil, `"id": "%s_%d`, taskID, number), 1)
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	r.RequestURI = "" // it may be sent by a client, too
	r.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(secret, time.Now(), body))
	return r
}

// BenchmarkLoopback sends deliveries from as many clients as there are processors, over connections
// that are kept. To sign them is part of the time, for every endpoint.
func BenchmarkLoopback(b *testing.B) {
	for _, e := range endpoints(b) {
		b.Run("endpoint="+e.name, func(b *testing.B) {
			server := httptest.NewServer(e.handler)
			defer server.Close()
			var sent atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					response, err := server.Client().Do(request(server.URL, sent.Add(1), len(documentedTask)))
					if err != nil || response.StatusCode != http.StatusOK {
						b.Error(response, err)
						return
					}
					_ = response.Body.Close()
				}
			})
		})
	}
}

func TestEndpoints_handleWhatIsSignedAndRefuseAFlippedByte(t *testing.T) {
	for _, e := range endpoints(t)[1:] {
		post := func(flip bool) int {
			r := request("/ittybit-webhook", 1, len(documentedTask))
			if flip {
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				body[len(body)/2] ^= 1
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			w := httptest.NewRecorder()
			e.handler.ServeHTTP(w, r)
			return w.Code
		}
		assert.Equal(t, http.StatusUnauthorized, post(true), e.name)
		assert.Zero(t, e.handled.Load(), e.name)
		assert.Equal(t, http.StatusOK, post(false), e.name)
		assert.Equal(t, http.StatusOK, post(false), e.name)
		want := 2
		if e.name == "Deduplicate" {
			want = 1
		}
		assert.EqualValues(t, want, e.handled.Load(), e.name)
	}
}

// BenchmarkDeduplicator handles keys that are new, in a full store, and keys that were handled.
func BenchmarkDeduplicator(b *testing.B) {
	for _, capacity := range []int{10_000, 1_000_000} {
		store := ittybit.NewMemoryDeduplicator(capacity, time.Hour)
		n := 0
		handle := func(n int) error {
			claim, err := store.Claim(context.Background(), fmt.Sprintf("task:task_%010d:completed", n))
			if err != nil {
				return err
			}
			return claim.Complete(context.Background())
		}
		for ; n < capacity; n++ {
			require.NoError(b, handle(n))
		}
		benchmark(b, fmt.Sprintf("keys=%d/new", capacity), 0, func() error { n++; return handle(n) })
		benchmark(b, fmt.Sprintf("keys=%d/handled", capacity), 0, func() error {
			return expect(errors.Is(handle(n), ittybit.ErrAlreadyHandled))
		})
	}
}

// memoryTransport answers every request with documentedTask, without a network.
type memoryTransport struct{}

func (memoryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(documentedTask)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(documentedTask))),
	}, nil
}

// gets fetch a task by hand, with no retries, limits or error body, and by Tasks.Get.
func gets(t testing.TB, base string, client *http.Client) (byHand, ours func() error) {
	c, err := ittybit.NewClient(secret, ittybit.WithBaseURL(base), ittybit.WithHTTPClient(client))
	require.NoError(t, err)
	byHand = func() error {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/tasks/"+taskID, http.NoBody)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Accept-Version", ittybit.APIVersion)
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		return errors.Join(expect(response.StatusCode == http.StatusOK), plainTask(body))
	}
	return byHand, func() error {
		task, err := c.Tasks.Get(context.Background(), taskID)
		if err != nil {
			return err
		}
		return expect(task.ID == taskID && len(task.Results) > 0 && !task.Completed.IsZero())
	}
}

func BenchmarkTasksGet(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, documentedTask)
	}))
	defer server.Close()
	for name, client := range map[string]*http.Client{"loopback": server.Client(), "memory": {Transport: memoryTransport{}}} {
		byHand, ours := gets(b, server.URL, client)
		benchmark(b, "over="+name+"/by=http.Client", len(documentedTask), byHand)
		benchmark(b, "over="+name+"/by=Tasks.Get", len(documentedTask), ours)
	}
}
