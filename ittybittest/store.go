package ittybittest

import (
	"slices"
	"time"
)

// collection holds the objects of one resource in the order of their creation.
type collection[T any] struct {
	ids  []string
	byID map[string]T
}

func (c *collection[T]) add(id string, item T) {
	if c.byID == nil {
		c.byID = map[string]T{}
	}
	c.ids = append(c.ids, id)
	c.byID[id] = item
}

// replace changes an item that is there.
func (c *collection[T]) replace(id string, item T) {
	if _, ok := c.byID[id]; ok {
		c.byID[id] = item
	}
}

func (c *collection[T]) get(id string) (T, bool) {
	item, ok := c.byID[id]
	return item, ok
}

func (c *collection[T]) remove(id string) bool {
	if _, ok := c.byID[id]; !ok {
		return false
	}
	delete(c.byID, id)
	c.ids = slices.DeleteFunc(c.ids, func(other string) bool { return other == id })
	return true
}

// oldestFirst returns the items in the order they were added.
func (c *collection[T]) oldestFirst() []T {
	items := make([]T, len(c.ids))
	for i, id := range c.ids {
		items[i] = c.byID[id]
	}
	return items
}

// newestFirst returns the items that keep wants, the last one added first.
func (c *collection[T]) newestFirst(keep func(T) bool) []T {
	items := make([]T, 0, len(c.ids))
	for _, id := range slices.Backward(c.ids) {
		if item := c.byID[id]; keep == nil || keep(item) {
			items = append(items, item)
		}
	}
	return items
}

// timestamp writes a time the way the API does: ISO 8601 in UTC.
func timestamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
