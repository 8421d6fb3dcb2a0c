package ittybittest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

const hookedTask = `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"` + hook + `"}`

func TestWebhook_isThePayloadOfTheDocumentation(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		id := a.create("/tasks", `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"`+hook+`?kind=nsfw&ref=7"}`)["id"].(string)
		time.Sleep(time.Second)

		got := in.all()
		require.Len(t, got, 1)
		assert.Equal(t, "your-app.com", got[0].host)
		assert.Equal(t, "/ittybit-webhook", got[0].path)
		assert.Equal(t, "kind=nsfw&ref=7", got[0].query)
		assert.Equal(t, "application/json", got[0].header.Get("Content-Type"))
		assert.NotEmpty(t, got[0].header.Get("User-Agent"))
		assert.Len(t, got[0].header.Values("Ittybit-Signature"), 1)
		signedAt := checkSignature(t, a.srv.APIKey, got[0].header.Get("Ittybit-Signature"), got[0].body)
		assert.Equal(t, got[0].at.Unix(), signedAt.Unix())

		body := decode(t, got[0].body)
		assert.Equal(t, a.get("/tasks/"+id), body)
		assert.Equal(t, "task", body["object"])
		assert.Equal(t, "completed", body["status"])
		for _, name := range []string{"results", "project_id", "created", "completed"} {
			assert.Contains(t, body, name)
		}
	})
}

func TestWebhook_progress(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		time.Sleep(time.Second)
		bodies := in.bodies(t)
		require.Len(t, bodies, 2)
		assert.Equal(t, "processing", bodies[0]["status"])
		assert.Equal(t, 50.0, bodies[0]["progress"])
		assert.NotContains(t, bodies[0], "results")
		assert.Equal(t, "completed", bodies[1]["status"])
	}, ittybittest.WithProgressWebhooks())
}

func TestRetries_followTheSchedule(t *testing.T) {
	in := &inbox{statuses: []int{500, 404, 204, 202, 301, 429, 503}}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		time.Sleep(24 * time.Hour)

		got := in.all()
		require.Len(t, got, 8, "only 200 confirms")
		var waits []time.Duration
		for i := range got[1:] {
			waits = append(waits, got[i+1].at.Sub(got[i].at))
			assert.Equal(t, got[0].body, got[i+1].body)
		}
		h := time.Hour
		assert.Equal(t, []time.Duration{h / 2, h, 2 * h, 3 * h, 3 * h, 3 * h, 3 * h}, waits)

		var statuses []int
		for i, d := range a.srv.Deliveries() {
			statuses = append(statuses, d.StatusCode)
			assert.Equal(t, i+1, d.Attempt)
			assert.Equal(t, i == 7, d.Final)
			assert.Equal(t, i == 7, d.Delivered())
			assert.Equal(t, a.srv.Deliveries()[0].ID, d.ID)
			assert.Equal(t, hook, d.URL)
			assert.Equal(t, got[i].body, string(d.Body))
			assert.Equal(t, got[i].header.Get("Ittybit-Signature"), d.Signature)
			assert.Equal(t, got[i].at, d.Time)
			assert.Zero(t, d.Copy)
			assert.Zero(t, d.Duration)
			assert.NoError(t, d.Err)
			assert.Equal(t, got[i].at.Unix(), checkSignature(t, a.srv.APIKey, d.Signature, string(d.Body)).Unix(), "signed anew")
		}
		assert.Equal(t, []int{500, 404, 204, 202, 301, 429, 503, 200}, statuses)
	}, ittybittest.WithBackoff(ittybittest.Backoff{First: 30 * time.Minute, Max: 3 * time.Hour, Attempts: 20}))
}

func TestRetries_endAfterTheLastAttempt(t *testing.T) {
	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	for name, c := range map[string]struct {
		backoff ittybittest.Backoff
		took    time.Duration
		tries   int
	}{
		"by default":  {ittybittest.Backoff{}, 6350 * time.Millisecond, 8},
		"one attempt": {ittybittest.Backoff{Attempts: 1}, 0, 1},
		"constant":    {ittybittest.Backoff{First: time.Second, Factor: 0.5, Attempts: 4}, 3 * time.Second, 4},
		"factor":      {ittybittest.Backoff{First: time.Second, Factor: 3, Attempts: 4}, 13 * time.Second, 4},
		"overflow":    {ittybittest.Backoff{First: time.Second, Factor: 1e300, Max: time.Minute, Attempts: 3}, 61 * time.Second, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, broken, func(t *testing.T, a api) {
				a.create("/tasks", hookedTask)
				last := await(t, a.srv, final)
				assert.Equal(t, c.tries, last.Attempt)
				assert.False(t, last.Delivered())
				records := a.srv.Deliveries()
				assert.Len(t, records, c.tries)
				assert.Equal(t, c.took, last.Time.Sub(records[0].Time))
				time.Sleep(time.Hour)
				assert.Len(t, a.srv.Deliveries(), c.tries)
			}, ittybittest.WithBackoff(c.backoff))
		})
	}
}

// await waits without a deadline, which is fine in fake time: a bubble that
// waits for nothing fails its test.
func await(t *testing.T, srv *ittybittest.Server, match func(ittybittest.Delivery) bool) ittybittest.Delivery {
	t.Helper()
	d, err := srv.WaitForDelivery(t.Context(), match)
	require.NoError(t, err)
	return d
}

func TestSignOnce_keepsTheFirstTimestamp(t *testing.T) {
	in := &inbox{statuses: []int{500, 500}}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		time.Sleep(24 * time.Hour)
		got := in.all()
		require.Len(t, got, 3)
		for _, r := range got {
			assert.Equal(t, got[0].at.Unix(), checkSignature(t, a.srv.APIKey, r.header.Get("Ittybit-Signature"), r.body).Unix())
		}
		assert.Equal(t, 3*time.Hour, got[2].at.Sub(got[0].at))
	}, ittybittest.WithSigning(ittybittest.SignOnce), ittybittest.WithBackoff(ittybittest.Backoff{First: time.Hour}))
}

func TestDelivery_givesUpAfterFiveSeconds(t *testing.T) {
	var ended chan error // made in the bubble
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
		ended <- r.Context().Err()
		time.Sleep(time.Hour) // goes on all the same
	})
	synctest.Test(t, func(t *testing.T) {
		srv := ittybittest.NewServer(ittybittest.WithoutSockets(slow), ittybittest.WithBackoff(ittybittest.Backoff{Attempts: 1}))
		ended = make(chan error, 1)
		a := newAPI(t, srv)
		a.create("/tasks", hookedTask)
		d := await(t, srv, final)
		assert.Equal(t, 5*time.Second, d.Duration)
		assert.Zero(t, d.StatusCode)
		assert.ErrorContains(t, d.Err, "did not answer in time (5s)")
		assert.ErrorIs(t, <-ended, context.Canceled, "the receiver sees that the sender has gone")

		start := time.Now()
		srv.Close()
		assert.Equal(t, time.Hour, time.Since(start), "Close waits for the receiver")
	})
}

func TestDelivery_acceptsAnAnswerJustInTime(t *testing.T) {
	late := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(2*time.Second - 1) })
	bubble(t, late, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		d := await(t, a.srv, final)
		assert.True(t, d.Delivered())
		assert.Equal(t, 2*time.Second-1, d.Duration)
	}, ittybittest.WithDeliveryTimeout(2*time.Second), ittybittest.WithDeliveryTimeout(0))
}

func TestDelivery_withNobodyListening(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		d := await(t, a.srv, final)
		assert.ErrorContains(t, d.Err, "connection refused")
		assert.Equal(t, 8, d.Attempt)
	})
}

func TestWaitForDelivery(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := a.srv.WaitForDelivery(ctx, final)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "ittybittest: no delivery matched, of 0")

		first := a.create("/tasks", hookedTask)["id"].(string)
		of := func(id string) func(ittybittest.Delivery) bool {
			return func(d ittybittest.Delivery) bool { return decode(t, string(d.Body))["id"] == id }
		}
		d := await(t, a.srv, of(first))
		assert.True(t, d.Delivered())
		second := a.create("/tasks", hookedTask)["id"].(string)
		await(t, a.srv, of(second))
		assert.Equal(t, d, await(t, a.srv, of(first)), "recorded before")

		d.Body[0] = 'x'
		assert.NotEqual(t, d.Body, a.srv.Deliveries()[0].Body, "records are copies")

		waited := make(chan error, 1)
		go func() {
			_, err := a.srv.WaitForDelivery(context.Background(), func(ittybittest.Delivery) bool { return false })
			waited <- err
		}()
		synctest.Wait()
		a.srv.Close()
		assert.EqualError(t, <-waited, "ittybittest: the server was closed; no delivery matched, of 2")
		assert.Len(t, a.srv.Deliveries(), 2, "records outlive the server")
		await(t, a.srv, of(second))
	})
}

func TestRedeliver(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		first := await(t, a.srv, final)
		time.Sleep(time.Hour)
		require.NoError(t, a.srv.Redeliver(first))
		again := await(t, a.srv, func(d ittybittest.Delivery) bool { return d.ID != first.ID })
		assert.Equal(t, first.Body, again.Body)
		assert.Equal(t, first.URL, again.URL)
		assert.Equal(t, 1, again.Attempt)
		assert.NotEqual(t, first.Signature, again.Signature)
		assert.Len(t, in.all(), 2)
		a.srv.Close()
		require.ErrorContains(t, a.srv.Redeliver(first), "closed")
		assert.Len(t, a.srv.Deliveries(), 2)
	})
}

func TestDeliveries_keepTheLatestTenThousand(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		first := ittybittest.Delivery{URL: hook, Body: []byte("first")}
		require.NoError(t, a.srv.Redeliver(first))
		await(t, a.srv, final)
		for range 10_000 {
			require.NoError(t, a.srv.Redeliver(ittybittest.Delivery{URL: hook}))
		}
		synctest.Wait()
		records := a.srv.Deliveries()
		assert.Len(t, records, 10_000)
		for _, d := range records {
			require.Empty(t, d.Body)
		}
		_, err := a.srv.WaitForDelivery(canceled(t), final)
		assert.NoError(t, err, "what is recorded is found, however late")

		found := make(chan error, 1)
		go func() {
			_, err := a.srv.WaitForDelivery(t.Context(), func(d ittybittest.Delivery) bool { return string(d.Body) == "last" })
			found <- err
		}()
		synctest.Wait()
		require.NoError(t, a.srv.Redeliver(ittybittest.Delivery{URL: hook, Body: []byte("last")}))
		assert.NoError(t, <-found, "and what comes is found though as many records were dropped")
	}, ittybittest.WithBackoff(ittybittest.Backoff{Attempts: 1}))
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestClose_endsRetriesAndDeliveriesInFlight(t *testing.T) {
	entered := 0
	stuck := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if entered++; entered > 1 {
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	bubble(t, stuck, func(t *testing.T, a api) {
		start := time.Now()
		a.create("/tasks", hookedTask)
		time.Sleep(time.Hour + time.Second)
		a.srv.Close()
		assert.Equal(t, time.Hour+time.Second, time.Since(start))
		records := a.srv.Deliveries()
		require.Len(t, records, 2)
		assert.ErrorContains(t, records[1].Err, "server was closed")
		assert.True(t, records[1].Final)
		assert.False(t, records[0].Final)
	}, ittybittest.WithBackoff(ittybittest.Backoff{First: time.Hour}))
}

func TestNewWebhookRequest(t *testing.T) {
	for name, c := range map[string]struct {
		payload any
		body    string
	}{
		"bytes":  {[]byte(`{"a": 1}`), `{"a": 1}`},
		"string": {`not json`, `not json`},
		"raw":    {json.RawMessage(`{ }`), `{ }`},
		"map":    {map[string]any{"id": "task_1", "url": "a&b"}, `{"id":"task_1","url":"a&b"}`},
		"nil":    {nil, `null`},
	} {
		t.Run(name, func(t *testing.T) {
			r := ittybittest.NewWebhookRequest("key", c.payload)
			assert.Equal(t, http.MethodPost, r.Method)
			assert.Equal(t, "/ittybit-webhook", r.URL.Path)
			assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
			assert.NotEmpty(t, r.Header.Get("User-Agent"))
			assert.Equal(t, int64(len(c.body)), r.ContentLength)
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.Equal(t, c.body, string(body))
			signedAt := checkSignature(t, "key", r.Header.Get("Ittybit-Signature"), c.body)
			assert.WithinDuration(t, time.Now(), signedAt, 5*time.Second)
		})
	}
	assert.PanicsWithValue(t, "ittybittest: NewWebhookRequest: json: unsupported type: chan int", func() {
		ittybittest.NewWebhookRequest("key", make(chan int))
	})
}
