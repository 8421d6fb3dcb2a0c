// Package mattn_test runs the tests of sqlinbox with github.com/mattn/go-sqlite3.
package mattn_test

import (
	"testing"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

func TestDriver(t *testing.T) {
	for _, journalMode := range []string{"wal", "delete"} {
		t.Run(journalMode, func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("sqlite3", journalMode)) })
	}
}

func TestCrash(t *testing.T) { inboxtest.Crash(t, inboxtest.OnSQLite(t, "sqlite3", "wal")) }
