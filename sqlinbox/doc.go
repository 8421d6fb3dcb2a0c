// Package sqlinbox handles every event once in the user's own database: the event's key
// and what the handler writes commit in one transaction, or not at all.
//
//	inbox := sqlinbox.New(db, sqlinbox.Postgres)
//	if err := errors.Join(inbox.Migrate(ctx), inbox.Check(ctx)); err != nil {
//		return err
//	}
//
//	handle := func(ctx context.Context, e *ittybit.Event) error {
//		_, err := sqlinbox.Tx(ctx).ExecContext(ctx,
//			"UPDATE uploads SET checked = true WHERE task_id = $1", e.Task.ID)
//		return err
//	}
//	handler := inbox.Wrap(ittybit.EventHandlerFunc(handle))
//	webhook, err := ittybit.NewWebhookHandler(apiKey, handler)
//
// # What is guaranteed
//
//   - What a handler writes through [Tx] is there exactly once for each event, however
//     often it is delivered, to however many processes, and wherever one of them crashes.
//   - A delivery is answered 200 only when the key is committed. Before that it is not, and the
//     event comes again. In SQLite a commit of the inbox is on the disk by then, whatever the
//     driver's default is (see [WithoutSync]). In Postgres it is as durable as the server is told
//     to make it: with synchronous_commit off, a crash of the machine can lose what was
//     acknowledged just before. [Inbox.Check] finds that.
//   - Of two deliveries of one event at the same time one runs the handler. The other waits for
//     it in the database, and is then a duplicate; where its context ends first, it is answered
//     503, and comes again.
//
// The handler itself may run more often than once: after an error, a crash, or a
// serialization failure. Only one run's writes commit. What it does elsewhere (mail, HTTP
// requests, another connection) is not part of the transaction: write the wish into a table
// with Tx, and fulfil it from there.
//
// # What becomes of an event
//
// The key is inserted first, and then the handler runs inside the same transaction.
//
//   - nil, and [ittybit.ErrAlreadyHandled]: the transaction is committed.
//   - [ittybit.Discard]: the transaction is rolled back, and a second one inserts the key with the
//     outcome "discarded". The event does not come again. Where another delivery has handled it in
//     between, that one's outcome stands, and this one is a duplicate.
//   - any other error, [ittybit.RetryLater], a panic, and [runtime.Goexit]: all is rolled back.
//   - handled or discarded before: the handler does not run, and the error is
//     [ittybit.ErrAlreadyHandled], which is answered 200, as [ittybit.OutcomeDuplicate].
//   - the database fails, or the connection is lost: [ittybit.RetryLater], which is answered 503;
//     [errors.Is] and [errors.As] find the cause. When it is not known whether a commit went
//     through, the redelivery finds out.
//
// A handler's error counts as it does for [ittybit.WebhookHandler]: what stands
// outermost in it, and of joined errors the worst. The one exception: an error that wraps
// a serialization failure, a deadlock or SQLite's "locked" says that the database wants
// the transaction again, and not that the event is at fault, so that the transaction runs
// again even where the handler wrapped it in Discard.
//
// The transaction does not end with the handler's context: a success that comes late is a
// success. It ends when the handler returns.
//
// # Postgres
//
// Any driver does; its errors should have the method SQLState() string, as those of pgx and lib/pq
// have, or Field(byte) string, as those of bun's pgdriver. A pgx pool becomes a *sql.DB with
// stdlib.OpenDBFromPool. A serialization failure (40001) or deadlock (40P01), in the inbox's
// statements, in the handler's, or at the commit, runs the transaction again, up to five times
// within the context. The database's encoding must be UTF8.
//
// A statement that fails ends a transaction of Postgres, whose commit then fails too: a handler
// that hides such an error and returns nil is answered 503. Not every driver's Commit says so: with
// others than pgx's stdlib and lib/pq, and with wrapped ones, the inbox asks the server before it
// commits. The handler must not end the transaction by SQL of its own (COMMIT, ROLLBACK), which
// database/sql does not notice.
//
// A delivery takes four round trips to the server with pgx's driver: BEGIN, the key, a statement of
// the handler's and COMMIT; with a wrapped one five. Package pgxinbox does without database/sql,
// and takes three.
//
// Through a pooler in transaction mode (PgBouncer, Supabase's), give pgx
// default_query_exec_mode=exec in the connection's URL; lib/pq needs nothing. [Inbox.Check] finds
// where it is missing. PgBouncer's query_wait_timeout must be shorter than
// [ittybit.DefaultProcessingTimeout]: a delivery that its own deadline ends while it waits for a
// server connection costs PgBouncer that connection. Its default is two minutes.
//
// A delivery holds a connection of db's pool while its handler runs, and so does a duplicate that
// waits for the first one. Bound them by db.SetMaxOpenConns, below what the server allows; a
// delivery that gets none in time is answered 503. Handlers should then not ask db for a second
// connection: when each holds one, none gets another before its context ends.
//
// Supabase serves the tables of the schema public to anybody who has the project's public key,
// unless row level security is on: that could read payloads, and write keys by which events are
// taken for duplicates. Make a schema that it does not serve, and give
// WithTable("private.ittybit_inbox").
//
// # MySQL
//
// MariaDB and MySQL have a row that is pending, until the last statement before the commit gives it
// its outcome, and must find it: InnoDB rolls everything back after a deadlock, and its commit
// succeeds all the same. A handler that hides such an error is answered 503. A deadlock that it
// returns runs the transaction again. A statement that commits by itself, such as CREATE TABLE,
// commits what the handler wrote before: when it fails afterwards, the event is pending, and is
// handled again. Tables without transactions, such as those of MyISAM, are outside of the promise.
//
// The session's autocommit, innodb_lock_wait_timeout and lock_wait_timeout are changed for the
// transaction, so that no statement waits beyond the handler's time when its client has gone, and
// put back. The driver of the tests is github.com/go-sql-driver/mysql, with parseTime, loc and
// clientFoundRows as they may be.
//
// # SQLite
//
// SQLite has one writer at a time. Deliveries to one Inbox queue up in order, and those of other
// processes wait with small pauses until the context ends, whatever the connection's busy_timeout
// is: SQLite would not let go of it when the context ends. The key is the first thing written, so
// that a transaction never has to turn from reading to writing, which SQLite can refuse for good. A
// handler that writes with db in place of Tx(ctx) waits for itself.
//
// Each transaction waits for the disk. With [WithGroupCommit] deliveries that are under way at the
// same time share one, so that many are handled several times as fast.
//
// With a rollback journal, readers keep a commit waiting: for as long as the connection's
// busy_timeout says, or 5 seconds where it has none; then the handler runs again, up to five times
// within the context.
//
// When the disk is full, or the context of a writing statement ends, SQLite rolls the whole
// transaction back by itself, and what is written with Tx after that is kept at once, whatever
// becomes of the event. A handler should therefore return the error of a statement, and write
// nothing more.
//
// For more than one process set the journal mode to WAL, for example with modernc.org/sqlite:
// "file:app.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(3000)". A database in memory is its
// connection's own: use db.SetMaxOpenConns(1).
//
// # The table
//
// [Inbox.Migrate] makes it, and [Inbox.Schema] gives the statements for a migration tool of your
// own. It may be read at any time; it is named ittybit_inbox, or as [WithTable] says:
//
//	name         the endpoint's name, see WithName; empty by default
//	event_key    Event.Key, or what WithKey gives; the primary key together with name. One that is
//	             over 512 bytes long, or no text, is kept as "sha256:" and the digest.
//	event_type   such as task.completed
//	subject_id   the id of the task, media object or job; empty where there is none
//	outcome      handled or discarded; in MySQL pending, while a handler runs, or after it has
//	             committed a part by a CREATE TABLE, and failed
//	error        why it was discarded; at most 1,000 bytes; NULL where it was not
//	payload      the bytes that were signed, where WithPayloads asked for them, else NULL; in
//	             Postgres: SELECT convert_from(payload, 'UTF8')::jsonb
//	received_at  when the transaction that handled the event began: the time Prune goes by
//	handled_at   the same, or when Replay handled it again
//	seq          the order of Replay: in Postgres the transaction's id, in SQLite a number that
//	             grows. Rows from before this column have 0. In MySQL Replay gives a number to the
//	             rows that have 0, and NULL is a row without a payload.
//	run_id       in MySQL alone: the number of the run that a pending row is of
//
// A second table, ittybit_inbox_reconcile, has the checkpoint of [Inbox.Reconcile].
//
// Times have microseconds; in SQLite they are text in UTC, as 2025-01-10T12:34:56.000000Z, and in
// MySQL DATETIME(6) in UTC.
package sqlinbox
