package core

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Dialect is what a kind of database has of its own. Each has a file.
type Dialect struct {
	// Name names the dialect in error texts.
	Name string
	// SingleWriter says that one transaction at a time writes to the whole database.
	SingleWriter bool
	// Schemas says that a schema may stand before a table's name.
	Schemas bool
	// quote stands on both sides of a name.
	quote string

	// statements gives the statements on one table.
	statements func(Table) statements
	// retryable reports whether an error asks for the transaction once more.
	retryable func(error) bool
	// fix says what to do about an error, or nothing.
	fix func(err error, table Table) string
	// isThere reports whether an error says that what a statement of upgrade adds is there. Nil
	// where none does.
	isThere func(error) bool
	// time gives a time as an argument of a statement, to the microsecond.
	time func(time.Time) any
	// scanTime gives what a column with a time is scanned into.
	scanTime func(*time.Time) any
	// check finds what would make deliveries fail, or an acknowledged event be lost.
	check func(*Inbox, *checker)
}

// statements are all statements on one table. Their parameters are numbered in the order in
// which they first appear.
type statements struct {
	create        []string // makes the table and its indexes where they are missing
	upgrade       []string // from the layout before seq, followed by create
	layout        string   // whether the table, its column seq, and its indexes and the checkpoints are there
	layoutArgs    []any
	migrationLock string // keeps other migrations waiting; empty where making a table does so
	// migrationUnlock lets them go on, where the end of the transaction does not. Then
	// migrationLock gives 1 where it has the lock.
	migrationUnlock string
	lock            string // makes the transaction the one that writes; empty where many may
	insert          string
	pending         *pendingStatements // nil: a commit fails where the transaction was undone
	seq             bool               // insert takes a number for seq as its last argument
	mark            string             // an event as handled, and gives its payload
	prune           string
	keyColumn       string            // event_key in a list of columns
	receivedColumn  string            // received_at in a list of columns
	adopt           string            // takes over the rows of another cluster; empty where there is none
	numbers         *numberStatements // nil: insert gives seq
	bound           string            // gives the seq that no transaction under way can be below; empty: none
	reconcile       reconcileStatements
	next            string // gives when the first event was received that Replay left out; empty: none is
}

// pendingStatements are for a database in which a transaction can be rolled back without its commit
// failing, and a part of it be committed before. There, insert leaves a row whose outcome is
// pending, with the number of the run, and takes over one that is there. The last statement before
// the commit finds it only if nothing was rolled back. A pending row that was committed is handled
// again.
type pendingStatements struct {
	outcome      string // of the row that insert took over
	finish       string // sets the outcome
	release      string // the same without a key: it fails where what lock made is gone
	payload      string // of the event that mark took over
	finishReplay string // marks it as handled
}

// numberStatements are for a database that gives no number in the order of commits: Replay numbers
// what is committed, so that what is committed later gets a higher number.
type numberStatements struct {
	list   string // keys of rows without a number
	next   string // makes the next number, and keeps others from doing so until the commit
	number string // gives that to rows; the keys, and a parenthesis, stand at its end
}

// Literal is an argument that stands in the text of a statement as it is.
type Literal string

// Table is a checked table's name.
type Table struct {
	Name   string // as it was given
	Quoted string
}

// maxTable leaves room for an index's suffix in the 63 bytes of a PostgreSQL name.
const maxTable = 48

// Table checks and quotes a table's name.
func (d *Dialect) Table(name string) (Table, error) {
	plain := regexp.MustCompile(fmt.Sprintf(`^[a-z_][a-z0-9_]{0,%d}$`, maxTable-1))
	parts := strings.Split(name, ".")
	ok := len(parts) == 1 || len(parts) == 2 && d.Schemas
	for _, part := range parts {
		ok = ok && plain.MatchString(part)
	}
	if !ok {
		want := "a name"
		if d.Schemas {
			want = "[schema.]name"
		}
		return Table{}, fmt.Errorf("invalid table name %q: want %s in a-z, 0-9 and _", name, want)
	}
	return Table{name, d.quote + strings.Join(parts, d.quote+"."+d.quote) + d.quote}, nil
}

// The suffixes of the indexes' names.
const (
	receivedSuffix = "_received_at"
	replaySuffix   = "_replay"
	// reconcileSuffix is that of the table of checkpoints.
	reconcileSuffix = "_reconcile"
)

// index names an index, which lies in the schema of its table.
func (t Table) index(suffix string) string {
	return t.Name[strings.IndexByte(t.Name, '.')+1:] + suffix
}

// suffixed gives the quoted name with a suffix: that of an index, or of another table.
func (t Table) suffixed(suffix string) string {
	last := len(t.Quoted) - 1
	return t.Quoted[:last] + suffix + t.Quoted[last:]
}

// createStatements are alike but for the types.
func createStatements(t Table, text, blob, timestamp, seq string) []string {
	return []string{
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	name        %[2]s NOT NULL,
	event_key   %[2]s NOT NULL,
	event_type  %[2]s NOT NULL,
	subject_id  %[2]s NOT NULL,
	outcome     %[2]s NOT NULL,
	error       %[2]s,
	payload     %[3]s,
	received_at %[4]s NOT NULL,
	handled_at  %[4]s NOT NULL,
	seq         %[5]s,
	PRIMARY KEY (name, event_key)
)`, t.Quoted, text, blob, timestamp, seq),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %q ON %s (name, received_at)`, t.index(receivedSuffix), t.Quoted),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %q ON %s (name, seq, received_at) WHERE payload IS NOT NULL`,
			t.index(replaySuffix), t.Quoted),
	}
}

// maxErrorDepth bounds the walk through an error, which may wrap itself.
const maxErrorDepth = 100

// find gives the first error in the tree of err that match accepts, or nil.
func find(err error, match func(error) bool) error { return findWithin(err, match, maxErrorDepth) }

func findWithin(err error, match func(error) bool, depth int) error {
	if err == nil || depth == 0 {
		return nil
	}
	if match(err) {
		return err
	}
	switch e := err.(type) { //nolint:errorlint // it walks the tree by itself
	case interface{ Unwrap() error }:
		return findWithin(e.Unwrap(), match, depth-1)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if found := findWithin(inner, match, depth-1); found != nil {
				return found
			}
		}
	}
	return nil
}
