package bodyread

import (
	"bytes"
	"net/http"
	"sync"
)

// ServeReplayed calls next with a request whose body, which was read, can be read again until next
// has returned.
func ServeReplayed(next http.Handler, w http.ResponseWriter, r *http.Request, body []byte) {
	verified := *r
	replay := &replayedBody{reader: bytes.NewReader(body)}
	defer replay.end()
	verified.Body = replay
	verified.ContentLength = int64(len(body))
	verified.TransferEncoding = nil
	next.ServeHTTP(w, &verified)
}

// replayedBody gives a body out again until its handler has returned: its buffer goes
// back to a pool then.
type replayedBody struct {
	mu     sync.Mutex
	reader *bytes.Reader // nil when it is over
}

func (b *replayedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.reader.Read(p)
}

func (b *replayedBody) Close() error {
	b.end()
	return nil
}

func (b *replayedBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reader = nil
}
