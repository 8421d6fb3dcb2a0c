package riverevents_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// What a process of the crash test is told in its environment.
const (
	roleVariable     = "RIVEREVENTS_TEST_ROLE" // receiver or worker
	idVariable       = "RIVEREVENTS_TEST_ID"   // of its River client
	databaseVariable = "RIVEREVENTS_TEST_DATABASE"
)

const (
	roleReceiver = "receiver"
	roleWorker   = "worker"
)

// play is the main function of a process that the crash test starts. It ends when it is
// interrupted, or when the test has ended, which closes its standard input, or when it is killed.
func play(role string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var err error
	switch role {
	case roleReceiver:
		err = playReceiver(ctx)
	case roleWorker:
		err = playWorker(ctx)
	default:
		err = errors.New("no such role")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}

// playReceiver serves webhooks on the socket that it was given.
func playReceiver(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, os.Getenv(databaseVariable))
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: quiet()})
	if err != nil {
		return err
	}
	enqueue := riverevents.Enqueue(client)
	riverevents.BatchOften(enqueue)
	webhook, err := ittybit.NewWebhookHandler(apiKey, enqueue)
	if err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: webhook, ReadHeaderTimeout: waitLimit}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("ready")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// playWorker works jobs.
func playWorker(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, os.Getenv(databaseVariable))
	if err != nil {
		return err
	}
	defer pool.Close()
	workers := river.NewWorkers()
	worker := riverevents.Worker(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if writesElsewhere(e.Key()) {
			_, err := pool.Exec(ctx, "INSERT INTO elsewhere VALUES ($1)", e.Key())
			return err
		}
		err := write(ctx, e)
		time.Sleep(rand.N(20 * time.Millisecond)) // so that many are killed between their writes and the commit
		return err
	}))
	riverevents.BatchOften(worker)
	river.AddWorker(workers, worker)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		ID:                   os.Getenv(idVariable),
		Logger:               slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})),
		Workers:              workers,
		Queues:               map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 16}},
		FetchCooldown:        5 * time.Millisecond,
		FetchPollInterval:    100 * time.Millisecond,
		RetryPolicy:          soon{},
		JobTimeout:           crashRescueAfter,
		RescueStuckJobsAfter: crashRescueAfter,
	})
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), waitLimit)
	defer cancel()
	return client.Stop(stopping)
}

// writesElsewhere reports whether the handler of an event, as that of half of them, does without
// Tx.
func writesElsewhere(key string) bool { return crc32.ChecksumIEEE([]byte(key))%2 == 0 }

// process is a running process of the crash test.
type process struct {
	role, id string
	cmd      *exec.Cmd
	stdin    io.Closer
}

// startProcess starts this test's binary in a role, and waits until it is ready.
func startProcess(t *testing.T, role string, number int, database string, socket *os.File) *process {
	t.Helper()
	p := &process{role: role, id: role + "-" + strconv.Itoa(number)}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, idVariable+"="+p.id, databaseVariable+"="+database)
	if role == roleReceiver { // not for others: it makes the socket block, and the receiver has that undone for itself
		p.cmd.ExtraFiles = []*os.File{socket}
	}
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return p
}

// kill ends the process at once, wherever it is.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // SIGKILL; it may have ended
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

// stop ends the process as an operator does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, p.cmd.Wait())
}
