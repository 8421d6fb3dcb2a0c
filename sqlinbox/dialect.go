package sqlinbox

import (
	"fmt"
	"strings"
	"time"
)

// Dialect is the kind of database.
type Dialect int

// The databases.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 9.5 and later, and what speaks its language, such as Supabase
	SQLite                      // SQLite 3.35 and later
)

// String names the dialect.
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "Postgres"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// sqliteTime is how times look in SQLite: as texts that sort.
const sqliteTime = "2006-01-02T15:04:05.000000Z"

// time gives what a time is in a statement's arguments, to the microsecond.
func (d Dialect) time(t time.Time) any {
	t = t.UTC().Truncate(time.Microsecond)
	if d == SQLite {
		return t.Format(sqliteTime)
	}
	return t
}

// timeScanner reads a time from a row.
type timeScanner struct{ time.Time }

// Scan implements [database/sql.Scanner].
func (s *timeScanner) Scan(value any) (err error) {
	switch v := value.(type) {
	case time.Time:
		s.Time = v.UTC()
	case string:
		s.Time, err = time.Parse(sqliteTime, v)
	case []byte:
		s.Time, err = time.Parse(sqliteTime, string(v))
	default:
		err = fmt.Errorf("%T is not a time", value)
	}
	return err
}

// SQLite's primary result codes.
const (
	sqliteBusy   = 5
	sqliteLocked = 6
)

// wantsAgain reports whether err says that the database wants the transaction once
// more: it met another one.
func (d Dialect) wantsAgain(err error) bool {
	if d == Postgres {
		return wraps(err, func(err error) bool {
			state, ok := err.(interface{ SQLState() string })
			return ok && (state.SQLState() == "40001" || state.SQLState() == "40P01")
		}, maxErrorDepth)
	}
	return wraps(err, func(err error) bool {
		if coded, ok := err.(interface{ Code() int }); ok {
			code := coded.Code() & 0xff
			return code == sqliteBusy || code == sqliteLocked
		}
		// Drivers without such a method; a type of its own for each of them is not to be had here.
		switch err.(type) { //nolint:errorlint // wraps walks the tree
		case interface{ Unwrap() error }, interface{ Unwrap() []error }:
			return false // what it wraps is asked
		}
		text := err.Error()
		return strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked")
	}, maxErrorDepth)
}

// maxErrorDepth bounds the walk through an error, which may turn in a circle.
const maxErrorDepth = 100

// wraps reports whether match accepts err or anything in it.
func wraps(err error, match func(error) bool, depth int) bool {
	if err == nil || depth == 0 {
		return false
	}
	if match(err) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // it walks the tree by itself
	case interface{ Unwrap() error }:
		return wraps(e.Unwrap(), match, depth-1)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if wraps(inner, match, depth-1) {
				return true
			}
		}
	}
	return false
}
