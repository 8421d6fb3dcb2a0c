package engine

import (
	"encoding/json"
	"iter"
	"net/http"
	"slices"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// List holds the objects of one resource in the order of their creation.
type List[T any] struct {
	name string
	id   func(T) string
	show func(T) any // as the API does
	ids  []string
	byID map[string]T
}

func newList[T any](name string, id func(T) string, show func(T) any) *List[T] {
	return &List[T]{name: name, id: id, show: show, byID: map[string]T{}}
}

// Get gives an object.
func (l *List[T]) Get(id string) (any, error) {
	item, err := l.find(id)
	if err != nil {
		return nil, err
	}
	return l.show(item), nil
}

// Update gives an object to set, and keeps what that made of it unless it failed.
func Update[T any](l *List[*T], set func(*T, fields.Object) error) func(string, fields.Object) (any, error) {
	return func(id string, body fields.Object) (any, error) {
		item, err := l.find(id)
		if err != nil {
			return nil, err
		}
		changed := *item
		if err := set(&changed, body); err != nil {
			return nil, err
		}
		*item = changed
		return l.show(item), nil
	}
}

// List gives a page of the objects, the newest first, and how many there are.
func (l *List[T]) List(w Window) (shown []any, total int64) {
	return l.page(w, func(T) bool { return true })
}

// Delete removes an object.
func (l *List[T]) Delete(id string) error {
	_, err := l.find(id)
	l.remove(id)
	return err
}

func (l *List[T]) add(item T) {
	l.ids = append(l.ids, l.id(item))
	l.byID[l.id(item)] = item
}

func (l *List[T]) find(id string) (T, error) {
	item, ok := l.byID[id]
	if !ok {
		return item, refusal.New(http.StatusNotFound, "%s %q was not found.", l.name, id)
	}
	return item, nil
}

func (l *List[T]) remove(id string) {
	delete(l.byID, id)
	l.ids = slices.DeleteFunc(l.ids, func(other string) bool { return other == id })
}

// all are the items, the oldest first.
func (l *List[T]) all() []T {
	items := slices.AppendSeq(make([]T, 0, len(l.ids)), l.newestFirst())
	slices.Reverse(items)
	return items
}

func (l *List[T]) newestFirst() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, id := range slices.Backward(l.ids) {
			if !yield(l.byID[id]) {
				return
			}
		}
	}
}

// MarshalJSON implements json.Marshaler.
func (l *List[T]) MarshalJSON() ([]byte, error) { return json.Marshal(l.all()) }

// UnmarshalJSON implements json.Unmarshaler.
func (l *List[T]) UnmarshalJSON(data []byte) error {
	var items []T
	err := json.Unmarshal(data, &items)
	for _, item := range items {
		l.add(item)
	}
	return err
}

// Window is a part of a list: a page of so many items. Pages count from 1. A list of tasks has
// those of a status and a kind, where these are not "".
type Window struct {
	Page, Limit  int64
	Status, Kind string
}

// Last is the number of the last page of a list.
func (w Window) Last(total int64) int64 { return max(1, (total+w.Limit-1)/w.Limit) }

// page is a page of the items that keep wants.
func (l *List[T]) page(w Window, keep func(T) bool) (shown []any, total int64) {
	shown = []any{}
	skip := (min(w.Page, w.Last(int64(len(l.ids)))+1) - 1) * w.Limit
	for item := range l.newestFirst() {
		if keep(item) {
			if total >= skip && total-skip < w.Limit {
				shown = append(shown, l.show(item))
			}
			total++
		}
	}
	return shown, total
}
