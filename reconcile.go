package ittybit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
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
	// would go on from. Store it where a crash does not reach it.
	OnCheckpoint func(ReconcileCheckpoint)
}

// ReconcileCheckpoint says which tasks are dealt with. It is made by [Reconcile], to be
// stored as JSON and given to the next run.
type ReconcileCheckpoint struct {
	// Since: the tasks created before are dealt with, but for those of Open.
	Since time.Time `json:"since,omitzero"`
	// Done holds what a run that was cut has dealt with after Since, but for those of Open.
	Done []ReconcileSpan `json:"done,omitempty"`
	// Open are the ids of tasks that had not ended, or whose event was not handled.
	Open []string `json:"open,omitempty"`
}

// ReconcileSpan is a span of creation times, its ends excluded.
type ReconcileSpan struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

func (s ReconcileSpan) holds(t time.Time) bool { return t.After(s.From) && t.Before(s.To) }

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
// run goes on: nothing is skipped, and what lies within the last minute before the newest task
// is looked at again. A failed handler does not end the run: its task stays in the checkpoint
// and is tried again in the next one. A run needs memory for one page, and for the ids of the
// tasks that stay in the checkpoint.
//
// Webhooks of later API versions, which are events with ids of their own, have other keys:
// behind them, [DeduplicateBy] must name tasks by their id and status.
//
// The events are those of tasks only, and of how they ended; webhooks about progress and media
// are not made up for. They carry what the list says of a task, which has no ProjectID and no
// AutomationID. Where the list is not sorted newest first, which API version 2025-08-20 does not
// document, a run that is cut begins anew; and a task that moves up in the list while it is read, because
// another one vanished from it, is passed over. Errors are those of [TasksService.List], of ctx, or a [*ParamError].
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
		pace: pacer{gap: rateGap(params.Rate)}, sorted: true, started: time.Now(),
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
	sorted         bool            // no task was listed after an older one, so far, but for repeats
	newest, oldest time.Time       // of the tasks that were looked at
	page, before   map[string]bool // the ids on this page, and on the one before
	whole          bool            // the list was read to its end, or to Since
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
	for page, err := range pages(ctx, list, r.pace.wait) {
		if page == nil {
			return err
		}
		r.before, r.page = r.page, make(map[string]bool, len(page.Items))
		for i := range page.Items {
			if err := r.lookAt(ctx, &page.Items[i]); err != nil {
				return err
			}
		}
		// Times that are all the same tell nothing of the order.
		if r.sorted && r.oldest.Before(r.newest) && r.oldest.Before(r.params.Checkpoint.Since) {
			return nil
		}
		r.save()
	}
	return nil
}

// lookAt deals with a listed task. Its error is that of ctx.
func (r *reconciliation) lookAt(ctx context.Context, task *Task) error {
	r.page[task.ID] = true
	if r.before[task.ID] {
		return nil // new tasks have pushed it from the page before to this one
	}
	created := task.Created
	if !created.IsZero() && r.isDone(created) || r.open.has(task.ID) {
		r.passed(created)
		return nil
	}
	if err := r.deal(ctx, task); err != nil {
		return err
	}
	r.passed(created)
	return nil
}

// isDone reports whether the checkpoint says that tasks of that time are dealt with.
func (r *reconciliation) isDone(created time.Time) bool {
	if created.Before(r.params.Checkpoint.Since) {
		return true
	}
	for _, span := range r.params.Checkpoint.Done {
		if span.holds(created) {
			return true
		}
	}
	return false
}

// passed notes that a task created then has been looked at.
func (r *reconciliation) passed(created time.Time) {
	if created.IsZero() {
		return
	}
	if !r.oldest.IsZero() && created.After(r.oldest) {
		r.sorted = false
	}
	if r.oldest.IsZero() || created.Before(r.oldest) {
		r.oldest = created
	}
	if created.After(r.newest) {
		r.newest = created
	}
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
		case errors.Is(err, ErrNotFound):
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

func (r *reconciliation) save() {
	if r.params.OnCheckpoint != nil {
		r.params.OnCheckpoint(r.checkpoint())
	}
}

// checkpoint says what is dealt with by now.
func (r *reconciliation) checkpoint() ReconcileCheckpoint {
	old := r.params.Checkpoint
	now := ReconcileCheckpoint{Since: old.Since, Open: r.open.all()}
	top := earlier(r.newest, r.started).Add(-reconcileOverlap) // what has come since may have moved past this run
	switch {
	case r.whole:
		if !r.newest.IsZero() && top.After(now.Since) {
			now.Since = top
		}
		return now
	case r.newest.IsZero() || !r.sorted: // it can't be said which times were looked at
		now.Done = old.Done
		return now
	}
	read := ReconcileSpan{From: r.oldest, To: top}
	var apart []ReconcileSpan
	for _, span := range old.Done {
		if span.To.Before(read.From) || !read.From.Before(read.To) {
			apart = append(apart, span)
			continue
		}
		read.From = earlier(read.From, span.From)
	}
	if read.From.Before(read.To) {
		now.Done = append(now.Done, read)
	}
	now.Done = append(now.Done, apart...)
	return now
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// idSet is a set of ids that keeps their order.
type idSet struct {
	place map[string]int
	last  int
}

func newIDSet(ids []string) *idSet {
	s := &idSet{place: make(map[string]int, len(ids))}
	for _, id := range ids {
		s.add(id)
	}
	return s
}

func (s *idSet) add(id string) {
	if id != "" && !s.has(id) {
		s.last++
		s.place[id] = s.last
	}
}

func (s *idSet) remove(id string) { delete(s.place, id) }

func (s *idSet) has(id string) bool { _, ok := s.place[id]; return ok }

func (s *idSet) all() []string {
	return slices.SortedFunc(maps.Keys(s.place), func(a, b string) int { return s.place[a] - s.place[b] })
}

// tell writes a log line and calls the observer, as a [WebhookHandler] does. What is
// settled as it was before is of interest only at Debug.
func (r *reconciliation) tell(ctx context.Context, d Delivery, stack []byte) {
	level := levelOf(d.Outcome)
	if d.Outcome == OutcomeDuplicate || d.Outcome == OutcomeIgnored {
		level = slog.LevelDebug
	}
	if logger := r.cfg.logger; logger != nil {
		survive(func() {
			attrs := []slog.Attr{
				slog.String("outcome", string(d.Outcome)),
				slog.Duration("duration", d.Duration),
				slog.String("event", r.redacted(string(d.Event.Type))),
				slog.String("key", r.redacted(d.Event.Key())),
			}
			if d.Err != nil {
				attrs = append(attrs, slog.String("error", r.redacted(fmt.Sprint(d.Err))))
			}
			if stack != nil {
				attrs = append(attrs, slog.String("stack", r.redacted(string(stack))))
			}
			logger.LogAttrs(ctx, level, "ittybit: reconciled", attrs...)
		})
	}
	observe(ctx, r.cfg.observer, d, r.cfg.logger, r.redacted)
}

func (r *reconciliation) logReport(ctx context.Context, err error) {
	logger := r.cfg.logger
	if logger == nil {
		return
	}
	level := slog.LevelInfo
	if err != nil || r.report.Failed > 0 {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.Int("handled", r.report.Handled), slog.Int("duplicates", r.report.Duplicates),
		slog.Int("ignored", r.report.Ignored), slog.Int("discarded", r.report.Discarded),
		slog.Int("failed", r.report.Failed), slog.Int("unfinished", r.report.Unfinished), slog.Int("gone", r.report.Gone),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", r.redacted(err.Error())))
	}
	survive(func() { logger.LogAttrs(ctx, level, "ittybit: reconciliation", attrs...) })
}

func (r *reconciliation) redacted(text string) string { return r.client.pipeline.Redacted(text) }

// pacer spaces out what many loops do, by a gap between two of them.
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
