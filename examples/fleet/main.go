// Fleet shows that nothing is lost or doubled on many machines: three webhook endpoints behind a
// round-robin proxy, and three workers, each a process of its own, on one PostgreSQL.
//
//	go run ./examples/fleet [-events 300] [-kill-worker]
//
// A local Ittybit delivers each webhook twice, out of order, and hangs up on some; an endpoint is
// killed in the middle (and a worker, with -kill-worker: River then takes up to a minute to have its
// jobs done by the others). It ends with a proof: events sent = events handled, each once.
//
// PostgreSQL is the one at DATABASE_URL, where it makes its tables, or else an installed one, which it
// starts on this machine with data that are gone afterwards.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const (
	members  = 3 // endpoints, and workers
	patience = 3 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Stdin, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// dispatch is what this program does: lead the fleet, or be a member of it.
func dispatch(ctx context.Context, in io.Reader, out io.Writer, args []string) error {
	if len(args) == 1 && (args[0] == roleEndpoint || args[0] == roleWorker) {
		return serve(ctx, args[0], in, out, os.Getenv)
	}
	var plan plan
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&plan.events, "events", 300, "how many events to send")
	flags.BoolVar(&plan.killWorker, "kill-worker", false, "kill a worker, too")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if plan.events < 1 || flags.NArg() > 0 {
		return errors.New("there must be an event to send, and nothing but flags")
	}
	return lead(ctx, out, plan, os.Getenv)
}

// plan is what is to happen.
type plan struct {
	events     int
	killWorker bool
}

// lead starts the fleet, sends the events, and counts what became of them.
func lead(ctx context.Context, out io.Writer, plan plan, getenv func(string) string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	databaseURL, closeDatabase, err := openServer(ctx, out, getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDatabase()) }()
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrate(ctx, pool); err != nil {
		return err
	}

	local := ittybittest.NewServer(
		ittybittest.WithTaskDuration(10*time.Millisecond),
		ittybittest.WithBackoff(ittybittest.Backoff{First: 50 * time.Millisecond, Max: time.Second, Attempts: 60}))
	defer local.Close()
	local.SetFaults(faults())

	fleet := &fleet{environment: []string{"DATABASE_URL=" + databaseURL, "ITTYBIT_API_KEY=" + local.APIKey}}
	defer func() { err = errors.Join(err, fleet.stop()) }()
	for range members {
		if err := fleet.start(ctx, roleEndpoint); err != nil {
			return err
		}
		if err := fleet.start(ctx, roleWorker); err != nil {
			return err
		}
	}
	proxy := httptest.NewServer(fleet.proxy())
	defer proxy.Close()

	client, err := local.Client()
	if err != nil {
		return err
	}
	board := newBoard(pool, local, fleet)
	var watching sync.WaitGroup
	defer watching.Wait()
	watch, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watching.Go(func() { board.watch(watch, out) })
	if err := send(ctx, client, fleet, plan, proxy.URL+"/ittybit-webhook"); err != nil {
		return err
	}
	if err := board.wait(ctx, plan.events); err != nil {
		return err
	}
	stopWatching()
	watching.Wait()
	return board.prove(ctx, out, plan.events)
}

// openServer gives the URL of a PostgreSQL, and a function that stops it if it was started here.
func openServer(ctx context.Context, out io.Writer, databaseURL string) (string, func() error, error) {
	if databaseURL != "" {
		return databaseURL, func() error { return nil }, nil
	}
	_, _ = fmt.Fprintln(out, "Starting PostgreSQL")
	server, err := pgserver.Start(ctx)
	if errors.Is(err, pgserver.ErrNotInstalled) {
		err = fmt.Errorf("%w; or set DATABASE_URL to a database of yours", err)
	}
	if err != nil {
		return "", nil, err
	}
	return server.URL(), server.Close, nil
}

// faults is what goes wrong on the way: every webhook comes twice, out of order, and one attempt in
// ten ends before its answer has arrived.
func faults() ittybittest.Faults {
	var mu sync.Mutex
	attempts := 0
	return ittybittest.Faults{
		Duplicates:    1,
		ReorderWindow: 30 * time.Millisecond,
		Delivery: func(ittybittest.Delivery) ittybittest.DeliveryFault {
			mu.Lock()
			defer mu.Unlock()
			switch attempts++; attempts % 20 {
			case 0:
				return ittybittest.DeliveryFault{HangUp: ittybittest.HangUpInBody}
			case 10:
				return ittybittest.DeliveryFault{HangUp: ittybittest.HangUpBeforeAnswer}
			}
			return ittybittest.DeliveryFault{}
		},
	}
}

// send creates the tasks, and kills members on the way.
func send(ctx context.Context, client *ittybit.Client, fleet *fleet, plan plan, webhookURL string) error {
	for n := range plan.events {
		_, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: fmt.Sprintf("https://example.com/%d.jpg", n), WebhookURL: webhookURL,
		})
		if err != nil {
			return err
		}
		switch n {
		case plan.events / 3:
			err = fleet.replace(ctx, roleEndpoint)
		case plan.events / 2:
			if plan.killWorker {
				err = fleet.replace(ctx, roleWorker)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
