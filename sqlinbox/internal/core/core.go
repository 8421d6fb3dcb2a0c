// Package core is what the inboxes of sqlinbox and pgxinbox share: it handles events once,
// over whatever runs the statements.
//
//	Wrap → transact → Database.Begin (BEGIN, and the key) → the event handler → Commit
//
// A [Dialect] has the statements, a [Database] runs them.
package core

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ittybit/ittybit-go"
)

// DefaultTable is the name of the table.
const DefaultTable = "ittybit_inbox"

// Config is what options set.
type Config struct {
	Name      string
	Table     string
	Payloads  bool
	Key       func(*ittybit.Event) string
	Isolation sql.IsolationLevel
	NoSync    bool // SQLite: leave PRAGMA synchronous as it is
	Group     int  // SQLite: how many deliveries are committed together; 0: each by itself
	// GroupAlways makes a group of one delivery too, for tests.
	GroupAlways bool
}

// Option sets up an inbox.
type Option interface{ Apply(*Config) }

// Configure gives the defaults as options change them.
func Configure(opts []Option) Config {
	cfg := Config{Table: DefaultTable, Key: (*ittybit.Event).Key}
	for _, opt := range opts {
		opt.Apply(&cfg)
	}
	return cfg
}

// Statement is a statement of SQL.
type Statement struct {
	SQL  string // empty: nothing is to be done
	Args []any
	Into []any // what its first row is scanned into; nil where its rows don't matter
	// Again says that the transaction will run it again. Such a statement has no Into.
	Again bool
}

// Row is a row that a query has found.
type Row interface{ Scan(dest ...any) error }

// Database runs statements and begins transactions. Its errors are wrapped by [Failed].
type Database interface {
	// Begin begins a transaction and runs its first statement, waiting for locks until ctx ends. It
	// asks first again when it repeats that. From then on the transaction outlives ctx. The number
	// is that of Tx.Run.
	Begin(ctx context.Context, first func() Statement) (Tx, int64, error)
	// Query runs a statement outside of any transaction, and calls scan for each row.
	Query(ctx context.Context, s Statement, scan func(Row) error) error
	// Pool is what the database was made of. Two that have the same one are the same.
	Pool() any
	// ProbeStatements runs one statement with an argument on two connections, each of which is then
	// closed.
	ProbeStatements(ctx context.Context) error
}

// Tx is a transaction.
type Tx interface {
	// Run runs a statement. It gives the number of rows that it changed or, with Into, 1 or 0.
	Run(ctx context.Context, s Statement) (int64, error)
	// Commit commits. With an error it is not known whether it went through.
	Commit() error
	// Rollback rolls back. Its error says that the transaction was not there any more, and why. It
	// gives none where it was ended by Rollback or Commit.
	Rollback() error
	// Close rolls back what was not committed, and gives the connection back.
	Close()
	// Value is the transaction as handlers get it.
	Value() any
}

// Inbox handles events once.
type Inbox struct {
	db      Database
	dialect *Dialect
	cfg     Config
	table   Table
	sql     statements
	groups  *groupQueue // nil: each delivery is committed by itself
}

// New makes an inbox. Its error is a mistake in the program.
func New(db Database, dialect *Dialect, cfg Config) (*Inbox, error) {
	table, err := dialect.Table(cfg.Table)
	if err != nil {
		return nil, fmt.Errorf("WithTable: %w", err)
	}
	in := &Inbox{db: db, dialect: dialect, cfg: cfg, table: table, sql: dialect.statements(table)}
	switch {
	case cfg.Group > 0 && !dialect.SingleWriter:
		return nil, fmt.Errorf("WithGroupCommit: only for SQLite: %s commits transactions together by itself", dialect.Name)
	case cfg.Group > 1:
		in.groups = &groupQueue{max: cfg.Group}
	}
	return in, nil
}

// runKey is the context key of the run that a handler is in.
type runKey struct{}

// run is one run of a handler.
type run struct {
	inbox *Inbox
	tx    Tx
	outer *run // inside which it is; nil as a rule
}

func runOf(ctx context.Context) *run {
	r, _ := ctx.Value(runKey{}).(*run)
	return r
}

// call calls a handler in a transaction.
func (in *Inbox) call(ctx context.Context, next ittybit.EventHandler, tx Tx, e *ittybit.Event) error {
	return next.HandleEvent(context.WithValue(ctx, runKey{}, &run{in, tx, runOf(ctx)}), e)
}

// TxValue gives the transaction of the handler that ctx is of, or nil.
func TxValue(ctx context.Context) any {
	if r := runOf(ctx); r != nil {
		return r.tx.Value()
	}
	return nil
}

var errNested = errors.New("sqlinbox: nested Wrap or Replay would deadlock: wrap a handler once, and pass Replay the unwrapped handler")

// nested reports whether a transaction begun in ctx would wait for one that waits for it.
func (in *Inbox) nested(ctx context.Context) bool {
	for r := runOf(ctx); r != nil; r = r.outer {
		other := r.inbox
		if other.db.Pool() == in.db.Pool() &&
			(in.dialect.SingleWriter || other.table == in.table && other.cfg.Name == in.cfg.Name) {
			return true
		}
	}
	return false
}

// Limits of what is stored, in bytes.
const (
	maxKey   = 512 // a PostgreSQL index takes some 2,700
	MaxText  = 255
	maxError = 1000
)

// Clean gives a text that every database takes: valid UTF-8 without NUL.
func Clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// cut cleans a text and shortens it to at most limit bytes.
func cut(s string, limit int) string {
	s = Clean(s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
