package ittybittest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestFailRequests_answersAStatusForTheNextRequests(t *testing.T) {
	a := open(t)
	a.srv.FailRequests(2, ittybittest.RequestFault{Status: 429, Header: http.Header{"retry-after": {"7"}}})
	a.srv.FailRequests(1, ittybittest.RequestFault{Status: 503, Message: "Back soon."})
	for range 2 {
		got := a.send("POST", "/tasks", nsfwTask)
		got.refused(t, 429, "Too Many Requests")
		assert.Equal(t, "7", got.header.Get("Retry-After"))
	}
	got := a.send("POST", "/tasks", nsfwTask)
	got.refused(t, 503, "Back soon.")
	assert.Empty(t, got.header.Get("Retry-After"))
	assert.Empty(t, a.list("/tasks"), "none was acted on, and now it works again")
}

func TestFaults_requestFunction(t *testing.T) {
	a := open(t)
	a.srv.SetFaults(ittybittest.Faults{Request: func(r *http.Request) (f ittybittest.RequestFault) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && strings.Contains(string(body), "speech") {
			f.Status = 502
		}
		return f
	}})
	a.send("POST", "/tasks", `{"kind":"speech","file_id":"f"}`).refused(t, 502, "Bad Gateway")
	a.create("/tasks", nsfwTask)

	a.srv.FailRequests(3, ittybittest.RequestFault{Status: 500})
	a.srv.SetFaults(ittybittest.Faults{})
	a.create("/tasks", `{"kind":"speech","file_id":"f"}`)
}

func TestFaults_dropBeforeAndAfter(t *testing.T) {
	for name, opts := range map[string][]ittybittest.Option{
		"sockets": nil, "memory": {ittybittest.WithoutSockets(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			a := open(t, opts...)
			for drop, created := range map[ittybittest.Drop]int{ittybittest.DropBefore: 0, ittybittest.DropAfter: 1} {
				before := len(a.list("/media"))
				a.srv.FailRequests(1, ittybittest.RequestFault{Drop: drop})
				_, err := a.try(a.request("POST", "/media", "{}"))
				require.ErrorIs(t, err, io.EOF)
				assert.Len(t, a.list("/media"), before+created)
			}
		})
	}
}

func TestFaults_latency(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.srv.SetFaults(ittybittest.Faults{Latency: time.Hour})
		a.srv.FailRequests(1, ittybittest.RequestFault{Latency: time.Minute, AnswerLatency: time.Second})
		for _, want := range []time.Duration{time.Hour + time.Minute + time.Second, time.Hour} {
			start := time.Now()
			a.create("/media", "{}")
			assert.Equal(t, want, time.Since(start))
		}

		// Who gives up before the request was acted on has changed nothing; who
		// gives up afterwards has.
		for i, fault := range []ittybittest.RequestFault{{Latency: 2 * time.Second}, {AnswerLatency: 2 * time.Second}} {
			a.srv.SetFaults(ittybittest.Faults{})
			a.srv.FailRequests(1, fault)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := a.try(a.request("POST", "/media", "{}").WithContext(ctx))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			time.Sleep(time.Minute)
			assert.Len(t, a.list("/media"), 2+i)
		}
	})
}

func TestClose_endsASlowRequest(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.srv.SetFaults(ittybittest.Faults{Latency: time.Hour})
		failed := make(chan error, 1)
		go func() {
			_, err := a.try(a.request("GET", "/media", ""))
			failed <- err
		}()
		synctest.Wait()
		start := time.Now()
		a.srv.Close()
		assert.Zero(t, time.Since(start))
		assert.Error(t, <-failed)
	})
}

func TestFaults_duplicates(t *testing.T) {
	in := &inbox{statuses: []int{500}}
	bubble(t, in, func(t *testing.T, a api) {
		a.srv.SetFaults(ittybittest.Faults{Duplicates: 2})
		a.create("/tasks", hookedTask)
		time.Sleep(time.Hour)
		got := in.all()
		require.Len(t, got, 4, "three copies, and one retry")
		assert.Equal(t, got[0].at, got[2].at)
		finals := map[int]bool{}
		for _, d := range a.srv.Deliveries() {
			assert.Equal(t, a.srv.Deliveries()[0].ID, d.ID)
			assert.Equal(t, a.srv.Deliveries()[0].Body, d.Body)
			if d.Final {
				finals[d.Copy] = d.Delivered()
			}
		}
		assert.Equal(t, map[int]bool{0: true, 1: true, 2: true}, finals)
	})
}

func TestFaults_reorder(t *testing.T) {
	in := &inbox{statuses: []int{500}}
	bubble(t, in, func(t *testing.T, a api) {
		a.srv.SetFaults(ittybittest.Faults{ReorderWindow: time.Minute})
		start := time.Now()
		var ids []any
		for range 3 {
			ids = append(ids, a.create("/tasks", hookedTask)["id"])
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		var order []any
		for _, body := range in.bodies(t) {
			order = append(order, body["id"])
		}
		assert.Equal(t, []any{ids[2], ids[1], ids[0], ids[2]}, order, "the last one first, and its retry")
		assert.Equal(t, start.Add(time.Minute+20*time.Millisecond), in.all()[0].at)

		a.create("/tasks", hookedTask)
		time.Sleep(time.Hour)
		assert.Len(t, in.all(), 5, "a new window opens")
		a.create("/tasks", hookedTask)
		time.Sleep(time.Second)
		a.srv.Close()
		assert.Len(t, in.all(), 5, "what is held back is lost when the server closes")
	})
}

// hanging records what a receiver sees of a sender that hangs up.
type hanging struct {
	mu   sync.Mutex
	seen []string
}

func (h *hanging) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	seen := "all"
	switch {
	case err != nil && len(body) > 0:
		seen = "part"
	case err != nil:
		seen = "nothing"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, seen)
}

func TestFaults_reorderCopies(t *testing.T) {
	bubble(t, &inbox{}, func(t *testing.T, a api) {
		a.srv.SetFaults(ittybittest.Faults{Duplicates: 1, ReorderWindow: time.Minute})
		for _, body := range []string{"first", "second"} {
			require.NoError(t, a.srv.Redeliver(ittybittest.Delivery{URL: hook, Body: []byte(body)}))
		}
		assert.Equal(t, 2, a.srv.UnderWay())
		time.Sleep(time.Minute)
		synctest.Wait()
		order := []string{}
		for _, d := range a.srv.Deliveries() {
			order = append(order, fmt.Sprint(string(d.Body), d.Copy))
		}
		assert.Equal(t, []string{"second1", "second0", "first1", "first0"}, order)
		assert.Zero(t, a.srv.UnderWay())
	})
}

func TestFaults_hangUp(t *testing.T) {
	h := &hanging{}
	remote := receiver(t, h)
	for name, c := range map[string]struct {
		url  string
		opts []ittybittest.Option
	}{
		"sockets": {remote.URL, nil},
		"memory":  {hook, []ittybittest.Option{ittybittest.WithoutSockets(h)}},
	} {
		t.Run(name, func(t *testing.T) {
			h.seen = nil
			a := open(t, c.opts...)
			a.srv.FailDeliveries(1, ittybittest.DeliveryFault{HangUp: ittybittest.HangUpBeforeAnswer})
			a.srv.FailDeliveries(1, ittybittest.DeliveryFault{HangUp: ittybittest.HangUpInBody})
			a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+c.url+`"}`)
			last := waitFor(t, a.srv, final)
			assert.True(t, last.Delivered())
			assert.Equal(t, 3, last.Attempt)
			for _, d := range a.srv.Deliveries()[:2] {
				assert.Zero(t, d.StatusCode)
				assert.ErrorContains(t, d.Err, "the sender hung up")
				assert.False(t, d.Final)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			assert.Equal(t, []string{"all", "part", "all"}, h.seen)
		})
	}
}

func TestFaults_deliveryFunction(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		asked := []ittybittest.Delivery{}
		a.srv.SetFaults(ittybittest.Faults{Delivery: func(d ittybittest.Delivery) (f ittybittest.DeliveryFault) {
			asked = append(asked, d)
			f.Delay = time.Hour
			if d.Attempt == 1 {
				f.HangUp = ittybittest.HangUpBeforeAnswer
			}
			return f
		}})
		start := time.Now()
		a.create("/tasks", hookedTask)
		d := await(t, a.srv, final)
		assert.Equal(t, 2*time.Hour+70*time.Millisecond, time.Since(start))
		assert.Zero(t, d.Duration, "the delay is no part of the attempt's duration")
		assert.Len(t, in.all(), 2)
		require.Len(t, asked, 2)
		assert.Equal(t, d.ID, asked[1].ID)
		assert.Equal(t, hook, asked[1].URL)
		assert.Equal(t, d.Body, asked[1].Body)

		a.srv.FailDeliveries(5, ittybittest.DeliveryFault{HangUp: ittybittest.HangUpInBody})
		a.srv.SetFaults(ittybittest.Faults{})
		require.NoError(t, a.srv.Redeliver(d))
		again := await(t, a.srv, func(other ittybittest.Delivery) bool { return other.ID != d.ID })
		assert.True(t, again.Delivered())
	})
}
