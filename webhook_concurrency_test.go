package ittybit_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestWebhookHandler_isSharedByManyGoroutines(t *testing.T) {
	const senders, events = 200, 50
	var mu sync.Mutex
	tries, handled := map[string]int{}, map[string]int{}
	mux := ittybit.NewEventMux()
	mux.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		mu.Lock()
		defer mu.Unlock()
		tries[e.Task.ID]++
		switch tries[e.Task.ID] {
		case 1:
			return errors.New("not yet")
		case 2:
			panic("nor now")
		}
		handled[e.Task.ID]++
		return nil
	})
	recorder := newWebhookRecorder()
	store := ittybit.NewMemoryDeduplicator(0, 0)
	h := webhookHandler(t, ittybit.Deduplicate(store, mux), ittybit.WithObserver(recorder.observe), ittybit.WithProcessingTimeout(time.Hour))
	srv := webhookServer(t, h)
	transport, ok := srv.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = senders, senders

	start := make(chan struct{})
	failures := make(chan string, senders*10)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			body := webhookTask("task_"+strconv.Itoa(i%events), "completed")
			<-start
			for range 10 { // Ittybit tries again until it gets a 200
				answer := webhookSend(srv.Client(), http.MethodPost, srv.URL, body, signedHeader(body))
				if answer.Err != nil {
					failures <- answer.Err.Error()
					return
				}
				if answer.Status == http.StatusOK {
					break
				}
			}
			// Somebody else is knocking all the while.
			if got := webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook("stranger", time.Now(), []byte(body))); got.Status != http.StatusUnauthorized {
				failures <- "a stranger got " + strconv.Itoa(got.Status)
			}
		})
	}
	close(start)
	group.Wait()
	close(failures)
	for failure := range failures {
		assert.Fail(t, failure)
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, handled, events)
	for id, times := range handled {
		assert.Equal(t, 1, times, id)
		assert.Equal(t, 3, tries[id], id)
	}
	outcomes := map[ittybit.Outcome]int{}
	for range senders*2 + 2*events {
		outcomes[recorder.next(t).Outcome]++
	}
	assert.Equal(t, map[ittybit.Outcome]int{
		ittybit.OutcomeHandled: events, ittybit.OutcomeFailed: events, ittybit.OutcomePanicked: events,
		ittybit.OutcomeDuplicate: senders - events, ittybit.OutcomeSignatureMismatch: senders,
	}, outcomes)
}

func TestVerify_isSharedByManyGoroutines(t *testing.T) {
	v := webhookVerifier(t, ittybit.WithSecrets("old"))
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			body := []byte("body " + strconv.Itoa(i))
			for _, secret := range []string{webhookSecret, "old"} {
				header := ittybit.SignWebhook(secret, signedAt, body)
				assert.NoError(t, v.Verify(body, header))
				assert.ErrorIs(t, v.Verify([]byte("another"), header), ittybit.ErrSignatureMismatch)
			}
		})
	}
	group.Wait()
}

func TestWebhookHandler_observesAgeAndWhatIsInFlight(t *testing.T) {
	recorder := newWebhookRecorder()
	entered, leave := make(chan struct{}), make(chan struct{})
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		if e.Task.ID == "task_slow" {
			entered <- struct{}{}
			<-leave
		}
		return nil
	}), ittybit.WithObserver(recorder.observe))
	srv := webhookServer(t, h)
	slow := webhookBackground(srv, webhookTask("task_slow", "completed"))
	<-entered

	before := time.Now().Truncate(time.Second)
	body := webhookTask("task_quick", "completed")
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, signedHeader(body)).Err)
	quick := recorder.next(t)
	assert.Equal(t, 1, quick.InFlight, "the slow one")
	assert.False(t, quick.Signed.Before(before), "%v", quick.Signed)
	assert.False(t, quick.Signed.After(time.Now()), "%v", quick.Signed)

	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook(webhookSecret, old, []byte(body))).Err)
	late := recorder.next(t)
	assert.Equal(t, ittybit.OutcomeSignatureExpired, late.Outcome)
	assert.True(t, old.Equal(late.Signed), "authentic, if late: %v", late.Signed)
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook("stranger", old, []byte(body))).Err)
	assert.Zero(t, recorder.next(t).Signed, "a stranger's time means nothing")

	close(leave)
	require.NoError(t, webhookReceive(t, slow).Err)
	assert.Zero(t, recorder.next(t).InFlight)
}
