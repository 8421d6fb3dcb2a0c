package sqlinbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
)

// comeBackAfter is what a sender is asked to wait when the database failed.
const comeBackAfter = time.Second

var (
	// errBefore says that the key is in the table.
	errBefore = errors.New("sqlinbox: handled before")
	// errNested says that an Inbox waits for itself.
	errNested = errors.New("sqlinbox: the handler is inside another one, for which it would wait for ever: wrap it once, and give Replay the handler itself")
)

// handler is what [Inbox.Wrap] makes.
type handler struct {
	inbox *Inbox
	next  ittybit.EventHandler
}

// HandleEvent implements [ittybit.EventHandler].
func (h *handler) HandleEvent(ctx context.Context, e *ittybit.Event) error {
	if h.inbox.inside(ctx) {
		return errNested
	}
	d := &delivery{handler: h, event: e, key: storedKey(h.inbox.cfg.key(e))}
	err := h.inbox.transact(ctx, d.insert, d.handle)
	switch {
	case err == nil:
		return d.verdict
	case errors.Is(err, errBefore):
		return duplicate(ctx, e)
	default:
		return h.inbox.comeBack(err)
	}
}

// comeBack asks for the event once more, if the database is why it failed. A handler's own
// error stays as it is.
func (in *Inbox) comeBack(err error) error {
	var own *databaseError
	if errors.As(err, &own) || in.dialect.wantsAgain(err) {
		return ittybit.RetryLater(comeBackAfter, err)
	}
	return err
}

// delivery is an event on its way through one handler.
type delivery struct {
	*handler
	event   *ittybit.Event
	key     string
	verdict error // the handler's, where it settles the event
}

// insert puts the key into the table. While another transaction has done so, it waits for that one's
// end.
func (d *delivery) insert(ctx context.Context, tx *sql.Tx) error {
	in := d.inbox
	if d.key == "" {
		if err := in.takeLock(ctx, tx); err != nil {
			return err
		}
		return setSavepoint(ctx, tx)
	}
	var payload any
	if raw := d.event.RawJSON(); in.cfg.payloads && raw != nil {
		payload = []byte(raw)
	}
	now := in.dialect.time(time.Now())
	//nolint:gosec // New has checked the table's name
	result, err := tx.ExecContext(ctx, `INSERT INTO `+in.table+`
		(name, event_key, event_type, subject_id, outcome, payload, received_at, handled_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name, event_key) DO NOTHING`,
		in.cfg.name, d.key, cut(string(d.event.Type), maxText), cut(subjectID(d.event), maxText),
		string(ittybit.OutcomeHandled), payload, now, now)
	if err != nil {
		return failed("adding the event's key", because(ctx, err))
	}
	rows, err := result.RowsAffected()
	if err != nil {
		return failed("adding the event's key", err)
	}
	if rows == 0 {
		return errBefore
	}
	return setSavepoint(ctx, tx)
}

const savepoint = "sqlinbox"

// setSavepoint sets the point to which a discarded event is rolled back: what the handler wrote
// goes, and the key stays.
func setSavepoint(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT "+savepoint); err != nil {
		return failed("setting the savepoint", because(ctx, err))
	}
	return nil
}

// takeLock makes a transaction of SQLite the one that may write, for a handler that may
// read first.
func (in *Inbox) takeLock(ctx context.Context, tx *sql.Tx) error {
	if in.dialect != SQLite {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+in.table+" WHERE false"); err != nil { //nolint:gosec // New has checked the table's name
		return failed("taking the lock", because(ctx, err))
	}
	return nil
}

// handle calls the handler. It gives nil where the event is settled.
func (d *delivery) handle(ctx context.Context, tx *sql.Tx) error {
	err := d.next.HandleEvent(context.WithValue(ctx, runKey{}, &run{d.inbox, tx, runOf(ctx)}), d.event)
	if err == nil {
		d.verdict = nil
		return nil
	}
	if d.inbox.dialect.wantsAgain(err) || !settles(err) {
		return err
	}
	d.verdict = err
	if !discards(err) {
		return nil // handled before, it says
	}
	return d.discard(context.WithoutCancel(ctx), tx, err)
}

// discard takes back what the handler wrote, and notes why.
func (d *delivery) discard(ctx context.Context, tx *sql.Tx, reason error) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT "+savepoint); err != nil {
		return failed("rolling back to the savepoint", err)
	}
	if d.key == "" {
		return nil
	}
	//nolint:gosec // New has checked the table's name
	_, err := tx.ExecContext(ctx, `UPDATE `+d.inbox.table+` SET outcome = $1, error = $2 WHERE name = $3 AND event_key = $4`,
		string(ittybit.OutcomeDiscarded), cut(fmt.Sprint(reason), maxError), d.inbox.cfg.name, d.key) // fmt bears an error that panics
	if err != nil {
		return failed("noting the discarded event", err)
	}
	return nil
}

// storedKey gives a key as the table has it.
func storedKey(key string) string {
	if len(key) <= maxKey && clean(key) == key {
		return key
	}
	digest := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(digest[:])
}

// subjectID gives the id of what the event is about.
func subjectID(e *ittybit.Event) string {
	switch {
	case e.Task != nil:
		return e.Task.ID
	case e.Media != nil:
		return e.Media.ID
	case e.Job != nil:
		return e.Job.ID
	}
	return ""
}
