package ittybit

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"time"
)

const (
	// DefaultReconcileRate is how many steps a second [Reconcile] takes at most. Ittybit
	// documents no rate limits in numbers.
	DefaultReconcileRate = 50.0
	// reconcileOverlap is how far back of the newest task the next run begins: Ittybit does
	// not promise that a task is listed as soon as its time of creation says.
	reconcileOverlap = time.Minute
)

// ReconcileParams are the parameters of [Reconcile].
type ReconcileParams struct {
	// Checkpoint is where an earlier run with the same Kind and Select ended. The zero one
	// looks at every task that there is; to begin with those of the last day, set its Since.
	Checkpoint ReconcileCheckpoint
	// Kind bounds the run to the tasks of one kind.
	Kind TaskKind
	// Select bounds the run to the tasks for which it is true; it is asked when a task has
	// ended. A list has all tasks of the project, also those that no webhook was asked for.
	Select func(*Task) bool
	// MinAge leaves tasks that ended less than that ago to their webhooks, and to the next
	// run. It is measured between Ittybit's clock and this machine's; 0 leaves none.
	MinAge time.Duration
	// Rate is how many steps a second are taken at most: a step is a request, or an event
	// that is handed on. 0 is [DefaultReconcileRate].
	Rate float64
	// OnCheckpoint is called after each page of the list with what a run that is cut here
	// would go on from. Store it where a crash does not reach it. It is a copy, with all ids
	// of the open tasks each time: call for as few of them as there are, with Kind and Select.
	OnCheckpoint func(ReconcileCheckpoint)
}

// ReconcileReport is what a run has found.
type ReconcileReport struct {
	// Checkpoint is for the next run.
	Checkpoint ReconcileCheckpoint

	Handled    int // events that nobody had handled: lost deliveries, or webhooks still on their way
	Duplicates int // events that were handled before
	Ignored    int // events that the handler had nothing for
	Discarded  int // events that ended with [Discard]
	Failed     int // events that were not handled, and are tried again in the next run
	Unfinished int // tasks that have not ended, or not long enough ago
	Gone       int // tasks of the checkpoint that Ittybit does not know any more
}

// ReconcileOption sets up [Reconcile]: [WithLogger] or [WithObserver].
type ReconcileOption interface {
	applyReconcile(*reconcileConfig) error
}

type reconcileConfig struct {
	logger   *slog.Logger
	observer func(context.Context, Delivery)
}

// Reconcile finds the tasks whose webhook never came: the endpoint was down past the last
// retry, or deliveries were paused. It lists the tasks since a checkpoint, makes the event of
// each one that has ended ([EventFromTask]), and hands it to next, one after another. With a
// next that handles each event once, such as the one behind the endpoint, on the same store,
// a task whose webhook came is not handled again: the keys are the same. Run it now and then,
// such as every ten minutes, in one place at a time; it may run beside the endpoint.
//
// The report comes back also together with an error, with a checkpoint from which the next
// run goes on: nothing is skipped, but for what is said of lists below, and what lies within the last minute before the newest task
// is looked at again. A failed handler does not end the run: its task stays in the checkpoint
// and is tried again in the next one. A task of the checkpoint that can't be fetched ends it, and
// is given up only where a 404 comes in Ittybit's own words, and not in those of a proxy. A run needs
// memory for the ids of three pages, and for those of the tasks that stay in the checkpoint.
//
// Webhooks of later API versions, which are events with ids of their own, have other keys:
// behind them, [DeduplicateBy] must name tasks by their id and status.
//
// The events are those of tasks only, and of how they ended; webhooks about progress and media
// are not made up for. They carry what the list says of a task, which has no ProjectID and no
// AutomationID.
//
// API version 2025-08-20 does not document how a list is sorted. Where the newest tasks are seen to
// come first, the list is read as far as the checkpoint, and else to its end. A run that is cut goes on
// where it was also where the oldest come first, and begins anew where there is no order. Pages that have
// numbers are looked at again when the next one has been read, because a task that vanishes
// meanwhile moves others up, from a page that is still to be read to one that was. What moves up
// and back within that moment, or past a whole page, is passed over. Errors are those of
// [TasksService.List] and [TasksService.Get], of ctx, or a [*ParamError].
func Reconcile(ctx context.Context, client *Client, next EventHandler, params ReconcileParams, opts ...ReconcileOption) (*ReconcileReport, error) {
	var cfg reconcileConfig
	err := applyOptions(opts, func(o ReconcileOption) error { return o.applyReconcile(&cfg) })
	if err == nil {
		err = params.check(ctx, client, next)
	}
	if err != nil {
		return &ReconcileReport{Checkpoint: params.Checkpoint}, err
	}
	if params.Rate == 0 {
		params.Rate = DefaultReconcileRate
	}
	r := &reconciliation{
		client: client, next: next, params: params, cfg: cfg,
		pace: pacer{gap: rateGap(params.Rate)}, falling: true, rising: true, started: time.Now(),
		open: newIDSet(params.Checkpoint.Open),
	}
	err = r.run(ctx)
	r.report.Checkpoint = r.checkpoint()
	r.logReport(ctx, err)
	return &r.report, err
}

func (p ReconcileParams) check(ctx context.Context, client *Client, next EventHandler) error {
	switch {
	case ctx == nil:
		return &ParamError{Param: "ctx", Reason: "is nil"}
	case client == nil:
		return &ParamError{Param: "client", Reason: "is nil"}
	case next == nil:
		return &ParamError{Param: "next", Reason: "is nil"}
	case p.MinAge < 0:
		return &ParamError{Param: "MinAge", Reason: "is negative"}
	case !(p.Rate >= 0 && p.Rate <= math.MaxFloat64):
		return &ParamError{Param: "Rate", Reason: "must be positive, or 0 for the default"}
	}
	return nil
}

// reconciliation is one run.
type reconciliation struct {
	client *Client
	next   EventHandler
	params ReconcileParams
	cfg    reconcileConfig
	pace   pacer
	report ReconcileReport
	open   *idSet

	started time.Time

	// How far the list was read.
	falling, rising bool               // no task was listed after an older one, or a newer one, so far, but for repeats
	rises           int                // how often one was listed after an older one
	newest, oldest  time.Time          // of the tasks that were looked at
	pages           [3]map[string]bool // the ids on this page, on the one before, and on the one before that
	whole           bool               // the list was read to its end, or to Since
}

func (r *reconciliation) run(ctx context.Context) error {
	waiting := r.open.all() // before the list adds to them
	if err := r.readList(ctx); err != nil {
		return err
	}
	r.whole = true
	r.save()
	return r.readOpen(ctx, waiting)
}

// readList looks at the listed tasks. API version 2025-08-20 documents no order, and an earlier
// one says newest first: the walk ends at the first page that ends before Since, if all
// that came were sorted that way, and else with the list.
func (r *reconciliation) readList(ctx context.Context) error {
	list := func() (*Page[Task], error) {
		return r.client.Tasks.List(ctx, TaskListParams{Kind: r.params.Kind, Limit: maxLimit})
	}
	var before *Page[Task] // without its items
	for page, err := range pages(ctx, list, r.pace.wait) {
		if page == nil {
			return err
		}
		r.pages = [3]map[string]bool{idsOf(page), r.pages[0], r.pages[1]}
		if before != nil && page.query.Has("page") {
			if err := r.lookBack(ctx, before); err != nil {
				return err
			}
		}
		for i := range page.Items {
			if err := r.lookAt(ctx, &page.Items[i]); err != nil {
				return err
			}
		}
		// Times that are all the same tell nothing of the order.
		if r.falling && r.oldest.Before(r.newest) && r.oldest.Before(r.params.Checkpoint.Since) {
			return nil
		}
		r.save()
		before = &Page[Task]{query: page.query, fetch: page.fetch}
	}
	return nil
}

func idsOf(page *Page[Task]) map[string]bool {
	ids := make(map[string]bool, len(page.Items))
	for i := range page.Items {
		ids[page.Items[i].ID] = true
	}
	return ids
}

// lookBack deals with the tasks that have moved to the page before this one after that was read.
// Where they stand there says nothing of the order of the list.
func (r *reconciliation) lookBack(ctx context.Context, before *Page[Task]) error {
	if err := r.pace.wait(ctx); err != nil {
		return err
	}
	page, err := before.fetch(ctx, before.query)
	if page == nil {
		return err
	}
	for i := range page.Items {
		task := &page.Items[i]
		if r.pages[0][task.ID] || r.pages[1][task.ID] || r.pages[2][task.ID] || r.isDealtWith(task) {
			continue
		}
		if err := r.deal(ctx, task); err != nil {
			return err
		}
	}
	return nil
}

// lookAt deals with a listed task. Its error is that of ctx.
func (r *reconciliation) lookAt(ctx context.Context, task *Task) error {
	if r.pages[1][task.ID] {
		return nil // new tasks have pushed it from the page before to this one
	}
	if !r.isDealtWith(task) {
		if err := r.deal(ctx, task); err != nil {
			return err
		}
	}
	r.passed(task.Created)
	return nil
}

// isDealtWith reports whether the checkpoint says so, or that the task is looked at later.
func (r *reconciliation) isDealtWith(task *Task) bool {
	return !task.Created.IsZero() && r.isDone(task.Created) || r.open.has(task.ID)
}

// readOpen looks again at tasks that the checkpoint left open. The one that can't be had
// goes to the end of the line: it must not keep the others from their turn in the next run.
func (r *reconciliation) readOpen(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := r.pace.wait(ctx); err != nil {
			return err
		}
		task, err := r.client.Tasks.Get(ctx, id)
		switch {
		case isGone(err):
			r.open.remove(id)
			r.report.Gone++
			continue
		case task == nil:
			r.open.remove(id)
			r.open.add(id)
			return err
		}
		r.open.remove(id)
		if err := r.deal(ctx, task); err != nil {
			r.open.add(id)
			return err
		}
	}
	return nil
}

// isGone reports whether it is the API that does not find something, and not a proxy, or a server
// that is just being replaced: these have other words, or none.
func isGone(err error) bool {
	var answer *APIError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound {
		return false
	}
	kind, message := decodeErrorBody(answer.Body)
	return kind != "" || message != ""
}

// deal hands the event of a task on, or leaves the task open. Its error is that of ctx, which
// ended before the event was handled.
func (r *reconciliation) deal(ctx context.Context, task *Task) error {
	if !task.Terminal() || r.tooYoung(task) {
		r.report.Unfinished++
		r.open.add(task.ID)
		return nil
	}
	if r.params.Select != nil && !r.params.Select(task) {
		return nil
	}
	if err := r.pace.wait(ctx); err != nil {
		return err
	}
	start := time.Now()
	run := eventRun{outcome: OutcomeAborted}
	event := EventFromTask(task)
	run.call(ctx, r.next, event)
	r.tell(ctx, Delivery{
		Outcome: run.outcome, Duration: time.Since(start), BodyBytes: len(event.RawJSON()), Event: event, Err: run.err,
	}, run.stack)
	switch run.outcome {
	case OutcomeHandled:
		r.report.Handled++
	case OutcomeDuplicate:
		r.report.Duplicates++
	case OutcomeIgnored:
		r.report.Ignored++
	case OutcomeDiscarded:
		r.report.Discarded++
	default:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.report.Failed++
		r.open.add(task.ID)
	}
	return nil
}

func (r *reconciliation) tooYoung(task *Task) bool {
	ended := firstNonZero(task.Completed, task.Updated, task.Created)
	return r.params.MinAge > 0 && time.Since(ended) < r.params.MinAge
}

// pacer leaves a gap between two steps of a run, whichever of its loops takes them.
type pacer struct {
	gap  time.Duration
	slot time.Time // not to go before
}

// wait waits for the next slot, or for ctx to end, and gives its error.
func (p *pacer) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	if pause := p.slot.Sub(now); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		now = p.slot
	}
	p.slot = now.Add(p.gap)
	return nil
}
