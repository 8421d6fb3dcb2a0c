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
	changed chan struct{} // closed when a notice comes; nil if nobody waits
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
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// since gives the notices after a number, and a channel that is closed when another comes.
func (f *feed) since(number int64) ([]notice, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := len(f.notices)
	for first > 0 && f.notices[first-1].number > number {
		first--
	}
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return append([]notice(nil), f.notices[first:]...), f.changed
}

// latest is the number of the last notice.
func (f *feed) latest() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}
