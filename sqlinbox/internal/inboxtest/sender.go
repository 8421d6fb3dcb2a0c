package inboxtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// sender sends events by way of a local Ittybit, and keeps the books.
type sender struct {
	srv     *ittybittest.Server
	client  *ittybit.Client
	address string // of the receiver
	allowed int
	orders  chan struct{} // one for each event that may be sent
	free    chan struct{} // bounds the events under way
	others  sync.WaitGroup

	mu       sync.Mutex
	keys     map[string]bool // acknowledged
	final    int             // copies that need no other attempt
	attempts int
	answers  map[int]int // by status
	changed  chan struct{}
}

const copies = 2 // of each event

func newSender(t *testing.T) *sender {
	t.Helper()
	s := &sender{
		srv: ittybittest.NewServer(ittybittest.WithAPIKey(Secret), ittybittest.WithTaskDuration(0),
			ittybittest.WithBackoff(ittybittest.Backoff{First: 5 * time.Millisecond, Max: 200 * time.Millisecond, Attempts: 1 << 30})),
		address: freeAddress(t), orders: make(chan struct{}, 100_000), free: make(chan struct{}, 48),
		keys: map[string]bool{}, answers: map[int]int{}, changed: make(chan struct{}, 1),
	}
	s.srv.SetFaults(ittybittest.Faults{
		Duplicates: copies - 1, ReorderWindow: 5 * time.Millisecond,
		Delivery: func(ittybittest.Delivery) ittybittest.DeliveryFault {
			switch n := rand.IntN(100); {
			case n < 5:
				return ittybittest.DeliveryFault{HangUp: ittybittest.HangUpBeforeAnswer}
			case n < 8:
				return ittybittest.DeliveryFault{HangUp: ittybittest.HangUpInBody}
			}
			return ittybittest.DeliveryFault{}
		},
	})
	client, err := s.srv.Client()
	require.NoError(t, err)
	s.client = client
	s.others.Go(func() {
		_, _ = s.srv.WaitForDelivery(context.Background(), s.note) // until the server is closed
	})
	sent := make(chan struct{})
	go func() { defer close(sent); s.run() }()
	t.Cleanup(func() {
		close(s.orders)
		for idle := false; !idle; { // where the test failed, nothing frees the rest
			select {
			case <-s.free:
			case <-sent:
				idle = true
			}
		}
		s.srv.Close()
		s.others.Wait()
	})
	return s
}

// freeAddress gives a loopback address that was free, of the ports that are not handed out to
// others.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 50 {
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(20000+rand.IntN(12000)))
		if err == nil {
			require.NoError(t, listener.Close())
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// note keeps the books of one attempt.
func (s *sender) note(d ittybittest.Delivery) bool {
	e, err := ittybit.ParseEvent(d.Body)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	s.answers[d.StatusCode]++
	if d.Delivered() && !s.keys[e.Key()] {
		s.keys[e.Key()] = true
		<-s.free
	}
	if d.Final {
		s.final++
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return false
}

// allow lets the sender go on until it has sent so many events.
func (s *sender) allow(upTo int) {
	for ; s.allowed < upTo; s.allowed++ {
		s.orders <- struct{}{}
	}
}

// run sends what it is allowed to, and no more at once than are free.
func (s *sender) run() {
	n := 0
	for range s.orders {
		s.free <- struct{}{}
		n++
		_, err := s.client.Tasks.Create(context.Background(), ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: fmt.Sprintf("https://example.com/%d.jpg", n), WebhookURL: "http://" + s.address + "/",
		})
		if err != nil {
			panic(err)
		}
	}
}

// wait waits until every copy of so many events was acknowledged.
func (s *sender) wait(t *testing.T, events int) {
	t.Helper()
	s.waitFor(t, func() bool { return s.final == copies*events })
}

// waitFor waits until the books are as wanted.
func (s *sender) waitFor(t *testing.T, wanted func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for {
		s.mu.Lock()
		done := wanted()
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			keys, attempts, answers := s.figures()
			t.Fatalf("the deliveries were not acknowledged in time: %d events are, after %d attempts, answers by status %v",
				len(keys), attempts, answers)
		}
	}
}

func (s *sender) acknowledged() map[string]bool {
	keys, _, _ := s.figures()
	return keys
}

func (s *sender) figures() (keys map[string]bool, attempts int, answers map[int]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, answers = map[string]bool{}, map[int]int{}
	for key := range s.keys {
		keys[key] = true
	}
	for status, n := range s.answers {
		answers[status] = n
	}
	return keys, s.attempts, answers
}
