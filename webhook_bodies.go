package ittybit

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/internal/bodyread"
)

// Middleware gives a handler that calls next with verified requests only, their bodies
// readable again, for frameworks and for handlers of one's own. It refuses the others as
// [WebhookHandler] does: 400, 401, 408, 413 and 503. It reads bodies of up to
// [WithMaxBodyBytes], within [DefaultReadTimeout] and [DefaultMaxBufferedBytes]. next
// must not use the body after it has returned.
func (v *WebhookVerifier) Middleware(next http.Handler) http.Handler {
	bodies := bodyread.NewReader(v.maxBody, bodyread.NewBudget(DefaultMaxBufferedBytes))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := bodies.ReadRequest(w, r, time.Now(), DefaultReadTimeout)
		if err != nil {
			_, status := bodyOutcome(err)
			bodyread.Respond(w, status, retryAfterBusy)
			bodyread.LimitSending(w, r)
			return
		}
		defer body.Release()
		if _, err := v.verifyRequest(body.Bytes(), r.Header); err != nil {
			bodyread.Respond(w, http.StatusUnauthorized, 0)
			bodyread.LimitSending(w, r)
			return
		}
		verified := *r
		replay := &replayedBody{reader: bytes.NewReader(body.Bytes())}
		defer replay.end()
		verified.Body = replay
		verified.ContentLength = int64(len(body.Bytes()))
		verified.TransferEncoding = nil
		next.ServeHTTP(w, &verified)
	})
}

// replayedBody gives a body out again until its handler has returned: its buffer goes
// back to a pool then.
type replayedBody struct {
	mu     sync.Mutex
	reader *bytes.Reader // nil when it is over
}

// Read implements [io.Reader].
func (b *replayedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.reader.Read(p)
}

// Close implements [io.Closer].
func (b *replayedBody) Close() error {
	b.end()
	return nil
}

func (b *replayedBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reader = nil
}

var _ io.ReadCloser = (*replayedBody)(nil)
