package ittybittest

import (
	"sync"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// maxNotices is how many notices a feed keeps, for those who come back.
const maxNotices = 10_000

// feed is what happens on a server, for those who watch it over HTTP.
type feed struct {
	mu      sync.Mutex
	on      bool
	last    int64 // the number of the latest notice
	notices []notice
	changed signal
}

// signal wakes all who wait for it. It is guarded by its owner's mutex.
type signal struct{ ch chan struct{} }

func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

type notice struct {
	number int64
	kind   string // "delivery" or "task"
	data   []byte
}

func (f *feed) add(kind string, value any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on {
		return
	}
	f.last++
	f.notices = append(f.notices, notice{f.last, kind, ordered.Encode(value)})
	if len(f.notices) > maxNotices {
		f.notices[0] = notice{}
		f.notices = f.notices[1:]
	}
	f.changed.fire()
}

// since gives the notices after a number, and a channel that is closed when another comes.
func (f *feed) since(number int64) ([]notice, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := len(f.notices)
	for first > 0 && f.notices[first-1].number > number {
		first--
	}
	return append([]notice(nil), f.notices[first:]...), f.changed.wait()
}

// latest is the number of the last notice.
func (f *feed) latest() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}
