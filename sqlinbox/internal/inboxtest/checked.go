package inboxtest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/sqlinbox"
)

// wrongParameters are parameters of a connection, and what Check says of each.
var wrongParameters = map[sqlinbox.Dialect]map[string]string{
	sqlinbox.Postgres: {
		"synchronous_commit=off":                  "synchronous_commit is off",
		"lock_timeout=1000":                       "lock_timeout is 1s",
		"statement_timeout=2000":                  "statement_timeout is 2s",
		"idle_in_transaction_session_timeout=100": "idle_in_transaction_session_timeout is 100ms",
		"default_transaction_read_only=on":        "connect to the primary",
	},
	sqlinbox.MySQL: {
		"sql_mode=%27ANSI%27":                 "sql_mode has no STRICT_TRANS_TABLES",
		"autocommit=0":                        "take autocommit=0 out of the DSN",
		"tx_isolation=%27READ-UNCOMMITTED%27": "set READ-COMMITTED",
		"charset=latin1":                      "add charset=utf8mb4 to the DSN",
		"innodb_lock_wait_timeout=2":          "innodb_lock_wait_timeout is 2s",
		"lock_wait_timeout=1":                 "lock_wait_timeout is 1s",
		"wait_timeout=3":                      "wait_timeout is 3s",
		"max_statement_time=1.5":              "max_statement_time is 1.5s",
		"idle_transaction_timeout=2":          "idle_transaction_timeout is 2s",
		"idle_write_transaction_timeout=3":    "idle_write_transaction_timeout is 3s",
		"tx_read_only=1":                      "connect to the primary",
		"default_storage_engine=%27MyISAM%27": "default_storage_engine is MyISAM",
	},
}

// rightParameters are some with which Check has nothing to say.
var rightParameters = map[sqlinbox.Dialect]string{
	sqlinbox.Postgres: "lock_timeout=5000&statement_timeout=60000&synchronous_commit=local",
	sqlinbox.MySQL: "innodb_lock_wait_timeout=3&lock_wait_timeout=3&wait_timeout=60&max_statement_time=4&idle_transaction_timeout=0" +
		"&tx_isolation=%27SERIALIZABLE%27&sql_mode=%27STRICT_ALL_TABLES,ANSI_QUOTES,NO_BACKSLASH_ESCAPES%27",
}

func checked(t *testing.T, b *bench) {
	require.NoError(t, b.inbox.Check(t.Context()))
	if b.With == nil {
		return
	}
	for parameters, cure := range wrongParameters[b.Dialect] {
		assert.ErrorContains(t, b.With(t, parameters).Check(t.Context()), cure)
	}
	right := b.With(t, rightParameters[b.Dialect])
	require.NoError(t, right.Check(t.Context()))
	require.NoError(t, right.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 1)))
}
