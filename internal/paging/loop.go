package paging

import "errors"

// maxRepeats is how often a page in a row may have the items of the one before. New items push
// others to the next page, and where a page is small all of them: once is no proof.
const maxRepeats = 5

// maxReturns is how often the items of a page may come back with others in between, and
// maxEmptyPages how many pages in a row may have none: a filter may leave some empty.
const (
	maxReturns    = 20
	maxEmptyPages = 1000
)

var (
	errEmptyPages  = errors.New("ittybit: the list repeats itself: page after page has no items")
	errSameItems   = errors.New("ittybit: the list repeats itself: page after page has the same items")
	errEarlierPage = errors.New("ittybit: the list repeats itself: a page names one as its next that came before")
)

// LoopDetector notices that a list has no end. Its memory does not grow with the list.
type LoopDetector struct {
	positions, contents cycle
	begun               bool
	before              string // the fingerprint of the page before
	repeats, empty      int
}

// Items takes the fingerprint of a page's items. Empty pages are all alike, and no repeat.
func (d *LoopDetector) Items(fingerprint string) error {
	if fingerprint == "" {
		if d.empty++; d.empty == maxEmptyPages {
			return errEmptyPages
		}
		d.before = ""
		return nil
	}
	d.empty = 0
	if d.repeats++; fingerprint != d.before {
		d.before, d.repeats = fingerprint, 0
	}
	if d.repeats == maxRepeats || d.contents.seen(fingerprint) == maxReturns {
		return errSameItems
	}
	return nil
}

// Position takes the position of a page, and of the one that it names as its next.
func (d *LoopDetector) Position(from, to string) error {
	if !d.begun {
		d.begun = true
		d.positions.seen(from)
	}
	if d.positions.seen(to) > 0 {
		return errEarlierPage
	}
	return nil
}

// cycle notices that a fingerprint comes again. It keeps one of them, a later one after 1, 2, 4,
// 8, … others (Brent's algorithm), and so finds every cycle, after at most some three times its
// length and the way to it.
type cycle struct {
	kept         string
	steps, limit int
	times        int
}

// seen takes the next fingerprint, and gives how often the one that is kept has come again.
func (c *cycle) seen(fingerprint string) int {
	if c.limit > 0 && fingerprint == c.kept {
		c.steps = 0
		c.times++
		return c.times
	}
	if c.steps++; c.steps > c.limit {
		*c = cycle{kept: fingerprint, limit: max(2*c.limit, 1)}
	}
	return 0
}
