package blackbox

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestClient_twoHundredGoroutinesShareOne(t *testing.T) {
	var busy atomic.Int64
	server, seen := apitest.Server(t, func(w http.ResponseWriter, r *http.Request) {
		if busy.Add(1)%5 == 0 { // some are told to come again
			apitest.Respond(429, "", "Retry-After", "0")(w, r)
			return
		}
		switch {
		case r.Method == http.MethodPost:
			apitest.Respond(201, fmt.Sprintf(`{"id":%q}`, r.Header.Get("Idempotency-Key")))(w, r)
		case r.URL.Path == "/tasks":
			apitest.Respond(200, pageOf(r.URL.Query().Get("kind")))(w, r)
		default:
			apitest.Respond(200, fmt.Sprintf(`{"id":%q,"status":"completed"}`, path.Base(r.URL.Path)))(w, r)
		}
	})
	log := &apitest.Log{}
	transport := &http.Transport{MaxConnsPerHost: 50}
	defer transport.CloseIdleConnections()
	client := apitest.Client(t, server.URL, ittybit.WithHTTPClient(&http.Client{Transport: transport}), ittybit.WithLogger(log.Logger()),
		ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 30, MinWait: 1}))
	shared := []ittybit.RequestOption{ittybit.WithRequestHeader("X-Shared", "1")}
	var running sync.WaitGroup
	for i := range 200 {
		id := fmt.Sprintf("x_%d", i)
		running.Go(func() {
			ctx := t.Context()
			var info ittybit.ResponseInfo
			task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: "nsfw", FileID: id},
				append(shared[:1:1], ittybit.WithIdempotencyKey(id), ittybit.WithResponseInfo(&info))...)
			if assert.NoError(t, err) {
				assert.Equal(t, id, task.ID, "each call has its own response")
				assert.Equal(t, 201, info.StatusCode)
			}
			task, err = client.Tasks.Wait(ctx, id)
			if assert.NoError(t, err) {
				assert.Equal(t, id, task.ID)
			}
			for task, err := range client.Tasks.All(ctx, ittybit.TaskListParams{Kind: ittybit.TaskKind(id)}, shared...) {
				if assert.NoError(t, err) {
					assert.Equal(t, id, task.ID)
				}
			}
			media, err := client.Media.Update(ctx, id, ittybit.MediaUpdateParams{Title: &id})
			if assert.NoError(t, err) {
				assert.Equal(t, id, media.ID)
			}
			assert.NoError(t, client.Automations.Delete(ctx, id))
		})
	}
	running.Wait()
	require.GreaterOrEqual(t, seen.Count(), 1000)
	assert.GreaterOrEqual(t, strings.Count(log.String(), "\n"), 1000)
	for _, req := range seen.All() {
		assert.Equal(t, "Bearer "+apitest.Key, req.Header.Get("Authorization"))
	}
}
