package api

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const idempotencyWindow = 24 * time.Hour

// idempotency remembers the responses to requests that carried a key.
type idempotency struct {
	mu    sync.Mutex
	byKey map[string]*keyed
	order []*keyed // oldest first, for expiry
}

type keyed struct {
	key    string
	digest [sha256.Size]byte
	since  time.Time
	done   chan struct{} // closed when resp is set, or the key is free again
	resp   *response
}

// once calls handle, but only once for requests with the same Idempotency-Key. Those that come
// while the first is being answered wait for its response.
func (a *API) once(x *exchange, handle func() (*response, error)) (*response, error) {
	key := x.Request.Header.Get("Idempotency-Key")
	if key == "" {
		return handle()
	}
	if len(key) > 255 {
		return nil, Refuse(http.StatusBadRequest, "Idempotency-Key must not be longer than 255 bytes.")
	}
	digest := sha256.Sum256(append([]byte(x.URL.Path+"\n"), x.raw...))
	for {
		entry, mine := a.replies.claim(key, digest)
		if mine {
			return a.replies.fill(entry, handle)
		}
		if entry.digest != digest {
			return nil, Refuse(http.StatusConflict, "This Idempotency-Key was used before, with a different request.")
		}
		select {
		case <-entry.done:
		case <-x.Context().Done():
			return nil, errAborted
		case <-a.Life.Context().Done():
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
func (i *idempotency) claim(key string, digest [sha256.Size]byte) (*keyed, bool) {
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
		i.byKey = map[string]*keyed{}
	}
	entry := &keyed{key: key, digest: digest, since: now, done: make(chan struct{})}
	i.byKey[key] = entry
	i.order = append(i.order, entry)
	return entry, true
}

// fill answers the first request with a key. An error leaves the key unused.
func (i *idempotency) fill(entry *keyed, handle func() (*response, error)) (*response, error) {
	defer close(entry.done)
	resp, err := handle()
	if err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.byKey, entry.key)
		return nil, err
	}
	entry.resp = resp
	return resp, nil
}
