// Package pgxinbox is package sqlinbox for pgx: every event is handled once, in a transaction that
// handlers get as a [pgx.Tx], for code that sqlc generates for pgx, CopyFrom and batches.
//
//	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
//	…
//	inbox := pgxinbox.New(pool)
//	if err := errors.Join(inbox.Migrate(ctx), inbox.Check(ctx)); err != nil {
//		return err
//	}
//	handle := func(ctx context.Context, e *ittybit.Event) error {
//		return queries.WithTx(pgxinbox.Tx(ctx)).MarkChecked(ctx, e.Task.ID)
//	}
//	handler := inbox.Wrap(ittybit.EventHandlerFunc(handle))
//	webhook, err := ittybit.NewWebhookHandler(apiKey, handler)
//
// The table, the guarantees and the options are those of package [sqlinbox], and an inbox of one
// and an inbox of the other may share a table. What differs:
//
//   - A delivery takes three round trips to the server, once its connection has prepared the
//     statements: BEGIN with the key, a statement of the handler's, and COMMIT. Through
//     database/sql they are four.
//   - The inbox's statements are run as the pool's configuration says, like the handlers' own:
//     prepared under a name, where it says nothing. A pooler in transaction mode (PgBouncer,
//     Supabase's) needs default_query_exec_mode=exec in the connection's URL. [Inbox.Check] finds
//     where it is missing.
//   - A handler that ended the transaction by SQL of its own is noticed, and the event comes again.
package pgxinbox
