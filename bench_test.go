package ittybit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// BenchmarkVerify stands beside the least that any check of such a signature has to
// do: the MAC with a hash that is keyed once.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []struct {
		name string
		body []byte
	}{{"300B", []byte(webhookPageBody)}, {"64KiB", bytes.Repeat([]byte("x"), 64<<10)}} {
		header := ittybit.SignWebhook(webhookSecret, signedAt, size.body)
		b.Run(size.name+"/Verify", func(b *testing.B) {
			v := webhookVerifier(b)
			b.SetBytes(int64(len(size.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Verify(size.body, header); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(size.name+"/floor", func(b *testing.B) {
			mac := hmac.New(sha256.New, []byte(webhookSecret))
			prefix := []byte("1736512522.")
			want, err := hex.DecodeString(strings.TrimPrefix(header, "t=1736512522,v1="))
			require.NoError(b, err)
			sum := make([]byte, 0, sha256.Size)
			b.SetBytes(int64(len(size.body)))
			b.ReportAllocs()
			for b.Loop() {
				mac.Reset()
				mac.Write(prefix)
				mac.Write(size.body)
				if !hmac.Equal(mac.Sum(sum), want) {
					b.Fatal("mismatch")
				}
			}
		})
	}
}

// plainTask is what somebody would write down who needs no more than the page shows.
type plainTask struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Kind         string          `json:"kind"`
	Status       string          `json:"status"`
	Results      json.RawMessage `json:"results"`
	ProjectID    string          `json:"project_id"`
	AutomationID string          `json:"automation_id"`
	Created      time.Time       `json:"created"`
	Completed    time.Time       `json:"completed"`
}

// BenchmarkParseEvent stands beside encoding/json and a struct of the page's members.
func BenchmarkParseEvent(b *testing.B) {
	body := []byte(webhookPageBody)
	b.Run("ParseEvent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ittybit.ParseEvent(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var task plainTask
			if err := json.Unmarshal(body, &task); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWebhookHandler takes a delivery from the request to the answer, without a
// network.
func BenchmarkWebhookHandler(b *testing.B) {
	for name, next := range map[string]ittybit.EventHandler{
		"alone":        ittybit.NewEventMux(),
		"deduplicated": ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(0, 0), ittybit.NewEventMux()),
	} {
		b.Run(name, func(b *testing.B) {
			h := webhookHandler(b, next, ittybit.WithClock(signedClock))
			header := http.Header{ittybit.SignatureHeader: {ittybit.SignWebhook(webhookSecret, signedAt, []byte(webhookPageBody))}}
			b.SetBytes(int64(len(webhookPageBody)))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				body := strings.NewReader(webhookPageBody)
				r, err := http.NewRequest(http.MethodPost, "/ittybit-webhook", nil)
				if err != nil {
					b.Error(err)
					return
				}
				r.Header, r.ContentLength, r.Body = header, int64(len(webhookPageBody)), io.NopCloser(body)
				w := &webhookDiscard{header: http.Header{}}
				for pb.Next() {
					body.Reset(webhookPageBody)
					h.ServeHTTP(w, r)
					if w.status != http.StatusOK {
						b.Errorf("status %d", w.status)
						return
					}
				}
			})
		})
	}
}

// webhookDiscard is a ResponseWriter that keeps nothing but the status.
type webhookDiscard struct {
	header http.Header
	status int
}

func (w *webhookDiscard) Header() http.Header         { return w.header }
func (w *webhookDiscard) Write(p []byte) (int, error) { return len(p), nil }
func (w *webhookDiscard) WriteHeader(status int)      { w.status = status }
