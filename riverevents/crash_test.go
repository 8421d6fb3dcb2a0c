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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver/pgtest"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const (
	// crashVariable makes the crash test longer: ITTYBIT_TEST_CRASH=full, or long for ten times that.
	crashVariable = "ITTYBIT_TEST_CRASH"
	// crashRescueAfter is after how long a job whose worker was killed is run again; River's
	// default is an hour.
	crashRescueAfter = 2 * time.Second
)

// A local Ittybit delivers events, each twice at the same moment, out of order, hanging up in one
// attempt of five, to a receiver process, and two worker processes handle them. All of these are
// killed at random moments and started again.
func TestCrash_everyAcknowledgedEventHasOneEffectInSpiteOfSIGKILL(t *testing.T) {
	start := time.Now()
	events, kills, timeout := crashSize(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()

	q := openQueue(t, pgtest.Database(t), "")
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

	effects := map[string]int{}
	rows, err := q.pool.Query(t.Context(), "SELECT key FROM effects")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var key string
		require.NoError(t, rows.Scan(&key))
		effects[key]++
	}
	require.NoError(t, rows.Err())
	wrong := map[string]int{}
	for key := range acknowledged {
		if effects[key] != 1 {
			wrong[key] = effects[key]
		}
	}
	assert.Empty(t, wrong, "acknowledged events whose effect is not there once")
	assert.Len(t, effects, events)
	assert.Equal(t, events, value[int](q, "SELECT count(*) FROM ittybit_river_event WHERE outcome = 'handled'"))
	all := 0
	for _, n := range acknowledged {
		all += n
	}
	t.Logf("%d events, %d kills (%d of the receiver, %d of workers), %d deliveries tried, %d answered 200 of which %d were duplicates, "+
		"%d jobs rescued from killed workers, %d effects, %.1f s to deliver all, %.1f s in all",
		events, kills, killed[roleReceiver], killed[roleWorker], attempts, all, all-events,
		value[int](q, "SELECT count(*) FROM river_job WHERE errors::text LIKE '%Stuck job rescued%'"),
		value[int](q, "SELECT count(*) FROM effects"), delivered.Seconds(), time.Since(start).Seconds())
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

// createTasks creates tasks whose ends are the events, at a steady pace.
func createTasks(ctx context.Context, local *ittybittest.Server, webhook string, n int) error {
	client, err := local.Client()
	if err != nil {
		return err
	}
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for i := range n {
		_, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: fmt.Sprintf("https://example.com/%d.jpg", i), WebhookURL: webhook,
		})
		if err != nil {
			return err
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return errors.Join(errors.New("not all tasks were created in time"), ctx.Err())
		}
	}
	return nil
}

// states describes the jobs that are there.
func states(q *queue) string {
	counts := value[map[string]int](q, "SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) n FROM river_job GROUP BY state) s")
	text, err := json.Marshal(counts)
	require.NoError(q.t, err)
	return string(text)
}
