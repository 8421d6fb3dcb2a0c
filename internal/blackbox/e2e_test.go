package blackbox

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// e2eOutcomes counts what became of deliveries.
type e2eOutcomes struct {
	mu     sync.Mutex
	counts map[ittybit.Outcome]int
}

func (o *e2eOutcomes) observe(_ context.Context, d ittybit.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.counts == nil {
		o.counts = make(map[ittybit.Outcome]int)
	}
	o.counts[d.Outcome]++
}

func (o *e2eOutcomes) of(outcome ittybit.Outcome) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.counts[outcome]
}

func TestE2E_eachEventIsHandledOnceThroughFailuresDuplicatesAndReordering(t *testing.T) {
	var log apitest.Log
	logger := log.Logger()
	local := ittybittest.NewServer(ittybittest.WithLogger(logger), ittybittest.WithProgressWebhooks())
	defer local.Close()
	const urlSignature = "c2lnbmF0dXJlLW9mLWEtVVJM"
	signedURL := "https://you.ittybit.net/cat.jpg?expiry=1735689600&method=get&signature=" + urlSignature
	local.SetResults(ittybit.TaskKindNSFW, map[string]any{"is_nsfw": true, "confidence": 0.97, "preview": signedURL})

	var mu sync.Mutex
	completed, attempts := make(map[string]int), make(map[string]int)
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		mu.Lock()
		defer mu.Unlock()
		attempts[e.Task.ID]++
		switch attempts[e.Task.ID] {
		case 1:
			return errors.New("the database is away, said " + signedURL)
		case 2:
			panic("with " + local.APIKey)
		}
		completed[e.Task.ID]++
		return nil
	})
	media := make(chan string, 1)
	events.OnMediaCreated(func(_ context.Context, e *ittybit.Event) error {
		media <- e.Media.ID
		return nil
	})
	var outcomes e2eOutcomes
	webhook, err := ittybit.NewWebhookHandler(local.APIKey,
		ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(1000, time.Hour), events),
		ittybit.WithLogger(logger), ittybit.WithObserver(outcomes.observe))
	require.NoError(t, err)
	receiver := httptest.NewServer(webhook)
	defer receiver.Close()
	local.SetFaults(ittybittest.Faults{Duplicates: 1, ReorderWindow: 5 * time.Millisecond})

	client, err := local.Client(ittybit.WithLogger(logger))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = client.Automations.Create(ctx, ittybit.AutomationCreateParams{
		Trigger:  ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{ittybit.WebhookStep(receiver.URL+"/ittybit-webhook", "notify-server")},
	})
	require.NoError(t, err)
	created, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "A cat"})
	require.NoError(t, err)

	const tasks = 20
	var ids []string
	for range tasks {
		task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: signedURL, WebhookURL: receiver.URL})
		require.NoError(t, err)
		ids = append(ids, task.ID)
	}
	for _, id := range ids {
		for range 2 { // the webhook and its copy are both confirmed in the end
			_, err := local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool {
				return d.Delivered() && strings.Contains(string(d.Body), id) && strings.Contains(string(d.Body), `"completed"`)
			})
			require.NoError(t, err)
		}
	}
	assert.Equal(t, created.ID, <-media)
	receiver.Close() // the observer has been called for every delivery then
	local.Close()
	mu.Lock()
	for _, id := range ids {
		assert.Equal(t, 1, completed[id], "%s was handled once", id)
		assert.Equal(t, 3, attempts[id], "%s failed, panicked and succeeded", id)
	}
	mu.Unlock()
	assert.Positive(t, outcomes.of(ittybit.OutcomeDuplicate))
	assert.Equal(t, tasks, outcomes.of(ittybit.OutcomeFailed))
	assert.Equal(t, tasks, outcomes.of(ittybit.OutcomePanicked))

	text := log.String()
	assert.Contains(t, text, "payload=", "the log was at Debug level")
	assert.NotContains(t, text, local.APIKey)
	assert.NotContains(t, text, urlSignature)
	for _, d := range local.Deliveries() {
		_, mac, found := strings.Cut(d.Signature, "v1=")
		require.True(t, found)
		assert.NotContains(t, text, mac)
	}
}

// e2eOutage delivers one event to an endpoint that is down for outage, in faked time, and
// tells how often it was handled and how often a delivery was refused as too old.
func e2eOutage(t *testing.T, outage time.Duration, signing ittybittest.Signing, opts ...ittybit.WebhookOption) (handled int32, expired int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const key = "ittybit_key_of_a_test"
		var count atomic.Int32
		next := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			count.Add(1)
			return nil
		})
		var outcomes e2eOutcomes
		webhook, err := ittybit.NewWebhookHandler(key,
			ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, 7*24*time.Hour), next),
			append(opts, ittybit.WithObserver(outcomes.observe))...)
		require.NoError(t, err)
		back := time.Now().Add(outage)
		endpoint := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if time.Now().Before(back) {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			webhook.ServeHTTP(w, r)
		})
		local := ittybittest.NewServer(
			ittybittest.WithAPIKey(key), ittybittest.WithoutSockets(endpoint), ittybittest.WithSigning(signing),
			ittybittest.WithBackoff(ittybittest.Backoff{First: time.Minute, Factor: 2, Attempts: 12}))
		defer local.Close()
		client, err := local.Client()
		require.NoError(t, err)
		_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg", WebhookURL: "https://your-app.com/nsfw-webhook",
		})
		require.NoError(t, err)
		_, err = local.WaitForDelivery(t.Context(), func(d ittybittest.Delivery) bool { return d.Final })
		require.NoError(t, err)
		handled, expired = count.Load(), outcomes.of(ittybit.OutcomeSignatureExpired)
	})
	return handled, expired
}

func TestE2E_anEventSurvivesAnOutageWhereRetriesAreSignedAnew(t *testing.T) {
	handled, expired := e2eOutage(t, 10*time.Hour, ittybittest.SignEachAttempt)
	assert.EqualValues(t, 1, handled)
	assert.Zero(t, expired)
}

func TestE2E_anOutageLosesAnEventThatIsSignedOnceUnlessTheToleranceIsRaised(t *testing.T) {
	handled, expired := e2eOutage(t, 10*time.Hour, ittybittest.SignOnce)
	assert.Zero(t, handled)
	assert.Positive(t, expired, "the loss can be seen")

	handled, expired = e2eOutage(t, 10*time.Hour, ittybittest.SignOnce, ittybit.WithTolerance(72*time.Hour))
	assert.EqualValues(t, 1, handled)
	assert.Zero(t, expired)
}

func TestE2E_pollingAndTheWebhookGiveOneEvent(t *testing.T) {
	var count atomic.Int32
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour),
		ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			count.Add(1)
			return nil
		}))
	local := ittybittest.NewServer()
	defer local.Close()
	webhook, err := ittybit.NewWebhookHandler(local.APIKey, once)
	require.NoError(t, err)
	receiver := httptest.NewServer(webhook)
	defer receiver.Close()
	client, err := local.Client()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, URL: "https://example.com/v.mp4", WebhookURL: receiver.URL})
	require.NoError(t, err)
	task, err = client.Tasks.Wait(ctx, task.ID, ittybit.WithPollInterval(5*time.Millisecond))
	require.NoError(t, err)
	require.NoError(t, once.HandleEvent(ctx, ittybit.EventFromTask(task)))
	_, err = local.WaitForDelivery(ctx, ittybittest.Delivery.Delivered)
	require.NoError(t, err)
	assert.EqualValues(t, 1, count.Load())
}
