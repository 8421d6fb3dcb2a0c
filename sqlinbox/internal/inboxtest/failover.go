package inboxtest

import (
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/pgxinbox"
)

// FailedOver ends the primary while events are delivered, and promotes its synchronous standby: the
// clients' URL names both. The driver is "pgx", or "pgxpool" for pgxinbox.
func FailedOver(t *testing.T, driver string) {
	events, _ := crashSize(t)
	primary := pgserver.NewServer(t)
	standby := pgserver.NewStandby(t, primary)
	admin := openSQL(t, "pgx", primary.URL())
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		_, err := admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		var n int
		err := admin.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").Scan(&n)
		return err == nil && n == 1
	}, time.Minute, 10*time.Millisecond)

	both, err := url.Parse(primary.URL())
	require.NoError(t, err)
	second, err := url.Parse(standby.URL())
	require.NoError(t, err)
	both.Host += "," + second.Host
	source := both.String() + "&target_session_attrs=read-write"
	promoted := openSQL(t, "pgx", standby.URL()) // for looking at it
	backend := &Backend{Dialect: sqlinbox.Postgres, Exec: ExecSQL, DB: promoted}
	if driver == pgxPool {
		pool := openPool(t, source)
		backend.Exec, backend.New = execPgx, func(opts ...sqlinbox.Option) Inbox { return pgxinbox.New(pool, opts...) }
	} else {
		db := openSQL(t, driver, source)
		db.SetMaxOpenConns(20)
		backend.New = OverSQL(db, sqlinbox.Postgres)
	}
	_, err = admin.ExecContext(t.Context(), "CREATE TABLE effects (event_key text NOT NULL)")
	require.NoError(t, err)
	b := &bench{backend, backend.New()}
	require.NoError(t, b.inbox.Migrate(t.Context()))
	webhook, err := ittybit.NewWebhookHandler(Secret, b.inbox.Wrap(receiverSetup{Troubled: true}.handler(b.Exec)),
		ittybit.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	srv := httptest.NewServer(webhook)
	defer srv.Close()
	s := newSender(t)
	s.address = strings.TrimPrefix(srv.URL, "http://")

	s.allow(events * 3 / 4)
	s.waitFor(t, func() bool { return len(s.keys) >= events/2 })
	require.NoError(t, primary.Pause())
	acknowledged := s.acknowledged()
	_, err = promoted.ExecContext(t.Context(), "SELECT pg_promote()")
	require.NoError(t, err)
	b.holds(t, acknowledged)
	s.allow(events)
	s.wait(t, events)
	all, attempts, answers := s.figures()
	assert.Len(t, all, events)
	b.holds(t, all)
	assert.Equal(t, events, b.effects(t))
	assert.Equal(t, events, b.rows(t, "handled"))
	t.Logf("%d events, %d acknowledged when the primary ended, %d delivery attempts, answers by status %v, %d effects on the promoted standby",
		events, len(acknowledged), attempts, answers, b.effects(t))
}
