package main

import (
	"database/sql"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/ittybit/ittybit-go/sqlinbox"
)

// database is the application's, of either kind.
type database struct {
	*sql.DB

	inbox   *sqlinbox.Inbox
	isMySQL bool
}

// open takes a URL of PostgreSQL's, or a DSN of go-sql-driver's, as in
// user:password@tcp(127.0.0.1:3306)/database. The payloads are kept, so that a handler that was
// wrong can be run again (Inbox.Replay).
func open(address string) (*database, error) {
	if strings.Contains(address, ")/") {
		config, err := mysql.ParseDSN(address)
		if err != nil {
			return nil, err
		}
		connector, err := mysql.NewConnector(config)
		if err != nil {
			return nil, err
		}
		db := sql.OpenDB(connector)
		return &database{db, sqlinbox.New(db, sqlinbox.MySQL, sqlinbox.WithPayloads()), true}, nil
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // works through a pooler in transaction mode, too, such as Supabase's
	db := stdlib.OpenDB(*config)
	inbox := sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithTable("moderation.ittybit_inbox"), sqlinbox.WithPayloads())
	return &database{db, inbox, false}, nil
}

// completed takes a task's id, what was found, and how confidently.
func (db *database) completed() string {
	if db.isMySQL {
		return `
			INSERT INTO uploads (task_id, status, nsfw_detected, nsfw_confidence) VALUES (?, 'completed', ?, ?)
			ON DUPLICATE KEY UPDATE
				status = VALUES(status), nsfw_detected = VALUES(nsfw_detected), nsfw_confidence = VALUES(nsfw_confidence)`
	}
	return `
		INSERT INTO moderation.uploads (task_id, status, nsfw_detected, nsfw_confidence) VALUES ($1, 'completed', $2, $3)
		ON CONFLICT (task_id) DO UPDATE SET
			status = excluded.status, nsfw_detected = excluded.nsfw_detected, nsfw_confidence = excluded.nsfw_confidence`
}

// ended takes the id and the status of a task that found nothing out.
func (db *database) ended() string {
	if db.isMySQL {
		return `
			INSERT INTO uploads (task_id, status) VALUES (?, ?)
			ON DUPLICATE KEY UPDATE status = IF(status = 'pending', VALUES(status), status)`
	}
	return `
		INSERT INTO moderation.uploads (task_id, status) VALUES ($1, $2)
		ON CONFLICT (task_id) DO UPDATE SET status = excluded.status WHERE uploads.status = 'pending'`
}

// submitted takes the id of an upload's task, and its url.
func (db *database) submitted() string {
	if db.isMySQL {
		return `
			INSERT INTO uploads (task_id, url) VALUES (?, ?)
			ON DUPLICATE KEY UPDATE url = VALUES(url)`
	}
	return `
		INSERT INTO moderation.uploads (task_id, url) VALUES ($1, $2)
		ON CONFLICT (task_id) DO UPDATE SET url = excluded.url`
}
