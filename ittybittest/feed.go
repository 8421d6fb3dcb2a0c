package ittybittest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
)

// maxNotices is how many notices a feed keeps, for those who come back.
const maxNotices = 10_000

// feed is what happens on a server, for those who wait for it, and those who watch it over HTTP.
type feed struct {
	on    bool
	start string // tells this feed from that of another start of the server

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, at each change
	last    int64         // the number of the latest notice; they are numbered without gaps
	notices []notice
}

type notice struct {
	kind string // "delivery", "task" or "reset"
	data []byte
}

func (f *feed) add(kind string, value any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	if f.changed = make(chan struct{}); f.on {
		f.last++
		f.notices = append(f.notices, notice{kind, fields.Encode(value)})
		f.notices = f.notices[max(0, len(f.notices)-maxNotices):]
	}
}

// wait gives what is closed at the next change.
func (f *feed) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// since gives the notices after a number, as far as they are kept, and the number of the latest.
func (f *feed) since(number int64) (notices []notice, last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.notices[max(0, int64(len(f.notices))-(f.last-number)):]), f.last
}

// position is the id of the latest notice.
func (f *feed) position() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.id(f.last)
}

// id is that of a notice, for a client to come back with.
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
