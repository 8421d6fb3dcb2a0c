package inboxtest

import (
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/sqlinbox"
)

// diskVariable names a folder on a small file system of its own, which a test fills up. Without it,
// SQLite's own limit of a database stands for that.
const diskVariable = "ITTYBIT_TEST_SMALL_DISK"

// DiskFull fills the disk up while events are delivered by eight, and makes room again.
func DiskFull(t *testing.T, driver string) {
	folder, small := os.Getenv(diskVariable), true
	if folder == "" {
		folder, small = t.TempDir(), false
	}
	file := filepath.Join(folder, "full.db")
	db, err := sql.Open(driver, "file:"+filepath.ToSlash(file))
	require.NoError(t, err)
	db.SetMaxOpenConns(1) // the limit, and the journal mode before the file is there, are the connection's
	defer func() {
		assert.NoError(t, db.Close())
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(file + suffix) // on a disk that stays
		}
	}()
	b := newBench(t, &Backend{
		Dialect: sqlinbox.SQLite, Exec: ExecSQL, DB: db,
		New: func(opts ...sqlinbox.Option) Inbox {
			return sqlinbox.New(db, sqlinbox.SQLite, append(opts, sqlinbox.WithGroupCommit(32))...)
		},
	})
	var mode string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA journal_mode = wal").Scan(&mode))
	filler := filepath.Join(folder, "filler")
	fill := func() { b.count(t, "PRAGMA max_page_count = "+strconv.Itoa(b.count(t, "PRAGMA page_count"))) }
	free := func() { b.count(t, "PRAGMA max_page_count = 1000000") }
	if small {
		fill = func() { fillUp(t, filler) }
		free = func() { assert.NoError(t, os.Remove(filler)) }
	}

	const events, before, refusals = 400, 100, 40
	var acknowledged, refused atomic.Int64
	var filling sync.Mutex // the others wait
	failures := b.deliverAll(t, events, func(int) {
		filling.Lock()
		defer filling.Unlock()
		if acknowledged.Add(1) == before {
			fill()
		}
	}, func() {
		if refused.Add(1) == refusals {
			assert.GreaterOrEqual(t, b.effects(t), int(acknowledged.Load()))
			free()
		}
	})
	require.GreaterOrEqual(t, len(failures), refusals)
	assert.Equal(t, events, b.effects(t))
	assert.Equal(t, events, b.rows(t, "handled"))
	assert.Equal(t, events, b.count(t, "SELECT count(DISTINCT event_key) FROM effects"))
	t.Logf("%d events by 8, the disk full after %d (%v): each effect once, %d deliveries to be repeated, such as for %v",
		events, before, map[bool]string{true: "a small file system", false: "SQLite's limit"}[small], len(failures), failures[0])
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, name string) {
	f, err := os.Create(name)
	if !assert.NoError(t, err) {
		return
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	_ = f.Close()
}
