package core

import (
	"context"
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
	first := Statement{SQL: in.sql.migrationLock}
	if first.SQL == "" {
		first.SQL = in.sql.create[0] // where there is one writer, it has the lock with the table
	}
	return in.explain(in.transact(ctx, func() Statement { return first }, func(tx Tx, _ int64) error {
		var found layout // under the lock: another process may have migrated
		s := in.layoutStatement(&found)
		if _, err := tx.Run(ctx, s); err != nil {
			return Failed("looking for the table", err)
		}
		statements := in.sql.create
		if found.table && !found.seq {
			statements = append(in.sql.upgrade[:len(in.sql.upgrade):len(in.sql.upgrade)], statements...)
		}
		for _, statement := range statements {
			if _, err := tx.Run(ctx, Statement{SQL: statement}); err != nil {
				return Failed("making the table", err)
			}
		}
		return nil
	}))
}

func (in *Inbox) layoutStatement(found *layout) Statement {
	args := []any{in.table.Name, in.table.index(receivedSuffix), in.table.index(replaySuffix), in.table.index(reconcileSuffix)}
	if in.dialect.Schemas {
		args = []any{
			in.table.Quoted, in.table.quotedIndex(receivedSuffix), in.table.quotedIndex(replaySuffix), in.table.quotedIndex(reconcileSuffix),
		}
	}
	return Statement{SQL: in.sql.layout, Args: args, Into: []any{&found.table, &found.seq, &found.indexes}}
}

func (in *Inbox) layout(ctx context.Context) (found layout, err error) {
	s := in.layoutStatement(&found)
	err = in.db.Query(ctx, s, func(row Row) error { return row.Scan(s.Into...) })
	if err != nil {
		return layout{}, Failed("looking for the table", err)
	}
	return found, nil
}
