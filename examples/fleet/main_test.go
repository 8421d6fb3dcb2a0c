package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver with which pgtest makes databases
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/pgserver/pgtest"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// TestMain has this program be a member of the fleet when it is started as one: the fleet starts
// os.Executable, which is the test itself here.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == roleEndpoint || os.Args[1] == roleWorker) {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLead_handlesEachEventOnceThoughAnEndpointIsKilled(t *testing.T) {
	databaseURL := pgtest.Database(t)
	var out strings.Builder
	getenv := func(name string) string { return map[string]string{"DATABASE_URL": databaseURL}[name] }
	require.NoError(t, lead(t.Context(), &out, plan{events: 60}, getenv))
	assert.Regexp(t, `(?m)^events sent 60 = events handled 60, each once, .*processes killed: 1$`, out.String())
	assert.Regexp(t, `(?m)^ +[0-9.]+ +[0-9]+ +60 +[0-9]+ +[0-9]+ +[0-9]+ +60$`, out.String())

	// What the proof says is in the database.
	pool, err := pgxpool.New(t.Context(), databaseURL)
	require.NoError(t, err)
	defer pool.Close()
	effects, tasks, err := (&board{pool: pool}).effects(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 60, effects)
	assert.Equal(t, 60, tasks)
	var unsettled int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM river_job WHERE state <> 'completed'").Scan(&unsettled))
	assert.Zero(t, unsettled)
}

func TestProve_fails(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), pgtest.Database(t))
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, migrate(t.Context(), pool))
	board := newBoard(pool, nil, new(fleet))
	effect := func(task string) {
		_, err := pool.Exec(t.Context(), "INSERT INTO fleet_effect (task_id, is_nsfw) VALUES ($1, false)", task)
		require.NoError(t, err)
	}
	for n := range 2 {
		board.note(ittybittest.Delivery{ID: fmt.Sprint(n), StatusCode: 200, Final: true})
	}
	effect("task_0")
	require.ErrorContains(t, board.prove(t.Context(), io.Discard, 2), "acknowledged 2, effects 1", "one is lost")
	effect("task_0")
	require.ErrorContains(t, board.prove(t.Context(), io.Discard, 2), "effects 2, of 1 tasks", "one is lost and one doubled")
	effect("task_1")
	require.ErrorContains(t, board.prove(t.Context(), io.Discard, 2), "effects 3, of 2 tasks", "one is doubled")
}

func TestDispatch_refusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"-events", "0"}, {"-evnets"}, {"more"}} {
		require.Error(t, dispatch(t.Context(), strings.NewReader(""), io.Discard, args), "%v", args)
	}
	require.NoError(t, dispatch(t.Context(), strings.NewReader(""), io.Discard, []string{"-h"}))
}

func TestLead_endsWithItsContext(t *testing.T) {
	databaseURL := pgtest.Database(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &firstLine{written: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- lead(ctx, out, plan{events: 1_000_000}, func(name string) string {
			return map[string]string{"DATABASE_URL": databaseURL}[name]
		})
	}()
	<-out.written
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
}

// firstLine tells when something is written.
type firstLine struct {
	written chan struct{}
	told    bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	if !f.told {
		f.told = true
		close(f.written)
	}
	return len(p), nil
}
