package main

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver with which pgserver makes databases
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/examples/internal/examplerun"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestRiver_handlesEachEventOnceInAnotherProcess(t *testing.T) {
	databaseURL, name := pgserver.Database(t), examplerun.Build(t)
	env := []string{"DATABASE_URL=" + databaseURL, "ITTYBIT_API_KEY=secret", "ADDR=127.0.0.1:0"}
	require.NoError(t, examplerun.Start(t, env, name, "migrate").Wait())
	require.NoError(t, examplerun.Start(t, env, name, "migrate").Wait(), "it may be run again")
	endpoint := examplerun.Start(t, env, name, "endpoint")
	address := "http://" + endpoint.WaitFor(`listening address=(\S+)`)[1]

	// Three deliveries of one event, and one whose results can't be read, while no worker runs.
	good := []byte(`{"id":"task_1","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true}}`)
	for _, payload := range [][]byte{good, good, good, ittybittest.TaskCompleted(ittybit.TaskKindNSFW, map[string]any{})} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader(payload))
		require.NoError(t, err)
		r.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook("secret", time.Now(), payload))
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
	require.NoError(t, endpoint.Interrupt())

	pool, err := pgxpool.New(t.Context(), databaseURL)
	require.NoError(t, err)
	defer pool.Close()
	count := func(query string) (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	assert.Equal(t, 2, count("SELECT count(*) FROM river_job"), "the two repeats are no jobs")

	worker := examplerun.Start(t, env, name, "worker")
	worker.WaitFor("working")
	require.Eventually(t, func() bool {
		return count("SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled', 'discarded')") == 0
	}, time.Minute, 50*time.Millisecond)
	require.NoError(t, worker.Interrupt())
	assert.Equal(t, 1, count("SELECT count(*) FROM findings WHERE task_id = 'task_1' AND is_nsfw"))
	assert.Contains(t, worker.Output(), "discard")
}

func TestRiver_saysWhatIsMissing(t *testing.T) {
	name := examplerun.Build(t)
	for want, program := range map[string]*examplerun.Program{
		"usage":    examplerun.Start(t, nil, name),
		"is empty": examplerun.Start(t, []string{"DATABASE_URL=" + pgserver.Database(t)}, name, "endpoint"),
	} {
		require.Error(t, program.Wait())
		assert.Contains(t, program.Output(), want)
	}
}
