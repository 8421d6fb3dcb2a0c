package main

import (
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
	"github.com/ittybit/ittybit-go/examples/internal/examplerun"
	"github.com/ittybit/ittybit-go/internal/daemon"
	"github.com/ittybit/ittybit-go/internal/mariadbserver"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// TestMain starts one server of each kind for all tests.
func TestMain(m *testing.M) {
	os.Exit(daemon.RunTests(m.Run, pgserver.ServerForAll, mariadbserver.ServerForAll))
}

// kind is a kind of database that the program takes.
type kind struct {
	name      string
	make      func(testing.TB) string // gives the address of an empty one
	migration string
	schema    string // of the tables, with its dot
}

var kinds = []kind{
	{"PostgreSQL", pgserver.Database, "migrations/postgres/0001_moderation.sql", "moderation."},
	{"MariaDB", mariadbserver.Database, "migrations/mysql/0001_moderation.sql", ""},
}

// migrated is a database with the migration, and its address.
func (k kind) migrated(t *testing.T) (*database, string) {
	t.Helper()
	address := k.make(t)
	db, err := open(address)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	for statement := range strings.SplitSeq(k.readMigration(t), ";\n") {
		if strings.TrimSpace(statement) != "" {
			_, err = db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
	}
	return db, address
}

func (k kind) readMigration(t *testing.T) string {
	t.Helper()
	migration, err := os.ReadFile(k.migration)
	require.NoError(t, err)
	return string(migration)
}

func TestModeration_keepsWhatWasFound(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			db, address := k.migrated(t)
			k.keepsWhatWasFound(t, db, address, 1)
		})
	}
	// Each transaction gets whichever of two connections is free, as on Supabase's pooler.
	t.Run("PostgreSQL through a pooler in transaction mode", func(t *testing.T) {
		db, address := kinds[0].migrated(t)
		kinds[0].keepsWhatWasFound(t, db, pgserver.NewPooler(t, address, 2).URL(address), 20)
	})
}

// keepsWhatWasFound has the program check so many images.
func (k kind) keepsWhatWasFound(t *testing.T, db *database, address string, images int) {
	t.Helper()
	program := examplerun.Start(t, []string{"DATABASE_URL=" + address}, examplerun.Build(t), "-local", "-addr", "127.0.0.1:0")
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
	safe := "SELECT count(*) FROM " + k.schema + "uploads WHERE status = 'completed' AND nsfw_detected = false AND url LIKE 'https://example.com/%.jpg'"
	var rows int
	assert.Eventually(t, func() bool {
		return db.QueryRowContext(t.Context(), safe).Scan(&rows) == nil && rows == images
	}, time.Minute, 20*time.Millisecond)
	require.NoError(t, program.Interrupt())
	assert.Equal(t, images, strings.Count(program.Output(), "outcome=handled status=200"), program.Output())
	assert.NotContains(t, program.Output(), "level=ERROR")
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+k.schema+"uploads").Scan(&rows))
	assert.Equal(t, images, rows)
}

func TestModeration_hasEachEffectOnceInWhateverOrder(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			db, _ := k.migrated(t)
			handler := db.inbox.Wrap(moderation(db))
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
			require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+k.schema+`uploads WHERE
				task_id = 'task_1' AND status = 'completed' AND nsfw_detected AND nsfw_confidence = 0.97 OR
				task_id = 'task_2' AND status = 'failed' AND nsfw_detected IS NULL`).Scan(&rows))
			assert.Equal(t, 2, rows)
			require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+k.schema+`ittybit_inbox`).Scan(&rows))
			assert.Equal(t, 3, rows)
		})
	}
}

func TestModeration_discardsAResultThatCannotBeRead(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			db, _ := k.migrated(t)
			event, err := ittybit.ParseEvent(ittybittest.TaskCompleted(ittybit.TaskKindNSFW, map[string]any{}))
			require.NoError(t, err)
			err = db.inbox.Wrap(moderation(db)).HandleEvent(t.Context(), event)
			outcome, _ := ittybit.OutcomeOf(err)
			assert.Equal(t, ittybit.OutcomeDiscarded, outcome)
		})
	}
}

func TestMigration_makesWhatTheInboxNeeds(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			db, _ := k.migrated(t)
			assert.Contains(t, k.readMigration(t), strings.TrimSpace(db.inbox.Schema()))
			assert.NoError(t, db.inbox.Check(t.Context()))
		})
	}
	t.Run("and nothing that Supabase serves", func(t *testing.T) {
		db, _ := kinds[0].migrated(t)
		var public int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&public))
		assert.Zero(t, public)
	})
}

func TestModeration_saysWhatIsMissing(t *testing.T) {
	name := examplerun.Build(t)
	for want, env := range map[string][]string{
		"ittybit_inbox":   {"DATABASE_URL=" + pgserver.Database(t), "ITTYBIT_API_KEY=key", "WEBHOOK_URL=https://hooks.example.com"},
		"ITTYBIT_API_KEY": {"DATABASE_URL=" + pgserver.Database(t)},
	} {
		program := examplerun.Start(t, env, name, "-addr", "127.0.0.1:0")
		require.Error(t, program.Wait())
		assert.Contains(t, program.Output(), want)
	}
}
