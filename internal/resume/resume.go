// Package resume notes how far a list was read whose newest items come first, and where to go on
// with it.
package resume

import (
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Place is one in a list whose newest items come first.
type Place struct {
	At   time.Time // when the item there was created
	ID   string    // of that item
	Page int       // where it stood; 0: the pages have no numbers
	Top  time.Time // from where on items are to be read again, once the list was read from here
}

// Item is what counts of an item of a list.
type Item struct {
	ID      string
	Created time.Time // zero: not known
}

// Find fetches the page to go on with: that of the place, or one before it where items have
// vanished, and others have moved up.
func (p *Place) Find(fetch func(page int) ([]Item, error)) error {
	number := max(p.Page, 1)
	for step := 1; ; step *= 2 {
		items, err := fetch(number)
		isAfter := func(i Item) bool { return i.ID == p.ID || i.Created.After(p.At) }
		if err != nil || number == 1 || slices.ContainsFunc(items, isAfter) {
			return err
		}
		number = max(number-step, 1)
	}
}

// List is one reading of a list.
type List struct {
	from    *Place // nil: it is read from its beginning
	place   *Place // of the item that was handled last
	latest  time.Time
	overlap time.Duration

	page           int
	unsorted       bool
	newest, oldest time.Time
	recent         [3][]Item // on this page, on the one before, and on the one before that
}

// NewList begins a reading, at a place or, if that is nil, at the list's beginning. Items that
// were created less than overlap before the newest one, or before latest, if that is earlier, are
// to be read again: they may be listed later, and a clock that is wrong must not hide what comes.
func NewList(from *Place, latest time.Time, overlap time.Duration) *List {
	return &List{from: from, latest: latest, overlap: overlap}
}

// TurnTo notes that a page was fetched.
func (l *List) TurnTo(query url.Values, items []Item) {
	l.page = pageNumber(query)
	l.recent = [3][]Item{items, l.recent[0], l.recent[1]}
}

// pageNumber is that of the page that a query asks for; 0 where pages have none.
func pageNumber(query url.Values) int {
	switch {
	case query.Has("after"), query.Has("before"):
		return 0
	case !query.Has("page"):
		return 1
	}
	number, err := strconv.Atoi(query.Get("page"))
	if err != nil {
		return 0
	}
	return number
}

// HasNumbers reports whether the latest page has a number, so that items move from page to page.
func (l *List) HasNumbers() bool { return l.page > 0 }

// HasShown reports whether an item was on one of the three latest pages.
func (l *List) HasShown(id string) bool { return has(l.recent[0], id) || l.HasPushed(id) }

// HasPushed reports whether an item was on one of the two pages before this one: new items have
// pushed it here.
func (l *List) HasPushed(id string) bool { return has(l.recent[1], id) || has(l.recent[2], id) }

func has(items []Item, id string) bool {
	return slices.ContainsFunc(items, func(i Item) bool { return i.ID == id })
}

// IsBefore reports whether an item stands before the place where the list is read from.
func (l *List) IsBefore(created time.Time) bool {
	return l.from != nil && !created.IsZero() && created.After(l.from.At)
}

// Passed notes that an item was handled, or skipped.
func (l *List) Passed(i Item) {
	created := i.Created
	if created.IsZero() {
		return
	}
	if l.newest.IsZero() {
		l.newest, l.oldest = created, created
	}
	l.unsorted = l.unsorted || created.After(l.oldest)
	if created.Before(l.oldest) {
		l.oldest = created
	}
	if created.After(l.newest) {
		l.newest = created
	}
	if !l.IsBefore(created) {
		l.place = &Place{At: created, ID: i.ID, Page: l.page}
	}
}

// IsMisplaced reports whether a list that was resumed shows that it is not sorted, so that nothing
// can be said of what stands before its place.
func (l *List) IsMisplaced() bool { return l.from != nil && l.unsorted }

// isSorted reports whether the newest items were seen to come first. Times that are all the same
// say nothing of the order.
func (l *List) isSorted() bool { return !l.unsorted && (l.from != nil || l.oldest.Before(l.newest)) }

// IsPast reports whether all that follows was created before a time.
func (l *List) IsPast(since time.Time) bool { return l.isSorted() && l.oldest.Before(since) }

// Top is from where on items are to be read again, once the list was read; zero: that is not known.
func (l *List) Top() time.Time {
	switch {
	case l.from != nil:
		return l.from.Top
	case l.newest.IsZero():
		return time.Time{}
	case l.latest.Before(l.newest):
		return l.latest.Add(-l.overlap)
	}
	return l.newest.Add(-l.overlap)
}

// Place is where a reading that ends here is resumed; nil where it can't be.
func (l *List) Place() *Place {
	switch {
	case !l.isSorted():
		return nil
	case l.place == nil:
		return l.from
	}
	place := *l.place
	place.Top = l.Top()
	return &place
}
