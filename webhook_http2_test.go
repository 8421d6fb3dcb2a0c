package ittybit_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestWebhookHandler_overHTTP2(t *testing.T) {
	recorder := newWebhookRecorder()
	blocked, release := make(chan struct{}), make(chan struct{})
	events := ittybit.NewEventMux()
	events.OnUnhandled(recorder.HandleEvent)
	events.OnMediaCreated(func(context.Context, *ittybit.Event) error {
		close(blocked)
		<-release
		return nil
	})
	srv := httptest.NewUnstartedServer(webhookHandler(t, events, ittybit.WithReadTimeout(webhookReadTimeout), ittybit.WithObserver(recorder.observe)))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	protocol := func(r *http.Request) int {
		resp, err := srv.Client().Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		assert.Equal(t, 2, resp.ProtoMajor)
		return resp.StatusCode
	}

	// One delivery is being handled all the while, in the same connection.
	other := webhookBackground(srv, `{"id":"med_1","object":"media"}`)
	webhookReceive(t, blocked)

	r, err := http.NewRequest(http.MethodPost, srv.URL, http.NoBody)
	require.NoError(t, err)
	assert.Equal(t, http.StatusUnauthorized, protocol(r))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)

	// A sender that stalls is cut off, and the other stream is not.
	body, stall := io.Pipe()
	t.Cleanup(func() { assert.NoError(t, stall.Close()) })
	go func() { _, _ = io.WriteString(stall, "start") }()
	r, err = http.NewRequest(http.MethodPost, srv.URL, body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusRequestTimeout, protocol(r))
	webhookStillOpen(t, other, "it is still being handled")
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookTask("task_2", "completed")).Status)

	close(release)
	answer := webhookReceive(t, other)
	require.NoError(t, answer.Err)
	assert.Equal(t, http.StatusOK, answer.Status)
	assert.Len(t, recorder.handled(), 2)
}

// webhookDeadlines is a ResponseWriter that records its read deadlines.
type webhookDeadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *webhookDeadlines) SetReadDeadline(t time.Time) error {
	w.set = append(w.set, t)
	return nil
}

func TestWebhookHandler_putsTheReadDeadlineBack(t *testing.T) {
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithReadTimeout(time.Hour))
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized} {
		w := &webhookDeadlines{ResponseRecorder: httptest.NewRecorder()}
		r := signedRequest("{}")
		if status == http.StatusUnauthorized {
			r.Header.Del(ittybit.SignatureHeader)
		}
		before := time.Now()
		h.ServeHTTP(w, r)
		assert.Equal(t, status, w.Code)
		require.Len(t, w.set, 2)
		assert.WithinRange(t, w.set[0], before.Add(time.Hour), time.Now().Add(time.Hour))
		assert.True(t, w.set[1].IsZero())
	}
}

func TestWebhookHandler_doesNotEndTheOtherStreamsOfHTTP2(t *testing.T) {
	for major, want := range map[int]string{1: "close", 2: ""} {
		w := &webhookDeadlines{ResponseRecorder: httptest.NewRecorder()}
		r := signedRequest("{}")
		r.ProtoMajor, r.Method = major, http.MethodPut
		webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, r)
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		assert.Equal(t, want, w.Header().Get("Connection"))
		require.Len(t, w.set, 1, "the rest of the body is waited for")
		assert.WithinDuration(t, time.Now(), w.set[0], 10*time.Second, "but not for long")
	}
}
