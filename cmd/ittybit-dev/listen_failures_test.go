package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A write that fails is one with events, so that a later one without them would go well.
func TestListen_losesNothingWhenItsStateFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault string
		tasks int
	}{
		"commit of the only page": {`PRAGMA foreign_keys = ON;
			CREATE TABLE fault (none INTEGER REFERENCES checkpoint (id) DEFERRABLE INITIALLY DEFERRED);
			CREATE TRIGGER failing AFTER INSERT ON events BEGIN INSERT INTO fault VALUES (7); END`, 3},
		"first page of several": {`CREATE TRIGGER failing BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no space'); END`, 7},
	} {
		t.Run(name, func(t *testing.T) {
			pages, ids := pagesOfTasks(t, c.tasks)
			in, to := receiver(t)
			s, state := &settings{url: pages, ownURL: true, key: defaultKey}, t.TempDir()
			open := func() *listener {
				cmd := &cobra.Command{}
				cmd.SetContext(t.Context())
				l, err := openListener(cmd, s, &listenFlags{forward: to, state: state, every: time.Hour, since: "48h"})
				require.NoError(t, err)
				return l
			}
			l := open()
			_, err := l.state.db.Exec(c.fault)
			require.NoError(t, err)
			var ofState *failure
			require.ErrorAs(t, l.poll(t.Context()), &ofState)
			require.NoError(t, l.state.Close())

			l = open()
			_, err = l.state.db.Exec("DROP TRIGGER failing")
			require.NoError(t, err)
			require.NoError(t, l.poll(t.Context()))
			require.NoError(t, l.deliverDue(t.Context()))
			require.NoError(t, l.state.Close())
			assert.ElementsMatch(t, ids, in.ids())
		})
	}
}

// pagesOfTasks is an API with tasks that have ended, hours apart, three to a page.
func pagesOfTasks(t *testing.T, n int) (url string, ids []string) {
	var tasks []string // the newest first
	for i := range n {
		ids = append(ids, fmt.Sprintf("task_%d", i))
		created := time.Now().Add(-time.Duration(i+1) * time.Hour).UTC().Format(time.RFC3339)
		tasks = append(tasks, fmt.Sprintf(`{"id":%q,"object":"task","kind":"nsfw","status":"completed","created":%q}`, ids[i], created))
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := 1
		if text := r.URL.Query().Get("page"); text != "" {
			var err error
			page, err = strconv.Atoi(text)
			assert.NoError(t, err)
		}
		from, to := min(3*page-3, n), min(3*page, n)
		if to < n {
			w.Header().Set("Links", fmt.Sprintf(`<http://%s/tasks?page=%d&limit=100>; rel="next"`, r.Host, page+1))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, "[%s]", strings.Join(tasks[from:to], ","))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, ids
}

func TestListen_deliversWhatItCantRead(t *testing.T) {
	const tasks = `[{"id":"task_1","object":"task","kind":7,"status":"completed","created":"2026-11-28T10:00:00Z"},
		{"id":"other-2","kind":"nsfw","status":"failed","created":"2026-11-28T09:00:00Z"},
		{"id":"task_3","object":"task","kind":"nsfw","status":"completed","created":"2026-11-28T08:00:00Z"}]`
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(tasks))
	}))
	t.Cleanup(api.Close)
	bodies := make(chan map[string]any, 3)
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&body))
		bodies <- body
	}))
	t.Cleanup(to.Close)
	for _, inJSON := range []bool{false, true} {
		var out syncBuffer
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.SetOut(&out)
		l, err := openListener(cmd, &settings{url: api.URL, ownURL: true, key: defaultKey, json: inJSON},
			&listenFlags{forward: to.URL, state: t.TempDir(), every: time.Hour, since: "2000-01-01T00:00:00Z"})
		require.NoError(t, err)
		require.NoError(t, errors.Join(l.poll(t.Context()), l.deliverDue(t.Context()), l.state.Close()))
		got := map[any]any{}
		for range 3 {
			body := <-bodies
			got[body["id"]] = body["kind"]
		}
		assert.Equal(t, map[any]any{"task_1": float64(7), "other-2": "nsfw", "task_3": "nsfw"}, got)
		for _, want := range map[bool][]string{
			false: {" task:task_1:completed: 200", " task:other-2:failed: 200", " task.completed task_3 (nsfw): 200"},
			true:  {`"key":"task:task_1:completed"`, `"key":"task:other-2:failed"`, `"event":"task.completed","task_id":"task_3","kind":"nsfw"`},
		}[inJSON] {
			assert.Contains(t, out.String(), want)
		}
	}
}
