package blackbox

import (
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// What All's documentation says of deleting: the ids are collected first.
func TestAll_collectedIDsAreAllDeleted(t *testing.T) {
	const n = 45
	srv := ittybittest.NewTestServer(t)
	client, err := srv.Client()
	require.NoError(t, err)
	type list struct {
		create func(i int) error
		all    func() iter.Seq2[string, error]
		delete func(id string) error
	}
	hook := []ittybit.WorkflowStep{ittybit.WebhookStep("https://your-app.com/hook", "a")}
	for name, l := range map[string]list{
		"media": {
			func(i int) error {
				_, err := client.Media.Create(t.Context(), ittybit.MediaCreateParams{Title: fmt.Sprint(i)})
				return err
			},
			func() iter.Seq2[string, error] {
				return listIDs(client.Media.All(t.Context(), ittybit.MediaListParams{Limit: 10}), mediaID)
			},
			func(id string) error { return client.Media.Delete(t.Context(), id) },
		},
		"automations": {
			func(i int) error {
				_, err := client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
					Name: fmt.Sprint(i), Trigger: ittybit.OnEvent(ittybit.EventMediaCreated), Workflow: hook,
				})
				return err
			},
			func() iter.Seq2[string, error] {
				return listIDs(client.Automations.All(t.Context(), ittybit.AutomationListParams{Limit: 10}), automationID)
			},
			func(id string) error { return client.Automations.Delete(t.Context(), id) },
		},
	} {
		for i := range n {
			require.NoError(t, l.create(i), name)
		}
		for id, err := range l.all() { // as one would write it first
			require.NoError(t, err, name)
			require.NoError(t, l.delete(id), name)
		}
		left, errs := listCollect(l.all())
		assert.Empty(t, errs, name)
		assert.NotEmpty(t, left, "%s: deleting while iterating passes some over, as is documented", name)

		for _, id := range left {
			require.NoError(t, l.delete(id), name)
		}
		left, errs = listCollect(l.all())
		assert.Empty(t, errs, name)
		assert.Empty(t, left, "%s: collected first, all are deleted", name)
	}
}

// Rows of what users met, with other values.
func TestShortKeys_garbleNoWords(t *testing.T) {
	client, err := ittybit.NewClient("task", ittybit.WithHTTPClient(httpClient(apitest.Always(401, `{"message":"The API task queue key is not valid."}`))))
	require.NoError(t, err)
	_, err = client.Tasks.Get(t.Context(), "task_monday")
	require.EqualError(t, err, "ittybit: GET https://api.ittybit.com/tasks/task_monday: 401: The API task queue key is not valid.")
}
