package ittybit

import "time"

// ReconcileCheckpoint says which tasks are dealt with. It is made by [Reconcile], to be
// stored as JSON and given to the next run.
type ReconcileCheckpoint struct {
	// Since: the tasks created before are dealt with, but for those of Open.
	Since time.Time `json:"since,omitzero"`
	// Done holds what a run that was cut has dealt with after Since, but for those of Open.
	Done []ReconcileSpan `json:"done,omitempty"`
	// Open are the ids of tasks that had not ended, or whose event was not handled.
	Open []string `json:"open,omitempty"`
}

// ReconcileSpan is a span of creation times, its ends excluded.
type ReconcileSpan struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

func (s ReconcileSpan) holds(t time.Time) bool { return t.After(s.From) && t.Before(s.To) }

func (r *reconciliation) save() {
	if r.params.OnCheckpoint != nil {
		r.params.OnCheckpoint(r.checkpoint())
	}
}

// checkpoint says what is dealt with by now.
func (r *reconciliation) checkpoint() ReconcileCheckpoint {
	old := r.params.Checkpoint
	now := ReconcileCheckpoint{Since: old.Since, Open: r.open.all()}
	top := earlier(r.newest, r.started).Add(-reconcileOverlap) // what has come since may have moved past this run
	switch {
	case r.whole:
		if !r.newest.IsZero() && top.After(now.Since) {
			now.Since = top
		}
		return now
	case r.newest.IsZero() || !r.sorted(): // it can't be said which times were looked at
		now.Done = old.Done
		return now
	}
	now.Done = joined(ReconcileSpan{From: r.oldest, To: top}, old.Done)
	return now
}

// joined gives spans with one more, which swallows those that it overlaps. Of two that only meet, neither
// holds the time at which they do.
func joined(span ReconcileSpan, spans []ReconcileSpan) []ReconcileSpan {
	if !span.From.Before(span.To) {
		return spans
	}
	var apart []ReconcileSpan
	for _, other := range spans {
		if !other.To.After(span.From) || !span.To.After(other.From) {
			apart = append(apart, other)
			continue
		}
		span.From = earlier(span.From, other.From)
		if other.To.After(span.To) {
			span.To = other.To
		}
	}
	return append([]ReconcileSpan{span}, apart...)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// idSet is a set of ids that keeps their order.
type idSet struct {
	ids   []string // "" where one was removed
	place map[string]int
}

func newIDSet(ids []string) *idSet {
	s := &idSet{place: make(map[string]int, len(ids))}
	for _, id := range ids {
		s.add(id)
	}
	return s
}

func (s *idSet) add(id string) {
	if id != "" && !s.has(id) {
		s.place[id] = len(s.ids)
		s.ids = append(s.ids, id)
	}
}

func (s *idSet) remove(id string) {
	if i, ok := s.place[id]; ok {
		s.ids[i] = ""
		delete(s.place, id)
	}
}

func (s *idSet) has(id string) bool { _, ok := s.place[id]; return ok }

// all gives a copy; nil where there is none.
func (s *idSet) all() []string {
	var ids []string
	if len(s.place) > 0 {
		ids = make([]string, 0, len(s.place))
	}
	for _, id := range s.ids {
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// isDone reports whether the checkpoint says that tasks of that time are dealt with.
func (r *reconciliation) isDone(created time.Time) bool {
	if created.Before(r.params.Checkpoint.Since) {
		return true
	}
	for _, span := range r.params.Checkpoint.Done {
		if span.holds(created) {
			return true
		}
	}
	return false
}

// minRises is how often a newer task must have come after an older one before a list counts as
// sorted that way. No version of the API says that it is; by chance eleven stand so once in 40 million.
const minRises = 10

// sorted reports whether what was read of the list was sorted by the time of creation.
func (r *reconciliation) sorted() bool { return r.falling || r.rising && r.rises >= minRises }

// passed notes that a task created then has been looked at.
func (r *reconciliation) passed(created time.Time) {
	switch {
	case created.IsZero():
		return
	case r.newest.IsZero():
		r.newest, r.oldest = created, created
		return
	}
	r.falling = r.falling && !created.After(r.oldest)
	r.rising = r.rising && !created.Before(r.newest)
	if created.After(r.newest) {
		r.newest = created
		r.rises++
	}
	r.oldest = earlier(r.oldest, created)
}
