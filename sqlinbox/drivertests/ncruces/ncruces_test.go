// Package ncruces_test runs the tests of sqlinbox with github.com/ncruces/go-sqlite3/driver.
package ncruces_test

import (
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver" // the driver "sqlite3"
	_ "modernc.org/sqlite"                   // the driver "sqlite"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

func TestDriver(t *testing.T) { inboxtest.RunOnSQLite(t, "sqlite3") }

// Whichever call of the driver fails.
func TestGroups(t *testing.T) { inboxtest.TogetherOnSQLite(t, "sqlite3", inboxtest.Few) }

func TestCrash(t *testing.T) { inboxtest.CrashOnSQLite(t, "sqlite3") }

func TestDiskFull(t *testing.T) { inboxtest.DiskFull(t, "sqlite3") }

// Beside modernc.org/sqlite, in one run.
func BenchmarkDriver(b *testing.B) { inboxtest.CompareDrivers(b, "sqlite3") }
