// Package libsql_test runs the tests of sqlinbox with github.com/tursodatabase/go-libsql.
package libsql_test

import (
	"testing"

	_ "github.com/tursodatabase/go-libsql" // the driver "libsql"
	_ "modernc.org/sqlite"                 // the driver "sqlite"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

func TestDriver(t *testing.T) {
	for _, journalMode := range []string{"wal", "delete"} {
		t.Run(journalMode, func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("libsql", journalMode)) })
		t.Run(journalMode+", groups", func(t *testing.T) {
			inboxtest.Run(t, inboxtest.SQLite("libsql", journalMode, inboxtest.Grouped()))
		})
	}
}

// Whichever call of the driver fails.
func TestGroups(t *testing.T) { inboxtest.TogetherOnSQLite(t, "libsql", inboxtest.Exhaustive) }

func TestCrash(t *testing.T) {
	t.Run("each by itself", func(t *testing.T) { inboxtest.Crash(t, inboxtest.OnSQLite(t, "libsql", "wal", 0)) })
	t.Run("groups", func(t *testing.T) { inboxtest.Crash(t, inboxtest.OnSQLite(t, "libsql", "wal", 32)) })
}

func TestDiskFull(t *testing.T) { inboxtest.DiskFull(t, "libsql") }

// Beside modernc.org/sqlite, in one run.
func BenchmarkDriver(b *testing.B) { inboxtest.CompareDrivers(b, "libsql") }
