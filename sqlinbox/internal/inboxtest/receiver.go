package inboxtest

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/pgxinbox"
)

// receiverVariable holds the setup of a receiver, in the environment of its process.
const receiverVariable = "ITTYBIT_TEST_RECEIVER"

// receiverSetup is what a receiver is told.
type receiverSetup struct {
	Dialect        sqlinbox.Dialect
	Driver, Source string
	Address        string
	Troubled       bool          // its handler fails, panics and waits now and then
	Slow           time.Duration // how long its handler takes
	Reconcile      string        // the address of the API, where it is to reconcile instead of listening
	Group          int           // for WithGroupCommit; 0: without
}

// runReceiver is a whole receiver: an HTTP server with an inbox, whose handler writes an effect. It
// ends when its standard input does, so that it never outlives the test.
func runReceiver(encoded string) error {
	var setup receiverSetup
	if err := json.Unmarshal([]byte(encoded), &setup); err != nil {
		return err
	}
	ctx := context.Background()
	inbox, exec, err := setup.open(ctx)
	if err != nil {
		return err
	}
	if err := inbox.Migrate(ctx); err != nil {
		return err
	}
	if setup.Reconcile != "" {
		return setup.reconcile(ctx, inbox, exec, bufio.NewReader(os.Stdin))
	}
	webhook, err := ittybit.NewWebhookHandler(Secret, inbox.Wrap(setup.handler(exec)))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", setup.Address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: webhook, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println("listening on", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// open opens the database. It is closed with the process.
func (s receiverSetup) open(ctx context.Context) (Inbox, execFunc, error) {
	if s.Driver == pgxPool {
		pool, err := pgxpool.New(ctx, s.Source+"&pool_max_conns=24")
		if err != nil {
			return nil, nil, err
		}
		return pgxinbox.New(pool), execPgx, nil
	}
	db, err := sql.Open(s.Driver, s.Source)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(24) // of the 100 that PostgreSQL has
	var opts []sqlinbox.Option
	if s.Group > 0 {
		opts = append(opts, sqlinbox.WithGroupCommit(s.Group))
	}
	return sqlinbox.New(db, s.Dialect, opts...), execFor(s.Dialect), nil
}

func (s receiverSetup) handler(exec execFunc) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if err := exec(ctx, "INSERT INTO effects (event_key) VALUES ($1)", e.Key()); err != nil {
			return err
		}
		time.Sleep(s.Slow)
		if !s.Troubled {
			return nil
		}
		switch n := rand.IntN(100); {
		case n < 2:
			return errNo
		case n < 4:
			return ittybit.RetryLater(time.Second, errNo)
		case n < 5:
			panic("boom")
		case n < 20:
			time.Sleep(rand.N(3 * time.Millisecond)) // the longer between the effect and its commit, the better for a kill
		}
		return nil
	})
}

// receiver is a receiver's process.
type receiver struct {
	cmd     *exec.Cmd
	address string
	ready   chan struct{} // closed when it listens, or will never do so
	waited  sync.Once
	errors  strings.Builder // complete after kill
}

// startReceiver starts a receiver. It is killed at the end of the test at the latest.
func startReceiver(t testing.TB, setup receiverSetup) *receiver {
	t.Helper()
	encoded, err := json.Marshal(setup)
	require.NoError(t, err)
	r := &receiver{cmd: exec.Command(os.Args[0]), ready: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), receiverVariable+"="+string(encoded))
	r.cmd.Stderr = &r.errors
	_, err = r.cmd.StdinPipe() // its end is the receiver's
	require.NoError(t, err)
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.cmd.Start())
	go func() {
		defer close(r.ready)
		line, _ := bufio.NewReader(out).ReadString('\n') // nothing where it was killed before
		r.address = strings.TrimPrefix(strings.TrimSpace(line), "listening on ")
	}()
	t.Cleanup(r.kill)
	return r
}

// kill ends the process as kill -9 does, and waits until it has gone.
func (r *receiver) kill() {
	r.waited.Do(func() {
		_ = r.cmd.Process.Kill()
		<-r.ready // all output is read
		_ = r.cmd.Wait()
	})
}
