package sqlinbox

import (
	"database/sql"
	"fmt"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// DefaultTable is the name of the table, unless [WithTable] gives another.
const DefaultTable = core.DefaultTable

// Option sets up an [Inbox], or one of package pgxinbox.
type Option interface{ core.Option }

type option func(*core.Config)

// Apply is called by New.
func (o option) Apply(c *core.Config) { o(c) }

// WithName names the endpoint. Two endpoints that share one table need a name each, or an
// event that one has handled never reaches the other. It is a text of at most 255 bytes;
// anything else panics. The default is empty.
func WithName(name string) Option {
	return option(func(c *core.Config) {
		if len(name) > core.MaxText || core.Clean(name) != name {
			panic(fmt.Sprintf("sqlinbox: WithName: %q must be valid UTF-8 without NUL, at most %d bytes", name, core.MaxText))
		}
		c.Name = name
	})
}

// WithTable names the table: lower-case ASCII letters, digits and underscores, not beginning with a
// digit, at most 48 of them. In Postgres a schema may stand before it, in MySQL a database, as in
// "private.inbox". The default is [DefaultTable].
func WithTable(table string) Option { return option(func(c *core.Config) { c.Table = table }) }

// WithPayloads keeps the events' payloads, for audits and for [Inbox.Replay]. They may
// hold personal data, and stay until [Inbox.Prune] removes them, or you set them to NULL.
func WithPayloads() Option { return option(func(c *core.Config) { c.Payloads = true }) }

// WithKey replaces [ittybit.Event.Key] as what names an event. Events with an empty key are
// handled each time, each in a transaction, and leave nothing in the table. A nil function panics.
func WithKey(key func(*ittybit.Event) string) Option {
	return option(func(c *core.Config) {
		if key == nil {
			panic("sqlinbox: WithKey: nil function")
		}
		c.Key = key
	})
}

// WithIsolation sets the isolation level of the transactions that handlers run in. The default is
// the database's own, in Postgres READ COMMITTED as a rule. The guarantee holds with each; with
// [sql.LevelRepeatableRead] and [sql.LevelSerializable] handlers run again more often. SQLite's
// transactions are serializable, and it takes no other level.
func WithIsolation(level sql.IsolationLevel) Option {
	return option(func(c *core.Config) { c.Isolation = level })
}

// WithoutSync leaves PRAGMA synchronous of SQLite as the connection has it. Without this option a
// transaction of the inbox raises it, to FULL in WAL mode and to EXTRA in the others, and puts it
// back afterwards: below that, a power cut can lose what was acknowledged. In Postgres and MySQL
// New panics at it: there the server's settings count, which [Inbox.Check] looks at.
func WithoutSync() Option { return option(func(c *core.Config) { c.NoSync = true }) }

// WithGroupCommit has up to n deliveries that wait for SQLite's one writer committed together, so
// that they share the sync to the disk. It is off by default; 32 or 64 are good values, and 1 is
// the same as off. Each member of a group has a savepoint of its own: one that fails, panics, ends
// its goroutine or is discarded takes back only its own writes. Each is answered after the commit.
// Handlers run one after the other, as they do without this option, each in the goroutine of its
// delivery. Nobody waits for a group to fill.
//
// A group takes on no member any more after 25 ms, or shortly before the deadline of one that waits
// for the commit. A handler that took longer than 25 ms runs alone at the next event of that type
// and kind, because the group would wait for it. Where SQLite or a handler has ended the shared
// transaction, or the commit fails, nobody is answered, and all of the group run again, each in a
// transaction of its own: what was committed after all is then found as handled before, and
// answered as such. Events without a key (see [WithKey]) are not grouped.
//
// A handler must not keep its [Tx] after it returned: what it then writes becomes part of another
// delivery. And one whose statement failed so that SQLite rolled everything back (its context ended
// while it wrote, the disk is full) must not write on, as the package documentation says.
//
// Below 1 it panics, and so does New with it in Postgres and MySQL, which commit transactions
// together by themselves.
func WithGroupCommit(n int) Option {
	if n < 1 {
		panic(fmt.Sprintf("sqlinbox: WithGroupCommit: %d must be at least 1", n))
	}
	return option(func(c *core.Config) { c.Group = n })
}
