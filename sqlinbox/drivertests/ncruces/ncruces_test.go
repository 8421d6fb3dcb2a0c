// Package ncruces_test runs the tests of sqlinbox with github.com/ncruces/go-sqlite3/driver.
package ncruces_test

import (
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver" // the driver "sqlite3"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

func TestDriver(t *testing.T) {
	for _, journalMode := range []string{"wal", "delete"} {
		t.Run(journalMode, func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("sqlite3", journalMode)) })
	}
}

func TestCrash(t *testing.T) { inboxtest.Crash(t, inboxtest.OnSQLite(t, "sqlite3", "wal")) }
