package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/examplerun"
	"github.com/ittybit/ittybit-go/internal/pgserver/pgtest"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// migrated is a database with the migration, and its URL.
func migrated(t *testing.T) (*sql.DB, string) {
	t.Helper()
	databaseURL := pgtest.Database(t)
	db, err := sql.Open("pgx", databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	migration, err := os.ReadFile("migrations/0001_moderation.sql")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), string(migration))
	require.NoError(t, err)
	return db, databaseURL
}

func inboxOf(db *sql.DB) *sqlinbox.Inbox {
	return sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithTable("moderation.ittybit_inbox"), sqlinbox.WithPayloads())
}

func TestModeration_keepsWhatWasFound(t *testing.T) {
	t.Run("directly", func(t *testing.T) {
		db, databaseURL := migrated(t)
		keepsWhatWasFound(t, db, databaseURL, 1)
	})
	// Each transaction gets whichever of two connections is free, as on Supabase's pooler.
	t.Run("through a pooler in transaction mode", func(t *testing.T) {
		db, databaseURL := migrated(t)
		keepsWhatWasFound(t, db, pgtest.Pooler(t, databaseURL, 2).URL(databaseURL), 20)
	})
}

// keepsWhatWasFound has the program check so many images.
func keepsWhatWasFound(t *testing.T, db *sql.DB, databaseURL string, images int) {
	t.Helper()
	program := examplerun.Start(t, []string{"DATABASE_URL=" + databaseURL}, examplerun.Build(t), "-local", "-addr", "127.0.0.1:0")
	base := "http://" + program.WaitFor(`listening address=(\S+)`)[1]
	submit := func(image string, want int) {
		response, err := http.PostForm(base+"/uploads", url.Values{"url": {image}})
		if assert.NoError(t, err) {
			assert.NoError(t, response.Body.Close())
			assert.Equal(t, want, response.StatusCode, image)
		}
	}
	submit("no url", http.StatusBadRequest)
	var all sync.WaitGroup
	for n := range images {
		all.Go(func() { submit(fmt.Sprintf("https://example.com/%d.jpg", n), http.StatusAccepted) })
	}
	all.Wait()
	const safe = "SELECT count(*) FROM moderation.uploads WHERE status = 'completed' AND nsfw_detected = false AND url LIKE 'https://example.com/%.jpg'"
	var rows int
	assert.Eventually(t, func() bool {
		return db.QueryRowContext(t.Context(), safe).Scan(&rows) == nil && rows == images
	}, time.Minute, 20*time.Millisecond)
	require.NoError(t, program.Interrupt())
	assert.Equal(t, images, strings.Count(program.Output(), "outcome=handled status=200"), program.Output())
	assert.NotContains(t, program.Output(), "level=ERROR")
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM moderation.uploads").Scan(&rows))
	assert.Equal(t, images, rows)
}

func TestModeration_hasEachEffectOnceInWhateverOrder(t *testing.T) {
	db, _ := migrated(t)
	handler := inboxOf(db).Wrap(moderation())
	handle := func(payload []byte) {
		event, err := ittybit.ParseEvent(payload)
		require.NoError(t, err)
		if err := handler.HandleEvent(t.Context(), event); err != nil {
			require.ErrorIs(t, err, ittybit.ErrAlreadyHandled)
		}
	}
	handle([]byte(`{"id":"task_1","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.97}}`))
	handle([]byte(`{"id":"task_1","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.97}}`))
	handle([]byte(`{"id":"task_1","object":"task","kind":"nsfw","status":"failed"}`)) // older, or a mistake: the result stays
	handle([]byte(`{"id":"task_2","object":"task","kind":"nsfw","status":"failed"}`))

	var rows int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM moderation.uploads WHERE
		task_id = 'task_1' AND status = 'completed' AND nsfw_detected AND nsfw_confidence = 0.97 OR
		task_id = 'task_2' AND status = 'failed' AND nsfw_detected IS NULL`).Scan(&rows))
	assert.Equal(t, 2, rows)
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM moderation.ittybit_inbox`).Scan(&rows))
	assert.Equal(t, 3, rows)
}

func TestModeration_discardsAResultThatCannotBeRead(t *testing.T) {
	db, _ := migrated(t)
	event, err := ittybit.ParseEvent(ittybittest.TaskCompleted(ittybit.TaskKindNSFW, map[string]any{}))
	require.NoError(t, err)
	err = inboxOf(db).Wrap(moderation()).HandleEvent(t.Context(), event)
	outcome, _ := ittybit.OutcomeOf(err)
	assert.Equal(t, ittybit.OutcomeDiscarded, outcome)
}

func TestMigration_makesWhatTheInboxNeedsAndNothingThatIsServed(t *testing.T) {
	db, _ := migrated(t)
	migration, err := os.ReadFile("migrations/0001_moderation.sql")
	require.NoError(t, err)
	assert.Contains(t, string(migration), strings.TrimSpace(inboxOf(db).Schema()))
	var public int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&public))
	assert.Zero(t, public)
}

func TestModeration_saysWhatIsMissing(t *testing.T) {
	name := examplerun.Build(t)
	for want, env := range map[string][]string{
		"ittybit_inbox":   {"DATABASE_URL=" + pgtest.Database(t), "ITTYBIT_API_KEY=key", "WEBHOOK_URL=https://hooks.example.com"},
		"ITTYBIT_API_KEY": {"DATABASE_URL=" + pgtest.Database(t)},
	} {
		program := examplerun.Start(t, env, name, "-addr", "127.0.0.1:0")
		require.Error(t, program.Wait())
		assert.Contains(t, program.Output(), want)
	}
}
