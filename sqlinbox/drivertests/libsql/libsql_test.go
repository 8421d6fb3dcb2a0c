// Package libsql_test runs the tests of sqlinbox with github.com/tursodatabase/go-libsql.
package libsql_test

import (
	"testing"

	_ "github.com/tursodatabase/go-libsql" // the driver "libsql"
	_ "modernc.org/sqlite"                 // the driver "sqlite"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

func TestDriver(t *testing.T) { inboxtest.RunOnSQLite(t, "libsql") }

// Whichever call of the driver fails.
func TestGroups(t *testing.T) { inboxtest.TogetherOnSQLite(t, "libsql", inboxtest.Exhaustive) }

func TestCrash(t *testing.T) { inboxtest.CrashOnSQLite(t, "libsql") }

func TestDiskFull(t *testing.T) { inboxtest.DiskFull(t, "libsql") }

// Beside modernc.org/sqlite, in one run.
func BenchmarkDriver(b *testing.B) { inboxtest.CompareDrivers(b, "libsql") }
