package ittybittest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
)

// maxNotices is how many notices a feed keeps, for those who come back.
const maxNotices = 10_000

// feed is what happens on a server, for those who watch it over HTTP.
type feed struct {
	mu      sync.Mutex
	on      bool
	start   string // tells this feed from that of another start of the server
	last    int64  // the number of the latest notice
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
	kind   string // "delivery", "task" or "reset"
	data   []byte
}

func (f *feed) add(kind string, value any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on {
		return
	}
	f.last++
	f.notices = append(f.notices, notice{f.last, kind, fields.Encode(value)})
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

// position is the id of the latest notice.
func (f *feed) position() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.id(f.last)
}

// id is that of a notice, for a client to come back with. Notices are numbered without gaps.
func (f *feed) id(number int64) string { return fmt.Sprintf("%s-%d", f.start, number) }

// find gives the number behind an id: of the latest notice if there is no id, and 0, before all
// that are kept, for the id 0. It is not known if what followed is not kept, or if the id is of
// another start.
func (f *feed) find(id string) (number int64, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch id {
	case "":
		return f.last, true
	case "0":
		return 0, true
	}
	start, text, _ := strings.Cut(id, "-")
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || start != f.start || number < f.last-int64(len(f.notices)) || number > f.last {
		return f.last, false
	}
	return number, true
}
