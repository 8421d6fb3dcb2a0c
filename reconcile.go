package ittybit

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/internal/poll"
	"github.com/ittybit/ittybit-go/internal/resume"
)

const (
	// DefaultReconcileRate is how many steps a second [Reconcile] takes at most. Ittybit
	// documents no rate limits in numbers.
	DefaultReconcileRate = 50.0
	// reconcileOverlap is how far back of the newest task the next run begins: Ittybit does
	// not promise that a task is listed as soon as its time of creation says.
	reconcileOverlap = time.Minute
	// unknownStatusFor is how long a task stays open whose status is not known.
	unknownStatusFor = 24 * time.Hour
)

// ReconcileParams are the parameters of [Reconcile].
type ReconcileParams struct {
	// Checkpoint is where an earlier run with the same Kind and Select ended. The zero one
	// reads every task that there is; to begin with those of the last day, set its Since.
	Checkpoint ReconcileCheckpoint
	// Kind bounds the run to the tasks of one kind. Empty or [AnyTaskKind]: of every kind.
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
	Failed     int // events that were not handled, and are handed on again in the next run
	Unfinished int // tasks that have not ended, or not long enough ago
	Gone       int // tasks of the checkpoint that Ittybit does not know any more
	Unknown    int // tasks that were given up after a day: this version does not know their status
}

// ReconcileCheckpoint says which tasks were handled. It is made by [Reconcile], to be
// stored as JSON and given to the next run.
type ReconcileCheckpoint struct {
	// Since: the tasks created before were handled, but for those of Open.
	Since time.Time `json:"since,omitzero"`
	// Cut is where the next run goes on, because the last one was cut; nil: with the newest.
	Cut *ReconcileCut `json:"cut,omitempty"`
	// Open are the ids of tasks that had not ended, or whose event was not handled.
	Open []string `json:"open,omitempty"`
}

// ReconcileCut is a place in a list whose newest tasks come first.
type ReconcileCut struct {
	At   time.Time `json:"at"`             // when the task there was created
	ID   string    `json:"id"`             // of that task, the last one that was handled
	Page int       `json:"page,omitempty"` // where it stood; 0: the pages have no numbers
	Top  time.Time `json:"top"`            // Since, once the list has been read from here to its end
}

// ReconcileOption sets up [Reconcile]: [WithLogger], [WithObserver] or [WithMaxOutage].
type ReconcileOption interface {
	applyReconcile(*reconcileConfig) error
}

type reconcileConfig struct {
	logger    *slog.Logger
	observer  func(context.Context, Delivery)
	maxOutage time.Duration
}

// Reconcile finds the tasks whose webhook never came: the endpoint was down past the last
// retry, or deliveries were paused. It lists the tasks since a checkpoint, makes the event of
// each one that has ended ([EventFromTask]), and hands it to next, one after another. With a
// next that handles each event once, such as the one behind the endpoint, on the same store,
// a task whose webhook came is not handled again: the keys are the same. Run it now and then,
// such as every ten minutes, in one place at a time; it may run beside the endpoint.
//
// The report comes back also together with an error, with a checkpoint from which the next run goes
// on: nothing is skipped, but for what is said of lists below. What was created within the last
// minute before the newest task is read again. A failed handler does not end the run: its task
// stays in the checkpoint and is handed on again in the next one. A task of the checkpoint that
// can't be fetched ends it, and is given up only where a 404 comes in Ittybit's own words, and not
// in those of a proxy. A run outlives an API that is away for a while ([WithMaxOutage]). It needs
// memory for the ids of three pages, and for those of the tasks that stay in the checkpoint.
//
// Webhooks of later API versions, which are events with ids of their own, have other keys:
// behind them, [DeduplicateBy] must name tasks by their id and status.
//
// The events are those of tasks only, and of how they ended; webhooks about progress and media
// are not made up for. They carry what the list says of a task, which has no ProjectID and no
// AutomationID. A task whose status this version does not know is polled for a day, and then
// given up.
//
// API version 2025-08-20 does not document how a list is sorted. Where the newest tasks are seen to
// come first, the list is read as far as the checkpoint, and a run that was cut goes on where it
// was; else each run reads the list to its end. Pages that have numbers are read again when the
// next one has been, because a task that vanishes meanwhile moves others up, from a page that is
// still to be read to one that was. What moves up and back within that moment, or past a whole
// page, is passed over. Errors are those of [TasksService.List] and [TasksService.Get], of ctx, or
// a [*ParamError].
func Reconcile(ctx context.Context, client *Client, next EventHandler, params ReconcileParams, opts ...ReconcileOption) (*ReconcileReport, error) {
	cfg := reconcileConfig{maxOutage: DefaultMaxOutage}
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
		client: client, next: next, params: params, cfg: cfg, pace: poll.NewPacer(params.Rate), started: time.Now(),
		since: params.Checkpoint.Since, cut: params.Checkpoint.Cut, open: make(map[string]bool),
	}
	for _, id := range params.Checkpoint.Open {
		if id != "" && !r.open[id] {
			r.open[id] = true
			r.waiting = append(r.waiting, id)
		}
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
		return &ParamError{Param: "MinAge", Reason: "must not be negative"}
	case !(p.Rate >= 0 && p.Rate <= math.MaxFloat64):
		return &ParamError{Param: "Rate", Reason: "must be positive, or 0 for the default"}
	}
	return nil
}

type reconciliation struct {
	client *Client
	next   EventHandler
	params ReconcileParams
	cfg    reconcileConfig
	pace   poll.Pacer
	report ReconcileReport

	started time.Time
	since   time.Time
	cut     *ReconcileCut   // where the list is to be resumed
	list    *resume.List    // that is being read
	open    map[string]bool // ids that are, or were, in the two below
	waiting []string        // ids of the checkpoint that were not polled yet
	kept    []string        // ids for the next run
}

func (r *reconciliation) run(ctx context.Context) error {
	var err error
	if r.cut != nil {
		err = r.readList(ctx, r.cut)
	}
	if err == nil {
		err = r.readList(ctx, nil)
	}
	if err != nil {
		return err
	}
	r.save()
	return r.pollOpen(ctx)
}

func (r *reconciliation) save() {
	if r.params.OnCheckpoint != nil {
		r.params.OnCheckpoint(r.checkpoint())
	}
}

func (r *reconciliation) checkpoint() ReconcileCheckpoint {
	now := ReconcileCheckpoint{Since: r.since, Open: slices.Concat(r.waiting, r.kept)}
	cut := (*resume.Place)(r.cut)
	if r.list != nil {
		cut = r.list.Place()
	}
	if cut != nil {
		now.Cut = new(ReconcileCut(*cut)) // it is the caller's
	}
	return now
}

// readList reads the listed tasks as far as since, or to the end of the list where that is not
// seen to be sorted. A list that can't be resumed after all is left to be read from its beginning.
func (r *reconciliation) readList(ctx context.Context, from *ReconcileCut) error {
	r.list = resume.NewList((*resume.Place)(from), r.started, reconcileOverlap)
	request := func(fetch func() error) error { return r.request(ctx, fetch) }
	var previous *Page[Task] // without its items
	for page, err := range pages(ctx, func() (*Page[Task], error) { return r.firstPage(ctx, from) }, request) {
		if page == nil {
			return err
		}
		r.list.TurnTo(page.query, resumeItems(page))
		if previous != nil && r.list.HasNumbers() {
			if err := r.recheck(ctx, previous); err != nil {
				return err
			}
		}
		for i := range page.Items {
			if err := r.visit(ctx, &page.Items[i]); err != nil {
				return err
			}
		}
		if r.list.IsMisplaced() {
			r.list, r.cut = nil, nil
			return nil
		}
		if r.list.IsPast(r.since) {
			break
		}
		r.save()
		previous = &Page[Task]{query: page.query, fetch: page.fetch}
	}
	if top := r.list.Top(); top.After(r.since) {
		r.since = top
	}
	r.list, r.cut = nil, nil
	return nil
}

func resumeItems(page *Page[Task]) []resume.Item {
	items := make([]resume.Item, len(page.Items))
	for i := range page.Items {
		items[i] = resume.Item{ID: page.Items[i].ID, Created: page.Items[i].Created}
	}
	return items
}

func (r *reconciliation) firstPage(ctx context.Context, from *ReconcileCut) (page *Page[Task], err error) {
	params := TaskListParams{Kind: r.params.Kind, Limit: maxLimit}
	if from == nil {
		return r.client.Tasks.List(ctx, params)
	}
	err = (*resume.Place)(from).Find(func(number int) ([]resume.Item, error) {
		if page != nil { // it was not the one
			if err := r.pace.Wait(ctx); err != nil {
				return nil, err
			}
		}
		params.Page = number
		if page, err = r.client.Tasks.List(ctx, params); page == nil {
			return nil, err
		}
		return resumeItems(page), nil
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// recheck handles the tasks that have moved to the previous page after that was read. Where they
// stand there says nothing of the order of the list.
func (r *reconciliation) recheck(ctx context.Context, previous *Page[Task]) error {
	var page *Page[Task]
	err := r.request(ctx, func() (err error) {
		page, err = previous.fetch(ctx, previous.query)
		return err
	})
	if page == nil {
		return err
	}
	for i := range page.Items {
		if task := &page.Items[i]; !r.list.HasShown(task.ID) {
			if err := r.handleListed(ctx, task); err != nil {
				return err
			}
		}
	}
	return nil
}

// visit handles a listed task, unless new tasks have pushed it here from a page before.
func (r *reconciliation) visit(ctx context.Context, task *Task) error {
	if r.list.HasPushed(task.ID) {
		return nil
	}
	err := r.handleListed(ctx, task)
	if err == nil {
		r.list.Passed(resume.Item{ID: task.ID, Created: task.Created})
	}
	return err
}

// handleListed handles a task, unless the checkpoint says that it was, or that it is polled later.
func (r *reconciliation) handleListed(ctx context.Context, task *Task) error {
	before := !task.Created.IsZero() && task.Created.Before(r.since)
	if before || r.list.IsBefore(task.Created) || r.open[task.ID] {
		return nil
	}
	keep, err := r.handle(ctx, task)
	if keep {
		r.open[task.ID] = true
		r.kept = append(r.kept, task.ID)
	}
	return err
}

// pollOpen polls the tasks that the checkpoint left open. The one that can't be fetched
// goes to the end of the line: it must not keep the others from their turn in the next run.
func (r *reconciliation) pollOpen(ctx context.Context) error {
	for len(r.waiting) > 0 {
		id := r.waiting[0]
		var task *Task
		err := r.request(ctx, func() (err error) {
			task, err = r.client.Tasks.Get(ctx, id)
			return err
		})
		keep := false
		switch {
		case task != nil:
			if keep, err = r.handle(ctx, task); err != nil {
				return err
			}
		case isGone(err):
			r.report.Gone++
		default:
			r.waiting = append(r.waiting[1:], id)
			return err
		}
		r.waiting = r.waiting[1:]
		if keep {
			r.kept = append(r.kept, id)
		}
	}
	return nil
}

// isGone reports whether it is the API that does not find something.
func isGone(err error) bool {
	apiErr, ok := errors.AsType[*APIError](err)
	return ok && apiErr.StatusCode == http.StatusNotFound && isFromIttybit(apiErr)
}

// request makes a request at the run's pace, and repeats it while the API is away.
func (r *reconciliation) request(ctx context.Context, do func() error) error {
	outage, interval := poll.Outage{Limit: r.cfg.maxOutage}, poll.Interval(DefaultPollInterval)
	for {
		if err := r.pace.Wait(ctx); err != nil {
			return err
		}
		err := do()
		if err == nil || ctx.Err() != nil || !mayRecover(err) {
			return err
		}
		wait, ok := outage.Failed(interval.Next(), retryAfterOf(err))
		if !ok {
			return outageError(&outage, err)
		}
		if ctxErr := poll.Sleep(ctx, wait); ctxErr != nil {
			return withLastFailure(ctxErr, err)
		}
	}
}

// handle hands the event of a task on, and reports whether the task stays open. Its error is that
// of ctx, which ended before the event was handled.
func (r *reconciliation) handle(ctx context.Context, task *Task) (keep bool, err error) {
	ended := cmp.Or(task.Completed, task.Updated, task.Created)
	switch rank, _ := task.meaning(); {
	case rank == rankUnknown && !ended.IsZero() && time.Since(ended) >= unknownStatusFor:
		r.report.Unknown++
		r.log(ctx, slog.LevelWarn, "ittybit: a task was given up, because this version of the SDK does not know its status",
			slog.String("task", r.redacted(task.ID)), slog.String("status", r.redacted(string(task.Status))))
		return false, nil
	case !task.Terminal(), r.params.MinAge > 0 && time.Since(ended) < r.params.MinAge:
		r.report.Unfinished++
		return true, nil
	case r.params.Select != nil && !r.params.Select(task):
		return false, nil
	}
	if err := r.pace.Wait(ctx); err != nil {
		return false, err
	}
	start := time.Now()
	run := eventRun{outcome: OutcomeAborted}
	event := EventFromTask(task)
	run.call(ctx, r.next, event)
	r.notify(ctx, Delivery{
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
			return false, ctx.Err()
		}
		r.report.Failed++
		return true, nil
	}
	return false, nil
}
