package inboxtest

import (
	"context"
	"strconv"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"

	"github.com/ittybit/ittybit-go/internal/mariadbserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// MariaDB opens a database of MariaDB by way of a Wire. The parameters are those of the DSN, with
// their question mark.
func MariaDB(parameters string) func(t testing.TB) *Backend {
	return func(t testing.TB) *Backend {
		direct := mariadbserver.Database(t)
		b := &Backend{Dialect: sqlinbox.MySQL, Exec: execMySQL, DB: openSQL(t, "mysql", direct)}
		var address string
		b.Wire, address = newMySQLWire(t, direct)
		b.New = OverSQL(openSQL(t, "mysql", address+parameters), sqlinbox.MySQL)
		b.With = func(t testing.TB, more string) Inbox {
			separator := "&"
			if parameters == "" {
				separator = "?"
			}
			return sqlinbox.New(openSQL(t, "mysql", address+parameters+separator+more), sqlinbox.MySQL, sqlinbox.WithPayloads())
		}
		return b
	}
}

// OnMariaDB makes a database of MariaDB.
func OnMariaDB(t testing.TB, parameters string) Server {
	dsn := mariadbserver.Database(t)
	return Server{Dialect: sqlinbox.MySQL, Driver: "mysql", Source: dsn + parameters, DB: openSQL(t, "mysql", dsn)}
}

func execMySQL(ctx context.Context, query string, args ...any) error {
	query, args = Bind(sqlinbox.MySQL, query, args)
	return ExecSQL(ctx, query, args...)
}

func execFor(dialect sqlinbox.Dialect) execFunc {
	if dialect == sqlinbox.MySQL {
		return execMySQL
	}
	return ExecSQL
}

// Bind gives a statement with parameters $1, $2 and so on, and its arguments, as a dialect's driver
// wants them.
func Bind(dialect sqlinbox.Dialect, query string, args []any) (string, []any) {
	if dialect != sqlinbox.MySQL || len(args) == 0 {
		return query, args
	}
	var b strings.Builder
	var bound []any
	for {
		before, after, found := strings.Cut(query, "$")
		b.WriteString(before)
		if !found {
			return b.String(), bound
		}
		digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
		n, _ := strconv.Atoi(after[:digits]) // the tests' own statements
		b.WriteString("?")
		bound = append(bound, args[n-1])
		query = after[digits:]
	}
}
