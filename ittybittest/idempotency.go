package ittybittest

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const (
	idempotencyWindow   = 24 * time.Hour
	maxIdempotencyBytes = 255
)

// idempotency remembers the responses to requests that carried a key.
type idempotency struct {
	mu    sync.Mutex
	byKey map[string]*keyedReply
	order []*keyedReply // oldest first, for expiry
}

type keyedReply struct {
	key    string
	digest [sha256.Size]byte
	since  time.Time
	done   chan struct{} // closed when resp is set, or the key is free again
	resp   *response
}

// once runs handle, but only once for requests with the same Idempotency-Key.
// Those that come while the first is being answered wait for its answer.
func (s *Server) once(r *request, body []byte, handle handlerFunc) (*response, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		return handle(r)
	}
	if len(key) > maxIdempotencyBytes {
		return nil, badRequest("Idempotency-Key must not be longer than %d bytes.", maxIdempotencyBytes)
	}
	digest := sha256.Sum256(append([]byte(r.URL.Path+"\n"), body...))
	for {
		entry, mine := s.replies.claim(key, digest)
		if mine {
			return s.replies.fill(entry, r, handle)
		}
		if entry.digest != digest {
			return nil, refuse(http.StatusConflict, "This Idempotency-Key was used before, with a different request.")
		}
		select {
		case <-entry.done:
		case <-r.Context().Done():
			return nil, errAborted
		case <-s.life.ctx.Done():
			return nil, errAborted
		}
		if entry.resp != nil {
			again := *entry.resp
			again.status = http.StatusOK
			return &again, nil
		}
	}
}

// claim returns the entry of a key, and whether the caller has to fill it.
func (i *idempotency) claim(key string, digest [sha256.Size]byte) (*keyedReply, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	for len(i.order) > 0 && now.Sub(i.order[0].since) >= idempotencyWindow {
		if old := i.order[0]; i.byKey[old.key] == old {
			delete(i.byKey, old.key)
		}
		i.order = i.order[1:]
	}
	if entry, ok := i.byKey[key]; ok {
		return entry, false
	}
	if i.byKey == nil {
		i.byKey = map[string]*keyedReply{}
	}
	entry := &keyedReply{key: key, digest: digest, since: now, done: make(chan struct{})}
	i.byKey[key] = entry
	i.order = append(i.order, entry)
	return entry, true
}

// fill answers the first request with a key. An error leaves the key unused.
func (i *idempotency) fill(entry *keyedReply, r *request, handle handlerFunc) (*response, error) {
	defer close(entry.done)
	resp, err := handle(r)
	if err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.byKey, entry.key)
		return nil, err
	}
	entry.resp = resp
	return resp, nil
}
