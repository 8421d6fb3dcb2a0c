package ittybittest

import (
	"bytes"
	"slices"
	"sort"
	"strconv"
	"sync"

	"github.com/ittybit/ittybit-go"
)

// These bound the memory that the default store takes.
const (
	maxRecords     = 10_000
	maxRecordBytes = 64 << 20
)

// DeliveryStore keeps the records of deliveries; see [WithDeliveryStore]. It is safe for
// concurrent use, and must not change what it is given.
type DeliveryStore interface {
	// Add keeps a record under its Number, which is higher than all before.
	Add(d Delivery) error
	// List gives the records that a query asks for.
	List(q DeliveryQuery) ([]Delivery, error)
	// Clear removes all records.
	Clear() error
}

// DeliveryQuery asks for records, the newest first. A zero field is no condition.
type DeliveryQuery struct {
	After       int64         // their Number is higher
	Before      int64         // their Number is lower
	OldestFirst bool          //
	Limit       int           // how many there are at most
	Latest      bool          // only the last record of each delivery and copy
	ID          string        // of the delivery
	TaskID      string        // of the task that it is about
	URL         string        // that it goes to
	State       DeliveryState // after the attempt

	Event  ittybit.EventType // that it brings
	Kind   string            // as of [Delivery.Kind]
	Status string            // of the response: "404", a class such as "5xx", or "none" if there was none
}

// StatusRange gives the lowest and the highest status code that Status stands for; "none" is 0.
func (q DeliveryQuery) StatusRange() (low, high int) {
	low, high, _ = statusRange(q.Status)
	return low, high
}

func statusRange(status string) (low, high int, ok bool) {
	switch {
	case status == "":
		return 0, 999, true
	case status == "none":
		return 0, 0, true
	case len(status) == 3 && status[1:] == "xx":
		n, err := strconv.Atoi(status[:1])
		return n * 100, n*100 + 99, err == nil
	}
	n, err := strconv.Atoi(status)
	return n, n, err == nil && n >= 100 && n <= 999
}

// Matches reports whether a record meets the conditions that need no other record: all but
// Limit and Latest.
func (q DeliveryQuery) Matches(d Delivery) bool {
	low, high := q.StatusRange()
	if d.Number <= q.After || (q.Before != 0 && d.Number >= q.Before) ||
		(q.ID != "" && q.ID != d.ID) || (q.URL != "" && q.URL != d.URL) || d.StatusCode < low || d.StatusCode > high ||
		(q.State != "" && q.State != d.State()) {
		return false
	}
	if q.Event == "" && q.Kind == "" && q.TaskID == "" { // the body need not be read
		return true
	}
	event, kind, taskID := d.what()
	return (q.Event == "" || q.Event == event) && (q.Kind == "" || q.Kind == kind) && (q.TaskID == "" || q.TaskID == taskID)
}

// memoryStore is the default store.
type memoryStore struct {
	mu      sync.Mutex
	records []Delivery
	bytes   int
}

// Add implements DeliveryStore.
func (m *memoryStore) Add(d Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, d)
	m.bytes += size(d)
	for len(m.records) > maxRecords || m.bytes > maxRecordBytes && len(m.records) > 1 {
		m.bytes -= size(m.records[0])
		m.records[0] = Delivery{}
		m.records = m.records[1:]
	}
	return nil
}

func size(d Delivery) int { return len(d.Body) + len(d.ResponseBody) }

// List implements DeliveryStore. The records are copies.
func (m *memoryStore) List(q DeliveryQuery) ([]Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type deliveryCopy struct {
		id   string
		copy int
	}
	latest := map[deliveryCopy]int64{}
	for i := 0; q.Latest && i < len(m.records); i++ {
		latest[deliveryCopy{m.records[i].ID, m.records[i].Copy}] = m.records[i].Number
	}
	found := []Delivery{}
	first := sort.Search(len(m.records), func(i int) bool { return m.records[i].Number > q.After })
	for i := first; i < len(m.records); i++ {
		d := m.records[len(m.records)-1-i+first]
		if q.OldestFirst {
			d = m.records[i]
		}
		if !q.Matches(d) || q.Latest && latest[deliveryCopy{d.ID, d.Copy}] != d.Number {
			continue
		}
		d.Body, d.ResponseBody = bytes.Clone(d.Body), bytes.Clone(d.ResponseBody)
		if found = append(found, d); q.Limit > 0 && len(found) == q.Limit {
			break
		}
	}
	return slices.Clip(found), nil
}

// Clear implements DeliveryStore.
func (m *memoryStore) Clear() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records, m.bytes = nil, 0
	return nil
}
