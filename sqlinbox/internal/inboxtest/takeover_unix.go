//go:build unix

package inboxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// Takeover shows that the lease of a process that is stopped, or killed, goes over to another one,
// and that the stopped one, when it goes on, writes no older checkpoint.
func Takeover(t *testing.T, s Server) {
	b := s.bench(t)
	srv := ittybittest.NewServer(ittybittest.WithAPIKey(Secret), ittybittest.WithTaskDuration(0))
	t.Cleanup(srv.Close)
	client := createMissed(t, srv)
	setup := s.setup("")
	setup.Reconcile = srv.URL

	stopped := startReconciler(t, setup)
	require.Equal(t, "checkpoint\n", stopped.line(t))
	require.NoError(t, stopped.cmd.Process.Signal(syscall.SIGSTOP))
	after := b.takeOver(t, client, 1)
	_, err := io.WriteString(stopped.input, "go on\n")
	require.NoError(t, err)
	require.NoError(t, stopped.cmd.Process.Signal(syscall.SIGCONT))
	stopped.line(t) // it has tried to store another checkpoint
	assert.Equal(t, after, b.stored(t))
	stopped.kill()
	assert.Equal(t, after, b.stored(t))

	b.change(t, "UPDATE ittybit_inbox_reconcile SET next_run = 0")
	killed := startReconciler(t, setup)
	require.Equal(t, "checkpoint\n", killed.line(t))
	killed.kill()
	b.takeOver(t, client, 3)
	assert.Equal(t, missed, b.effects(t))
}

// storedLease is the row of the table of checkpoints.
type storedLease struct {
	lease, heldUntil, nextRun int64
	checkpoint                string
}

func (b *bench) stored(t *testing.T) (row storedLease) {
	t.Helper()
	const query = "SELECT lease, held_until, next_run, checkpoint FROM ittybit_inbox_reconcile"
	require.NoError(t, b.DB.QueryRowContext(t.Context(), query).Scan(&row.lease, &row.heldUntil, &row.nextRun, &row.checkpoint))
	return row
}

func (b *bench) change(t *testing.T, query string) {
	t.Helper()
	_, err := b.DB.ExecContext(t.Context(), query)
	require.NoError(t, err)
}

// takeOver reconciles once in this process, when the lease of another one has run out, and gives
// what is stored then.
func (b *bench) takeOver(t *testing.T, client *ittybit.Client, lease int64) storedLease {
	t.Helper()
	before := b.stored(t)
	require.Equal(t, lease, before.lease)
	require.Positive(t, before.heldUntil, "the other process holds it")
	b.change(t, "UPDATE ittybit_inbox_reconcile SET held_until = 1") // a minute passes
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- b.inbox.Reconcile(ctx, client, b.effect(nil), time.Hour, ittybit.ReconcileParams{Rate: 1000})
	}()
	require.Eventually(t, func() bool { return b.stored(t).nextRun > before.nextRun }, time.Minute, 20*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	after := b.stored(t)
	assert.Equal(t, lease+1, after.lease)
	assert.Zero(t, after.heldUntil)
	return after
}

// reconciler is a process that reconciles.
type reconciler struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
}

// startReconciler starts one. It is killed at the end of the test at the latest.
func startReconciler(t *testing.T, setup receiverSetup) *reconciler {
	t.Helper()
	encoded, err := json.Marshal(setup)
	require.NoError(t, err)
	r := &reconciler{cmd: exec.Command(os.Args[0])}
	r.cmd.Env = append(os.Environ(), receiverVariable+"="+string(encoded))
	r.cmd.Stderr = os.Stderr
	r.input, err = r.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	r.output = bufio.NewReader(out)
	require.NoError(t, r.cmd.Start())
	t.Cleanup(r.kill)
	return r
}

func (r *reconciler) line(t *testing.T) string {
	t.Helper()
	line, err := r.output.ReadString('\n')
	require.NoError(t, err)
	return line
}

// kill ends the process as kill -9 does. It may have ended.
func (r *reconciler) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}
