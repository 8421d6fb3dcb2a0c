package ittybittest_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// callbacks is a store, a log and a receiver that call the server back.
type callbacks struct {
	countingStore
	slog.Handler // for what follows a logger's With
	call         func(from string)
}

func (h *callbacks) Add(d ittybittest.Delivery) error {
	h.call("store")
	return h.countingStore.Add(d)
}

func (h *callbacks) Enabled(context.Context, slog.Level) bool { return true }

func (h *callbacks) Handle(context.Context, slog.Record) error {
	h.call("log")
	return nil
}

func (h *callbacks) ServeHTTP(http.ResponseWriter, *http.Request) { h.call("receiver") }

// No lock is held that a task or a request needs.
func TestCallbacks_mayCallTheServer(t *testing.T) {
	var srv *ittybittest.Server
	var called sync.Map
	h := &callbacks{Handler: slog.DiscardHandler, call: func(from string) {
		called.Store(from, true)
		srv.FailTasks("video", "")
		if err := srv.Snapshot(io.Discard); err != nil {
			assert.ErrorContains(t, err, "closed or reset")
		}
	}}
	srv = ittybittest.NewServer(ittybittest.WithoutSockets(h), ittybittest.WithDeliveryStore(h),
		ittybittest.WithLogger(slog.New(h)), ittybittest.WithProgressWebhooks())
	t.Cleanup(srv.Close)
	srv.SetFaults(ittybittest.Faults{
		Request: func(*http.Request) ittybittest.RequestFault { h.call("request"); return ittybittest.RequestFault{} },
		Delivery: func(ittybittest.Delivery) ittybittest.DeliveryFault {
			h.call("delivery")
			return ittybittest.DeliveryFault{}
		},
	})
	a := newAPI(t, srv)
	id := a.create("/tasks", hookedTask)["id"].(string)
	_, err := srv.WaitForTask(t.Context(), id)
	require.NoError(t, err)
	for _, from := range []string{"store", "log", "receiver", "request", "delivery"} {
		_, ok := called.Load(from)
		assert.True(t, ok, from)
	}
}
