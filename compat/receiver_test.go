package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
)

// The receiver's limits in the tests: short, so that slow deliveries are soon over.
const (
	secret            = "compat_key_0123456789abcdef"
	maxBodyBytes      = 64 << 10
	readTimeout       = time.Second
	processingTimeout = time.Second
	// slowWork is how much longer than processingTimeout the handler of "late success" takes.
	slowWork = 3 * time.Second
	// middlewareTimeout is what middleware gets that cuts slow handlers off.
	middlewareTimeout = 2500 * time.Millisecond
	// contextTimeout is what middleware and Lambda set as the deadline of the request's context.
	contextTimeout = 500 * time.Millisecond
)

// record is what the receiver saw of one delivery, by the delivery's name.
type record struct {
	Entered  int        // calls of the http.Handler
	Left     int        // those that have ended
	Handled  int        // calls of the EventHandler that ended in success
	Observed []observed // what the observer was given
	// Remaining is how much of the EventHandler's deadline was left when it was called.
	Remaining time.Duration
}

type observed struct {
	Outcome ittybit.Outcome
	Status  int
	Err     string
}

// receiver is a WebhookHandler that keeps records. It runs in the child process.
type receiver struct {
	webhook http.Handler
	mu      sync.Mutex
	records map[string]*record
}

// deliveryHeader names the delivery, for the records.
const deliveryHeader = "X-Compat-Delivery"

type nameKey struct{}

func newReceiver() *receiver {
	r := &receiver{records: make(map[string]*record)}
	next := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(0, 0), ittybit.EventHandlerFunc(r.handle))
	webhook, err := ittybit.NewWebhookHandler(secret, next,
		ittybit.WithMaxBodyBytes(maxBodyBytes), ittybit.WithReadTimeout(readTimeout), ittybit.WithProcessingTimeout(processingTimeout),
		ittybit.WithObserver(func(ctx context.Context, d ittybit.Delivery) {
			name, _ := ctx.Value(nameKey{}).(string)
			r.update(name, func(rec *record) {
				rec.Observed = append(rec.Observed, observed{d.Outcome, d.StatusCode, fmt.Sprint(d.Err)})
			})
		}))
	if err != nil {
		panic(err)
	}
	r.webhook = webhook
	return r
}

func (r *receiver) update(name string, change func(*record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[name]
	if rec == nil {
		rec = new(record)
		r.records[name] = rec
	}
	change(rec)
}

// ServeHTTP is mounted. It hands on the writer and the body as they came.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name := req.Header.Get(deliveryHeader)
	r.update(name, func(rec *record) { rec.Entered++ })
	defer r.update(name, func(rec *record) { rec.Left++ })
	r.webhook.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), nameKey{}, name)))
}

// handle does what the event's id asks for.
func (r *receiver) handle(ctx context.Context, e *ittybit.Event) error {
	name, _ := ctx.Value(nameKey{}).(string)
	deadline, _ := ctx.Deadline()
	r.update(name, func(rec *record) { rec.Remaining = time.Until(deadline) })
	switch strings.TrimPrefix(e.Task.ID, "task_") {
	case "error":
		return errors.New("the database is away")
	case "retry-later":
		return ittybit.RetryLater(7*time.Second, errors.New("the queue is full"))
	case "late":
		<-ctx.Done()
		return ctx.Err()
	case "late-success":
		<-ctx.Done()
		time.Sleep(slowWork) // it does not follow its context
	case "panic":
		panic("a mistake")
	case "abort":
		panic(http.ErrAbortHandler)
	case "goexit":
		runtime.Goexit()
	}
	r.update(name, func(rec *record) { rec.Handled++ })
	return nil
}

// announcement is the first line that a child process prints.
type announcement struct {
	Address string // where the row's server listens; empty of a function
	Records string // where the records are
}

// serveRow is the child process: it mounts the row and serves until it is ended.
func serveRow(name string) {
	for _, r := range rows() {
		if r.name != name {
			continue
		}
		rcv := newReceiver()
		records := listen()
		go func() { _ = http.Serve(records, http.HandlerFunc(rcv.serveRecords)) }()
		says := announcement{Records: records.Addr().String()}
		serve := r.function
		if r.server != nil {
			says.Address = freeAddress()
			serve = func(h http.Handler) error { return r.server(says.Address, h) }
		}
		line, err := json.Marshal(says)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
		if err := serve(rcv); err != nil {
			fmt.Fprintln(os.Stderr, "the row's server ended:", err)
			os.Exit(1)
		}
		return
	}
	panic("there is no row " + name)
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return listener
}

// freeAddress is one that nobody listens on, for servers that listen by themselves. It is below
// the ports that systems give out by themselves, so that no other process gets it meanwhile.
func freeAddress() string {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	panic("no port is free")
}

func (r *receiver) serveRecords(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[req.URL.Query().Get("delivery")]
	if rec == nil {
		rec = new(record)
	}
	_ = json.NewEncoder(w).Encode(rec)
}
