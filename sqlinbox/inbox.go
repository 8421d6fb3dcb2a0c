package sqlinbox

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/ittybit/ittybit-go"
)

// DefaultTable is the name of the table, unless [WithTable] gives another.
const DefaultTable = "ittybit_inbox"

// Inbox remembers in a table which events were handled. Make one with [New]; it is safe
// for concurrent use.
type Inbox struct {
	db      *sql.DB
	dialect Dialect
	cfg     config
	table   string        // quoted
	writer  chan struct{} // holds the turn to write; nil where the database has many writers
}

type config struct {
	name      string
	table     string
	payloads  bool
	key       func(*ittybit.Event) string
	isolation sql.IsolationLevel
}

// Option sets up an [Inbox].
type Option interface{ apply(*config) }

type option func(*config)

func (o option) apply(c *config) { o(c) }

// WithName names the endpoint. Two endpoints that share one table need a name each, or an
// event that one has handled never reaches the other. It is a text of at most 255 bytes;
// anything else panics. The default is empty.
func WithName(name string) Option {
	return option(func(c *config) {
		if len(name) > maxText || clean(name) != name {
			panic(fmt.Sprintf("sqlinbox: WithName: %q is not a text of at most %d bytes", name, maxText))
		}
		c.name = name
	})
}

// WithTable names the table: lower-case ASCII letters, digits and underscores, not
// beginning with a digit, at most 48 of them. In Postgres a schema may stand before it, as in
// "private.inbox". The default is [DefaultTable].
func WithTable(table string) Option { return option(func(c *config) { c.table = table }) }

// WithPayloads keeps the events' payloads, for audits and for [Inbox.Replay]. They may
// hold personal data, and stay until [Inbox.Prune] removes them, or you set them to NULL.
func WithPayloads() Option { return option(func(c *config) { c.payloads = true }) }

// WithKey replaces [ittybit.Event.Key] as what names an event. Events with an empty key are
// handled each time, each in a transaction, and leave nothing in the table. A nil function panics.
func WithKey(key func(*ittybit.Event) string) Option {
	return option(func(c *config) {
		if key == nil {
			panic("sqlinbox: WithKey: nil function")
		}
		c.key = key
	})
}

// WithIsolation sets the isolation level of the transactions that handlers run in. The
// default is the database's own, in Postgres READ COMMITTED as a rule. The guarantee holds with each; with
// [sql.LevelRepeatableRead] and [sql.LevelSerializable] handlers run again more often.
// SQLite's transactions are serializable, and it takes no other level.
func WithIsolation(level sql.IsolationLevel) Option {
	return option(func(c *config) { c.isolation = level })
}

// New makes an inbox in db. It does not touch the database yet: see [Inbox.Migrate]. A
// mistake in the program (a nil db, an unknown dialect, a table's name that is none, an
// isolation level that SQLite does not have) panics, as [net/http.Handle] does: it should
// show at start-up.
func New(db *sql.DB, dialect Dialect, opts ...Option) *Inbox {
	if db == nil {
		panic("sqlinbox: New: nil db")
	}
	if dialect != Postgres && dialect != SQLite {
		panic(fmt.Sprintf("sqlinbox: New: unknown dialect %d", int(dialect)))
	}
	cfg := config{table: DefaultTable, key: (*ittybit.Event).Key}
	for _, opt := range opts {
		opt.apply(&cfg)
	}
	in := &Inbox{db: db, dialect: dialect, cfg: cfg, table: quoteTable(dialect, cfg.table)}
	if dialect == SQLite {
		in.writer = make(chan struct{}, 1)
		if cfg.isolation != sql.LevelDefault && cfg.isolation != sql.LevelSerializable {
			panic(fmt.Sprintf("sqlinbox: WithIsolation: SQLite has no level %v", cfg.isolation))
		}
	}
	return in
}

// maxTable leaves room for the index's suffix in the 63 bytes of a Postgres name.
const maxTable = 48

// quoteTable checks and quotes a table's name.
func quoteTable(dialect Dialect, table string) string {
	plain := regexp.MustCompile(fmt.Sprintf(`^[a-z_][a-z0-9_]{0,%d}$`, maxTable-1))
	parts := strings.Split(table, ".")
	ok := len(parts) == 1 || len(parts) == 2 && dialect == Postgres
	for _, part := range parts {
		ok = ok && plain.MatchString(part)
	}
	if !ok {
		panic(fmt.Sprintf("sqlinbox: WithTable: %q is no plain name of a table", table))
	}
	return `"` + strings.Join(parts, `"."`) + `"`
}

// Wrap gives a handler that calls next once for each event, inside a transaction that
// [Tx] gives, as the package documentation says. A nil next panics. What it returns must
// not be called inside itself, nor inside another Inbox of the same table and name, nor in SQLite of the
// same database: it would wait for itself, and gives an error instead.
func (in *Inbox) Wrap(next ittybit.EventHandler) ittybit.EventHandler {
	if next == nil {
		panic("sqlinbox: Wrap: nil handler")
	}
	return &handler{in, next}
}

// Tx gives the transaction that the handler runs in: what it writes with it is kept
// exactly if the event is. The handler must not commit it or roll it back, nor use it after it
// returned. Pass ctx to its methods too, so that a slow statement ends in time.
//
// Outside a handler that [Inbox.Wrap] made, or [Inbox.Replay] called, Tx panics: it is a mistake in
// the program, which should show at the first event, and not as a write that nothing protects.
func Tx(ctx context.Context) *sql.Tx {
	run := runOf(ctx)
	if run == nil {
		panic("sqlinbox: Tx: the context is not that of a handler which Inbox.Wrap or Inbox.Replay called")
	}
	return run.tx
}

// runKey is the context key of the run that a handler is in.
type runKey struct{}

// run is one run of a handler.
type run struct {
	inbox *Inbox
	tx    *sql.Tx
	outer *run // inside which it is; nil as a rule
}

// runOf gives the run that ctx is of, or nil.
func runOf(ctx context.Context) *run {
	r, _ := ctx.Value(runKey{}).(*run)
	return r
}

// inside reports whether a transaction of in, begun in ctx, would wait for one that waits for it.
func (in *Inbox) inside(ctx context.Context) bool {
	for r := runOf(ctx); r != nil; r = r.outer {
		other := r.inbox
		if other.db == in.db && (in.dialect == SQLite || other.table == in.table && other.cfg.name == in.cfg.name) {
			return true
		}
	}
	return false
}

// Limits of what is kept, in bytes.
const (
	maxKey   = 512 // a Postgres index takes some 2,700
	maxText  = 255
	maxError = 1000
)

// clean gives a text that both databases take: valid UTF-8 without NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// cut cleans a text and shortens it to at most limit bytes.
func cut(s string, limit int) string {
	s = clean(s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
