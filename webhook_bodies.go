package ittybit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/internal/bodyread"
)

// bodyIntake reads the bodies of requests within limits of size, memory and time.
type bodyIntake struct {
	reader  *bodyread.Reader
	timeout time.Duration
}

func newBodyIntake(maxBody, maxBuffered int64, timeout time.Duration) *bodyIntake {
	return &bodyIntake{bodyread.NewReader(maxBody, bodyread.NewBudget(maxBuffered)), timeout}
}

// read takes the body of r. The connection has a read deadline meanwhile, so that a
// slow sender can't hold it even where the server sets no timeout; afterwards it has
// none, as the server leaves it while a handler runs.
func (b *bodyIntake) read(w http.ResponseWriter, r *http.Request, start time.Time) (*bodyread.Body, error) {
	deadline := start.Add(b.timeout)
	control := http.NewResponseController(w)
	limited := !serverIsStricter(r, b.timeout) && control.SetReadDeadline(deadline) == nil
	source := r.Body
	if source == nil { // a request that no server has read
		source = http.NoBody
	}
	body, err := b.reader.Read(source, r.ContentLength, deadline)
	if err == nil {
		if limited {
			_ = control.SetReadDeadline(time.Time{}) // it could be set a moment ago
		}
		return body, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: %w", bodyread.ErrTooSlow, err)
	}
	if limit := (*http.MaxBytesError)(nil); errors.As(err, &limit) { // of a middleware in front
		err = fmt.Errorf("%w: %w", bodyread.ErrTooLarge, err)
	}
	if errors.Is(err, bodyread.ErrTooSlow) {
		hangUp(w, r, 0)
	} else {
		hangUp(w, r, lingerTimeout)
	}
	return nil, err
}

// lingerTimeout is how long the rest of a refused body is read, so that its sender
// gets to see the answer: closing a connection with unread data resets it.
const lingerTimeout = 500 * time.Millisecond

// hangUp makes the server close the connection after the answer, and not wait for the
// rest of the body any longer than linger. Left to itself, it waits for ever where it
// has no timeouts.
func hangUp(w http.ResponseWriter, r *http.Request, linger time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if r.ProtoMajor == 1 { // in HTTP/2 it would end the other streams too
		w.Header().Set("Connection", "close")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(linger)) // where that can be had
}

// serverLimitsWrites reports whether the server has a write deadline of its own, which is
// not to be put off.
func serverLimitsWrites(r *http.Request) bool {
	return serverOf(r).WriteTimeout > 0
}

// serverIsStricter reports whether the server's own deadline for the request comes
// first, and is not to be put off.
func serverIsStricter(r *http.Request, timeout time.Duration) bool {
	limit := serverOf(r).ReadTimeout
	return limit > 0 && limit <= timeout
}

// serverOf gives the server that r came by, or one without any timeouts.
func serverOf(r *http.Request) *http.Server {
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		return server
	}
	return new(http.Server)
}

// Middleware gives a handler that calls next with verified requests only, their bodies
// readable again, for frameworks and for handlers of one's own. It refuses the others as
// [WebhookHandler] does: 400, 401, 408, 413 and 503. It reads bodies of up to
// [WithMaxBodyBytes], within [DefaultReadTimeout] and [DefaultMaxBufferedBytes]. next
// must not use the body after it has returned.
func (v *WebhookVerifier) Middleware(next http.Handler) http.Handler {
	intake := newBodyIntake(v.maxBody, DefaultMaxBufferedBytes, DefaultReadTimeout)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := intake.read(w, r, time.Now())
		if err != nil {
			_, status := bodyOutcome(err)
			answer(w, status, retryAfterBusy)
			sendAnswer(w, r, false)
			return
		}
		defer body.Release()
		if _, err := v.verifyRequest(body.Bytes(), r.Header); err != nil {
			answer(w, http.StatusUnauthorized, 0)
			sendAnswer(w, r, false)
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
