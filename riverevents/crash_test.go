package riverevents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const (
	// crashVariable makes the crash test longer: ITTYBIT_TEST_CRASH=full, or long for ten times
	// that.
	crashVariable = "ITTYBIT_TEST_CRASH"
	// crashRescueAfter is after how long a job whose worker was killed is run again; River's
	// default is an hour.
	crashRescueAfter = 2 * time.Second
)

// A local Ittybit delivers events in bursts, each twice at the same moment, out of order, hanging
// up in one attempt of five, to a receiver process, and two worker processes handle them. All of
// these are killed at random moments and started again.
func TestCrash_everyAcknowledgedEventHasOneEffectInSpiteOfSIGKILL(t *testing.T) {
	start := time.Now()
	events, kills, timeout := crashSize(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()

	q := openQueue(t, pgserver.Database(t), "")
	q.exec("CREATE TABLE elsewhere (key text NOT NULL)")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	// The test keeps the socket open: while there is no receiver, connections wait.
	socket, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	defer func() { _ = socket.Close() }()
	processes := []*process{}
	for i, role := range []string{roleReceiver, roleWorker, roleWorker} {
		processes = append(processes, startProcess(t, role, i, q.url, socket))
	}

	local := ittybittest.NewServer(ittybittest.WithAPIKey(apiKey), ittybittest.WithDeliveryTimeout(2*time.Second),
		ittybittest.WithBackoff(ittybittest.Backoff{First: 50 * time.Millisecond, Max: time.Second, Attempts: 1000}))
	defer local.Close()
	local.SetFaults(ittybittest.Faults{
		Duplicates:    1,
		ReorderWindow: 20 * time.Millisecond,
		Delivery: func(ittybittest.Delivery) ittybittest.DeliveryFault {
			switch rand.IntN(10) {
			case 0:
				return ittybittest.DeliveryFault{HangUp: ittybittest.HangUpInBody}
			case 1:
				return ittybittest.DeliveryFault{HangUp: ittybittest.HangUpBeforeAnswer}
			}
			return ittybittest.DeliveryFault{}
		},
	})
	created := make(chan error, 1)
	go func() {
		created <- createTasks(ctx, local, "http://"+listener.Addr().String()+"/ittybit-webhook", events)
	}()

	attempts, acknowledged := 0, map[string]int{} // by key
	told := make(chan error, 1)
	go func() {
		_, err := local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool {
			attempts++
			if d.Delivered() {
				e, err := ittybit.ParseEvent(d.Body)
				assert.NoError(t, err)
				acknowledged[e.Key()]++
			}
			return len(acknowledged) == events
		})
		told <- err
	}()

	// Kill while the events come.
	killed := map[string]int{}
	for n := range kills {
		time.Sleep(rand.N(500 * time.Millisecond))
		i := rand.IntN(len(processes))
		victim := processes[i]
		victim.kill()
		killed[victim.role]++
		// A leader's lease lasts 15 seconds, which is too long for this test.
		q.exec("DELETE FROM river_leader WHERE leader_id = $1", victim.id)
		processes[i] = startProcess(t, victim.role, len(processes)+n, q.url, socket)
	}
	require.NoError(t, <-told)
	require.NoError(t, <-created)
	local.Close()
	delivered := time.Since(start)

	// What the last of the killed has left behind is rescued when River's leader looks next, which
	// a new leader does at once.
	time.Sleep(crashRescueAfter)
	for i, p := range processes {
		if p.role == roleWorker {
			p.stop(t)
			processes[i] = startProcess(t, roleWorker, len(processes)+kills+i, q.url, socket)
		}
	}
	for value[int](q, "SELECT count(*) FROM river_job WHERE state <> 'completed'") > 0 {
		select {
		case <-ctx.Done():
			require.Fail(t, "jobs are left", states(q))
		case <-time.After(100 * time.Millisecond):
		}
	}
	for _, p := range processes {
		p.stop(t)
	}

	// An effect that was written through Tx is there once, and one that was not, at least once.
	effects, elsewhere := counts(q, "effects"), counts(q, "elsewhere")
	wrong := map[string]int{}
	for key := range acknowledged {
		if writesElsewhere(key) && elsewhere[key] == 0 || !writesElsewhere(key) && effects[key] != 1 {
			wrong[key] = effects[key]
		}
	}
	assert.Empty(t, wrong, "acknowledged events whose effect is not there once")
	assert.Equal(t, events, len(effects)+len(elsewhere))
	assert.Equal(t, events, q.jobs())
	assert.Equal(t, events, value[int](q, "SELECT count(*) FROM ittybit_river_event WHERE outcome = 'handled'"))
	all := 0
	for _, n := range acknowledged {
		all += n
	}
	// What one transaction wrote has one time.
	const together = "SELECT count(*), coalesce(sum(n), 0) FROM (SELECT count(*) n FROM ittybit_river_event GROUP BY %s HAVING count(*) > 1) t"
	for what, query := range map[string]string{
		"enqueued": fmt.Sprintf(together, "enqueued_at"), "marked": fmt.Sprintf(together, "settled_at"),
	} {
		var batches, in int
		require.NoError(t, q.pool.QueryRow(t.Context(), query).Scan(&batches, &in))
		assert.NotZero(t, batches, what)
		t.Logf("%d events were %s in %d batches of two or more", in, what, batches)
	}
	t.Logf("%d events, %d kills (%d of the receiver, %d of workers), %d deliveries tried, %d answered 200 of which %d were duplicates, "+
		"%d jobs rescued from killed workers, %d effects of Tx and %d others, %.1f s to deliver all, %.1f s in all",
		events, kills, killed[roleReceiver], killed[roleWorker], attempts, all, all-events,
		value[int](q, "SELECT count(*) FROM river_job WHERE errors::text LIKE '%Stuck job rescued%'"),
		value[int](q, "SELECT count(*) FROM effects"), value[int](q, "SELECT count(*) FROM elsewhere"), delivered.Seconds(), time.Since(start).Seconds())
}

func crashSize(t *testing.T) (events, kills int, timeout time.Duration) {
	t.Helper()
	switch size := os.Getenv(crashVariable); size {
	case "":
		return 200, 4, 2 * time.Minute
	case "full":
		return 2000, 30, 5 * time.Minute
	case "long":
		return 20_000, 300, 20 * time.Minute
	default:
		t.Fatalf("%s is %q: want full, long or nothing", crashVariable, size)
		return 0, 0, 0
	}
}

// createTasks creates tasks whose ends are the events, ten at a time, at a steady pace.
func createTasks(ctx context.Context, local *ittybittest.Server, webhook string, n int) error {
	client, err := local.Client()
	if err != nil {
		return err
	}
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for i := range n {
		_, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: fmt.Sprintf("https://example.com/%d.jpg", i), WebhookURL: webhook,
		})
		if err != nil {
			return err
		}
		if i%10 != 0 {
			continue
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return errors.Join(errors.New("not all tasks were created in time"), ctx.Err())
		}
	}
	return nil
}

// counts gives how often each key is in a table.
func counts(q *queue, table string) map[string]int {
	q.t.Helper()
	found := map[string]int{}
	rows, err := q.pool.Query(q.t.Context(), "SELECT key FROM "+table)
	require.NoError(q.t, err)
	var key string
	_, err = pgx.ForEachRow(rows, []any{&key}, func() error { found[key]++; return nil })
	require.NoError(q.t, err)
	return found
}

// states describes the jobs that are there.
func states(q *queue) string {
	counts := value[map[string]int](q, "SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) n FROM river_job GROUP BY state) s")
	text, err := json.Marshal(counts)
	require.NoError(q.t, err)
	return string(text)
}
