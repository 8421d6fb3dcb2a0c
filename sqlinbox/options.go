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

// WithTable names the table: lower-case ASCII letters, digits and underscores, not
// beginning with a digit, at most 48 of them. In Postgres a schema may stand before it, as in
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
// back afterwards: below that, a power cut can lose what was acknowledged. Postgres panics at it:
// there the setting is synchronous_commit.
func WithoutSync() Option { return option(func(c *core.Config) { c.NoSync = true }) }
