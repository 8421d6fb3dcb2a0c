package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver/pgtest"
)

// onEachDatabase runs test on SQLite and on PostgreSQL, each time with a database of its
// own, given as what DATABASE_URL and SQLITE_FILE would hold.
func onEachDatabase(t *testing.T, test func(t *testing.T, databaseURL, file string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, "", filepath.Join(t.TempDir(), "uploads.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, pgtest.Database(t), "") })
}

func openForTest(t *testing.T, databaseURL, file string) *uploads {
	t.Helper()
	table, err := openUploads(t.Context(), databaseURL, file)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, table.Close()) })
	return table
}

func TestRun_keepsWhatWasFound(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, databaseURL, file string) {
		var out strings.Builder
		images := []string{"https://example.com/a.jpg", "https://example.com/b.jpg"}
		require.NoError(t, run(t.Context(), &out, images, func(name string) string {
			return map[string]string{"DATABASE_URL": databaseURL, "SQLITE_FILE": file}[name]
		}))
		for _, image := range images {
			assert.Regexp(t, `(?m)^task_\S+ +completed +true +0\.97 +`+image+`$`, out.String())
		}

		table := openForTest(t, databaseURL, file)
		var count int
		require.NoError(t, table.db.QueryRowContext(t.Context(),
			"SELECT count(*) FROM uploads WHERE nsfw_detected AND nsfw_confidence = 0.97 AND status = 'completed'").Scan(&count))
		assert.Equal(t, len(images), count)
	})
}

// event makes the event that a webhook with this payload brings.
func event(t *testing.T, payload map[string]any) *ittybit.Event {
	t.Helper()
	body, err := json.Marshal(payload)
	require.NoError(t, err)
	e, err := ittybit.ParseEvent(body)
	require.NoError(t, err)
	return e
}

func TestEvents_leaveTheSameRowInWhateverOrderAndHoweverOftenTheyCome(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, databaseURL, file string) {
		table := openForTest(t, databaseURL, file)
		const image = "https://example.com/cat.jpg"
		handler := table.Events()
		for seed := range uint64(25) {
			id := fmt.Sprintf("task_%d", seed)
			task := func(status string, results any) *ittybit.Event {
				return event(t, map[string]any{"id": id, "object": "task", "kind": "nsfw", "status": status, "results": results})
			}
			completed := task("completed", map[string]any{"is_nsfw": true, "confidence": 0.97})
			steps := []func(context.Context) error{
				func(ctx context.Context) error { return table.Submitted(ctx, id, image) },
				func(ctx context.Context) error { return handler.HandleEvent(ctx, task("pending", nil)) },
				func(ctx context.Context) error { return handler.HandleEvent(ctx, task("processing", nil)) },
				func(ctx context.Context) error { return handler.HandleEvent(ctx, completed) },
				func(ctx context.Context) error { return handler.HandleEvent(ctx, completed) },
			}
			order := rand.New(rand.NewPCG(seed, 1))
			order.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
			for _, step := range steps {
				require.NoError(t, step(t.Context()))
			}
			row, err := table.Get(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, upload{
				TaskID: id, URL: image, Status: ittybit.TaskStatusCompleted,
				Detected:   sql.NullBool{Bool: true, Valid: true},
				Confidence: sql.NullFloat64{Float64: 0.97, Valid: true},
			}, row, "seed %d", seed)
		}
	})
}

func TestEvents_mayComeAtOnce(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, databaseURL, file string) {
		table := openForTest(t, databaseURL, file)
		handler := table.Events()
		completed := event(t, map[string]any{
			"id": "task_1", "object": "task", "kind": "nsfw", "status": "completed", "results": map[string]any{"is_nsfw": false, "confidence": 0.1},
		})
		var deliveries sync.WaitGroup
		for range 16 {
			deliveries.Go(func() { assert.NoError(t, handler.HandleEvent(t.Context(), completed)) })
		}
		deliveries.Wait()
		var rows int
		require.NoError(t, table.db.QueryRowContext(t.Context(), "SELECT count(*) FROM uploads").Scan(&rows))
		assert.Equal(t, 1, rows)
		require.NoError(t, table.db.QueryRowContext(t.Context(),
			"SELECT count(*) FROM ittybit_inbox WHERE subject_id = 'task_1' AND outcome = 'handled'").Scan(&rows))
		assert.Equal(t, 1, rows, "one was handled, the others were repeats")
		row, err := table.Get(t.Context(), "task_1")
		require.NoError(t, err)
		assert.Equal(t, sql.NullBool{Bool: false, Valid: true}, row.Detected)
	})
}

func TestEvents_aFailedTaskIsNotTakenForASafeImage(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, databaseURL, file string) {
		table := openForTest(t, databaseURL, file)
		handler := table.Events()
		for _, status := range []string{"failed", "processing"} {
			require.NoError(t, handler.HandleEvent(t.Context(), event(t, map[string]any{
				"id": "task_1", "object": "task", "kind": "nsfw", "status": status, "error": "no such image",
			})))
		}
		row, err := table.Get(t.Context(), "task_1")
		require.NoError(t, err)
		assert.Equal(t, ittybit.TaskStatusFailed, row.Status)
		assert.False(t, row.Detected.Valid, "it is not known whether it is NSFW")

		err = handler.HandleEvent(t.Context(), event(t, map[string]any{
			"id": "task_2", "object": "task", "kind": "nsfw", "status": "completed", "results": map[string]any{},
		}))
		require.ErrorIs(t, err, ittybit.ErrNoResults)
	})
}

func TestOpenUploads_leavesNothingToStrangersOnSupabase(t *testing.T) {
	table := openForTest(t, pgtest.Database(t), "")
	var open int
	require.NoError(t, table.db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND NOT relrowsecurity`).Scan(&open))
	assert.Zero(t, open, "tables without row level security")
}

func TestRun_refusesARealAccountWithoutAWebhookURL(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), &out, nil, func(name string) string {
		return map[string]string{"ITTYBIT_API_KEY": "key", "SQLITE_FILE": filepath.Join(t.TempDir(), "uploads.db")}[name]
	})
	require.ErrorContains(t, err, "WEBHOOK_URL is missing")
}

func TestRun_saysThatTheDatabaseCannotBeReached(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out strings.Builder
	err := run(ctx, &out, nil, func(name string) string {
		return map[string]string{"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"}[name]
	})
	require.ErrorContains(t, err, "making the tables")
}
