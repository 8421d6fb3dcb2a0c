package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// reconcileStart is when the first of the listed tasks was created.
var reconcileStart = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// reconcileAPI is a list of tasks, ten to a page whatever limit is asked for, newest first
// unless ascending. Task n was created n minutes after the start.
type reconcileAPI struct {
	mu        sync.Mutex
	status    map[string]string
	created   map[string]time.Time
	ascending bool
	failPage  int // the page that gets a 403; 0: none
	failGet   string
	requests  []time.Time
	paths     []string
}

func newReconcileAPI() *reconcileAPI {
	return &reconcileAPI{status: map[string]string{}, created: map[string]time.Time{}}
}

// set gives task n a status, and makes it if it is new.
func (a *reconcileAPI) set(n int, status string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := fmt.Sprintf("task_%03d", n)
	a.status[id] = status
	a.created[id] = reconcileStart.Add(time.Duration(n) * time.Minute)
}

func (a *reconcileAPI) task(id string) string {
	return fmt.Sprintf(`{"id":%q,"object":"task","kind":"nsfw","status":%q,"created":%q}`, id, a.status[id], a.created[id].Format(time.RFC3339))
}

func (a *reconcileAPI) response(_ int, req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, time.Now())
	a.paths = append(a.paths, req.URL.Path)
	if id, found := strings.CutPrefix(req.URL.Path, "/tasks/"); found {
		switch {
		case id == a.failGet:
			return apitest.Response(403, `{"message":"not yours"}`)
		case a.status[id] == "":
			return apitest.Response(404, `{"message":"no such task"}`)
		}
		return apitest.Response(200, a.task(id))
	}
	page, _ := strconv.Atoi(req.URL.Query().Get("page"))
	page = max(page, 1)
	if page == a.failPage {
		return apitest.Response(403, `{"message":"not this page"}`)
	}
	ids := slices.Sorted(maps.Keys(a.status))
	if !a.ascending {
		slices.Reverse(ids)
	}
	const size = 10
	rest := ids[min((page-1)*size, len(ids)):]
	var items []string
	for _, id := range rest[:min(size, len(rest))] {
		items = append(items, a.task(id))
	}
	var links []string
	if len(rest) > size {
		links = []string{"Links", fmt.Sprintf(`<https://api.ittybit.com/tasks?page=%d>; rel="next"`, page+1)}
	}
	return apitest.Response(200, "["+strings.Join(items, ",")+"]", links...)
}

func (a *reconcileAPI) client(t *testing.T) *ittybit.Client {
	t.Helper()
	client, _ := apitest.Fake(t, a.response)
	return client
}

// reconcileNext handles each event once, and says which it has handled.
type reconcileNext struct {
	mu      sync.Mutex
	handled []string
	calls   int
	fail    func(e *ittybit.Event) error
}

func (n *reconcileNext) HandleEvent(_ context.Context, e *ittybit.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	if slices.Contains(n.handled, e.Task.ID) {
		return ittybit.ErrAlreadyHandled
	}
	if n.fail != nil {
		if err := n.fail(e); err != nil {
			return err
		}
	}
	n.handled = append(n.handled, e.Task.ID)
	return nil
}

// reconcileIDs gives the ids of the tasks up to a number.
func reconcileIDs(last int) []string {
	var ids []string
	for n := 0; n <= last; n++ {
		ids = append(ids, fmt.Sprintf("task_%03d", n))
	}
	return ids
}

// reconcileStored is the checkpoint as it comes back from where it was stored.
func reconcileStored(t *testing.T, checkpoint ittybit.ReconcileCheckpoint) ittybit.ReconcileCheckpoint {
	t.Helper()
	text, err := json.Marshal(checkpoint)
	require.NoError(t, err)
	var stored ittybit.ReconcileCheckpoint
	require.NoError(t, json.Unmarshal(text, &stored))
	return stored
}

// reconcile runs Reconcile fast.
func reconcile(t *testing.T, client *ittybit.Client, next ittybit.EventHandler, params ittybit.ReconcileParams, opts ...ittybit.ReconcileOption) (*ittybit.ReconcileReport, error) {
	t.Helper()
	params.Rate = 1e6
	return ittybit.Reconcile(t.Context(), client, next, params, opts...)
}

// reconcileAt is when task n was created.
func reconcileAt(n int) time.Time { return reconcileStart.Add(time.Duration(n) * time.Minute) }

func (a *reconcileAPI) remove(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.status, fmt.Sprintf("task_%03d", n))
}

// reconcileCutAfter goes on from a checkpoint, and is cut after so many tasks.
func reconcileCutAfter(
	t *testing.T, tasks int, client *ittybit.Client, next ittybit.EventHandler, from ittybit.ReconcileCheckpoint,
) (*ittybit.ReconcileReport, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return ittybit.Reconcile(ctx, client, next, ittybit.ReconcileParams{
		Rate: 1e6, Checkpoint: reconcileStored(t, from),
		Select: func(*ittybit.Task) bool {
			if tasks--; tasks == 0 {
				cancel()
			}
			return true
		},
	})
}
