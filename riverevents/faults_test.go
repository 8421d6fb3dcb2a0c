package riverevents_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// fault is what happens to one call to the database.
type fault string

const (
	failStatement  fault = "an error"
	loseConnection fault = "the connection is lost"
	loseAnswer     fault = "the answer is lost"
	hang           fault = "it hangs until its context ends"
	hangAfter      fault = "it is done, and hangs until its context ends"
)

func allFaults() []fault {
	return []fault{failStatement, loseConnection, loseAnswer, hang, hangAfter}
}

func (f fault) hangs() bool { return f == hang || f == hangAfter }

// batchTime is how long a batch may take when this fault strikes one.
func (f fault) batchTime() time.Duration {
	if f.hangs() {
		return 300 * time.Millisecond
	}
	return waitLimit
}

// saboteur has the n-th call that concerns it fail, as pgx's tracer and as the connection.
type saboteur struct {
	concerns func(sql string) bool
	left     atomic.Int64 // calls until the fault; below zero: none
	kind     fault
	alone    atomic.Bool // the fault struck a delivery that was run by itself
}

type cancelKey struct{}

// next arms the saboteur.
func (s *saboteur) next(kind fault, n int) {
	s.kind = kind
	s.alone.Store(false)
	s.left.Store(int64(n))
}

func (s *saboteur) struck() bool { return s.left.Swap(-1) <= 0 }

func (s *saboteur) call(ctx context.Context, conn *pgx.Conn, sql string) context.Context {
	if s.left.Load() < 0 || !s.concerns(sql) || s.left.Add(-1) != 0 {
		return ctx
	}
	wire := conn.PgConn().Conn().(*faultyConn)
	cancel, alone := ctx.Value(cancelKey{}).(context.CancelFunc)
	s.alone.Store(alone)
	switch s.kind {
	case failStatement:
		if conn.PgConn().TxStatus() == 'I' { // there is no transaction to break
			failed, cancel := context.WithCancel(ctx)
			cancel()
			return failed
		}
		_, _ = conn.PgConn().Exec(context.WithoutCancel(ctx), "SELECT 1/0").ReadAll()
	case loseConnection:
		_ = wire.Close()
	default:
		kind := s.kind
		wire.fault.Store(&kind)
	}
	// A batch ends by itself. A delivery that is alone has a context that ends now.
	if alone && s.kind.hangs() {
		time.AfterFunc(20*time.Millisecond, cancel)
	}
	return ctx
}

func (s *saboteur) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return s.call(ctx, conn, data.SQL)
}
func (s *saboteur) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (s *saboteur) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	return s.call(ctx, conn, data.Batch.QueuedQueries[0].SQL)
}
func (s *saboteur) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (s *saboteur) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// faultyConn is a connection to PostgreSQL.
type faultyConn struct {
	net.Conn

	fault atomic.Pointer[fault]
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if kind := c.fault.Load(); kind != nil && *kind == hang {
		return len(p), nil // nobody ever answers
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		kind := c.fault.Load()
		switch {
		case kind != nil && err != nil: // pgx would wait 15 s more, in which the server holds its locks
			_ = c.Close()
			return n, err
		case kind == nil || err != nil:
			return n, err
		case *kind == loseAnswer:
			_ = c.Close()
			return 0, net.ErrClosed
		}
		// What came is dropped, and the wait goes on until the deadline that pgx sets.
	}
}

// connect opens a pool whose connections the saboteur has.
func (s *saboteur) connect(t *testing.T, url string) *pgxpool.Pool {
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.ConnConfig.Tracer = s
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &faultyConn{Conn: conn}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// refuseBad is a hook of River's that refuses an event.
type refuseBad struct{ river.HookDefaults }

func (refuseBad) InsertBegin(_ context.Context, job *rivertype.JobInsertParams) error {
	if strings.Contains(string(job.EncodedArgs), "task_bad") {
		return errBroken
	}
	return nil
}

// Three events are delivered together, one of them twice, beside one that was enqueued before, or
// one that River refuses. Each call to the database fails, in each way.
func TestFaults_ofABatchThatIsEnqueued(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]string{"one is there": "task_before", "one is bad": "task_bad"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			s := &saboteur{concerns: func(string) bool { return true }}
			s.left.Store(-1)
			client := newClient(t, s.connect(t, q.url), &river.Config{Schema: q.schema, Hooks: []rivertype.Hook{&refuseBad{}}})
			enqueue := riverevents.Enqueue(client)
			outcome, _ := ittybit.OutcomeOf(enqueue.HandleEvent(t.Context(), taskEvent(t, other, "completed")))
			require.Equal(t, other == "task_bad", outcome == ittybit.OutcomeFailed)
			calls, most := 0, 6 // of the events that are run by themselves, some calls are enough
			if os.Getenv(crashVariable) != "" {
				most = 1000
			}
			for _, kind := range allFaults() {
				waiting, hold := riverevents.Batches(enqueue, kind.batchTime())
				for k := 1; k <= most; k++ {
					a, b, c := fmt.Sprintf("task_%d_%d_a", calls, k), fmt.Sprintf("task_%d_%d_b", calls, k), fmt.Sprintf("task_%d_%d_c", calls, k)
					s.next(kind, k)
					errs := together(t, enqueue, waiting, hold, a, b, a, other, c)
					if !s.struck() {
						break
					}
					calls++
					about := fmt.Sprintf("%s in call %d", kind, k)
					harmed := 0
					for i, id := range []string{a, b, a, other, c} {
						outcome, _ := ittybit.OutcomeOf(errs[i])
						jobs := value[int](q, "SELECT count(*) FROM river_job WHERE args->>'key' = $1", "task:"+id+":completed")
						switch {
						case id == "task_bad":
							assert.Contains(t, []ittybit.Outcome{ittybit.OutcomeFailed, ittybit.OutcomeRetryLater}, outcome, about)
							assert.Zero(t, jobs, about)
						case outcome == ittybit.OutcomeHandled || outcome == ittybit.OutcomeDuplicate:
							assert.Equal(t, 1, jobs, "%s: %s was acknowledged", about, id)
						default:
							assert.Equal(t, ittybit.OutcomeRetryLater, outcome, "%s: %v", about, errs[i])
							harmed++
						}
					}
					// Of a batch that fails, each is inserted by itself. A fault there is its own.
					if s.alone.Load() {
						assert.LessOrEqual(t, harmed, 1, about)
					} else {
						assert.Zero(t, harmed, about)
					}
					for _, id := range []string{a, b, c} {
						err := enqueue.HandleEvent(t.Context(), taskEvent(t, id, "completed"))
						assert.True(t, err == nil || outcomeOf(err) == ittybit.OutcomeDuplicate, "%s: %v", about, err)
						assert.Equal(t, 1, value[int](q, "SELECT count(*) FROM river_job WHERE args->>'key' = $1", "task:"+id+":completed"), about)
					}
				}
			}
			assert.Equal(t, q.jobs(), value[int](q, "SELECT count(*) FROM ittybit_river_event"), "a key for each job")
			assert.GreaterOrEqual(t, calls, 4*len(allFaults()), "begin, keys, jobs, commit")
			t.Logf("%d faults", calls)
		})
	}
}

func outcomeOf(err error) ittybit.Outcome {
	outcome, _ := ittybit.OutcomeOf(err)
	return outcome
}

// together delivers the ends of tasks in one batch, in this order, and gives what each is answered.
func together(t *testing.T, h ittybit.EventHandler, waiting func() int, hold func() func(), ids ...string) []error {
	errs := make([]error, len(ids))
	release := hold()
	var wg sync.WaitGroup
	for i, id := range ids {
		e := taskEvent(t, id, "completed")
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			errs[i] = h.HandleEvent(context.WithValue(ctx, cancelKey{}, cancel), e)
		})
		require.Eventually(t, func() bool { return waiting() == i+1 }, waitLimit, time.Millisecond)
	}
	release()
	wg.Wait()
	return errs
}
