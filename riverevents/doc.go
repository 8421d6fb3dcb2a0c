// Package riverevents hands Ittybit's events over to River (https://riverqueue.com), a
// queue whose jobs are rows of PostgreSQL: for work that takes longer than the five
// seconds that Ittybit waits, and for fleets.
//
//	// Where the webhooks arrive:
//	webhook, err := ittybit.NewWebhookHandler(apiKey, riverevents.Enqueue(client))
//
//	// Where the work is done, on any number of machines:
//	river.AddWorker(workers, riverevents.Worker(events)) // events: an ittybit.EventMux
//
//	// In a handler, what is written with the event:
//	tx, err := riverevents.Tx(ctx)
//
// Both need River's own tables (package rivermigrate) and those of this package, which
// [Migrate] makes.
//
// # What is guaranteed
//
// Nothing that was acknowledged is lost: [Enqueue] commits the event's key and its job in one
// transaction, and only then is the delivery answered 200. Events that arrive while three
// transactions are under way are committed together, at most 64 or 1 MiB of them; where that fails,
// each is tried again by itself, so that none is refused for another one's sake. While the database
// is away a delivery is answered 503, and comes again. A commit is as durable as PostgreSQL is told
// to make it: with synchronous_commit off, a crash of its machine can lose what was acknowledged
// just before.
//
// An event is enqueued once. Its key is in a table of this package, which outlives River's
// jobs: River deletes completed and cancelled jobs after 24 hours and discarded ones after
// 7 days, and so forgets that it has had them. River's unique jobs are not used, for that
// reason and because a job that is skipped as a duplicate would be an event that was
// acknowledged and has no job; [WithInsertOpts] refuses them.
//
// What a handler writes through [Tx] is written exactly once. Its writes, the mark that the
// event was handled, and the job's completion are one commit. A worker that is killed
// leaves nothing behind, and its job is rescued and run again. Where the handler did without Tx,
// the mark is committed, together with those of jobs that end at the same time, before River
// completes the job in its own batches, up to a quarter of a second later. A job whose worker is
// killed in between is rescued and completed without a call of the handler; if it had used up its
// attempts, River discards it, though its event is marked as handled. Of two runs of one event (of
// a rescued job whose worker was not dead after all, say) one commits, and the others find
// out when they call Tx. What a handler does elsewhere is done at least once: write to
// other systems so that it may happen again, with the event's key as idempotency key.
//
// # Order
//
// Ittybit promises no order, and a queue with several workers has none. An event that
// brings an older state of a task than one that was handled already is recognised as stale
// and skipped; nothing waits for an event that may never come, and a failing event holds up
// no other. What is older is what [ittybit.Task.Supersedes] says. The end of a task is
// never stale. Whether an event is stale is checked before the handler is called, and
// again in Tx, under a lock on the task's row in a table of this package: two events of one
// task that are worked at once commit one after the other, and of these the older one does
// not commit after the newer. Jobs of later API versions are treated as tasks are. Media
// have no order. [WithoutStaleCheck] switches this off.
//
// # What errors do
//
//   - nil: the job is completed.
//   - [ittybit.RetryLater], and River's JobSnooze: the job is snoozed, which uses up none of its
//     attempts.
//   - [ittybit.Discard], and River's JobCancel: the job ends in River's state cancelled, with
//     the error in its row, and the event is marked as discarded. River's state discarded is
//     left for jobs whose attempts are used up: a mistake to look into, where Discard is a
//     decision. A cancelled job that somebody retries, in River's web UI for instance, runs
//     again; a completed one does not.
//   - any other error, a panic, or a payload that can't be read: River tries again, with its
//     backoff, until the job's attempts are used up (25 by default, over three weeks). Then it
//     is discarded.
//
// After anything but nil, what was written through Tx is rolled back. A kill counts as
// an attempt, too.
//
// # Tables
//
// [Schema] shows them. They live where the River client's tables do (its Config.Schema, or
// else the search path):
//
//   - ittybit_river_event has a row for each event that was enqueued: its key, when it came,
//     and, once it was dealt with, when and how ("handled", "stale" or "discarded"). Rows
//     without an outcome are still in the queue, or failed for good.
//   - ittybit_river_subject has a row for each task with the newest state that was handled.
//
// Both grow until [Prune] is called.
//
// Supabase serves the tables of the schema public to anybody who has the project's public key,
// unless row level security is on. Payloads are in River's tables: keep all of them in a schema of
// their own, by Config.Schema.
//
// # Setting up River
//
// A job whose worker was killed stays "running" until River rescues it: an hour after it was begun,
// by default, or longer where Config.JobTimeout is. Set Config.RescueStuckJobsAfter to a little
// more than the longest that handlers may take, and Config.JobTimeout or [WithTimeout] to that. A
// worker without a timeout (-1) is never rescued, so don't use one.
//
// Where jobs wait and workers are free all the same, set Config.FetchPollInterval to what a handler
// takes, and Config.FetchCooldown to no more than that: of jobs that end together, River 0.51 asks
// for new ones in the place of the first only, and then not before another job ends, or the
// interval, 1 s by default, is over. Marks that are committed together end their jobs together.
package riverevents
