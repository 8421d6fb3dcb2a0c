package core

import (
	"context"
	"errors"
	"strings"
)

// Schema gives the statements that make what is missing.
func (in *Inbox) Schema() string { return strings.Join(in.sql.create, ";\n\n") + ";\n" }

// layout says what there is of the table.
type layout struct {
	table, seq, indexes bool
}

func (l layout) current() bool { return l.table && l.seq && l.indexes }

// Migrate makes what is missing. Where all is there, it locks nothing.
func (in *Inbox) Migrate(ctx context.Context) error {
	found, err := in.layout(ctx)
	if err == nil && found.current() {
		return nil
	}
	if err != nil && !in.dialect.retryable(err) {
		return in.explain(err)
	}
	var locked *int64
	first := Statement{SQL: in.sql.migrationLock}
	switch {
	case first.SQL == "":
		first.SQL = in.sql.create[0] // where there is one writer, it has the lock with the table
	case in.sql.migrationUnlock != "":
		first.Into = []any{&locked}
	}
	return in.explain(in.transact(ctx, func() Statement { return first }, func(tx Tx, _ int64) error {
		if in.sql.migrationUnlock != "" {
			if locked == nil || *locked != 1 {
				return Failed("waiting for another migration", errLocked)
			}
			defer func() { // also where ctx has ended
				ctx, cancel := cleanupContext(ctx)
				defer cancel()
				_, _ = tx.Run(ctx, Statement{SQL: in.sql.migrationUnlock}) // a connection that is lost has no lock
			}()
		}
		var found layout // under the lock: another process may have migrated
		s := in.layoutStatement(&found)
		if _, err := tx.Run(ctx, s); err != nil {
			return Failed("looking for the table", err)
		}
		statements := in.sql.create
		if found.table && (!found.seq || in.dialect.isThere != nil) {
			statements = append(in.sql.upgrade[:len(in.sql.upgrade):len(in.sql.upgrade)], statements...)
		}
		for _, statement := range statements {
			_, err := tx.Run(ctx, Statement{SQL: statement})
			if err != nil && (in.dialect.isThere == nil || !in.dialect.isThere(err)) {
				return Failed("making the table", err)
			}
		}
		return nil
	}))
}

var errLocked = errors.New("it has the lock for a minute already")

func (in *Inbox) layoutStatement(found *layout) Statement {
	return Statement{SQL: in.sql.layout, Args: in.sql.layoutArgs, Into: []any{&found.table, &found.seq, &found.indexes}}
}

func (in *Inbox) layout(ctx context.Context) (found layout, err error) {
	s := in.layoutStatement(&found)
	err = in.db.Query(ctx, s, func(row Row) error { return row.Scan(s.Into...) })
	if err != nil {
		return layout{}, Failed("looking for the table", err)
	}
	return found, nil
}
