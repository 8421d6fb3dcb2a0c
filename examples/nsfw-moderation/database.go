package main

import (
	"database/sql"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/ittybit/ittybit-go/sqlinbox"
)

// database is the application's, with the statements that each kind of it spells in its own way.
type database struct {
	*sql.DB

	inbox     *sqlinbox.Inbox
	completed string // of a task: its id, what was found, and how confidently
	ended     string // of a task in another way: its id and status
	submitted string // of an upload: its task's id, and its url
}

// open takes a URL of PostgreSQL's, or a DSN of go-sql-driver's, as in
// user:password@tcp(127.0.0.1:3306)/database.
func open(address string) (*database, error) {
	if strings.Contains(address, ")/") {
		return openMySQL(address)
	}
	return openPostgres(address)
}

func openPostgres(address string) (*database, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // works through a pooler in transaction mode, too, such as Supabase's
	db := stdlib.OpenDB(*config)
	return &database{
		DB: db,
		// The payloads are kept, so that a handler that was wrong can be run again (Inbox.Replay).
		inbox: sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithTable("moderation.ittybit_inbox"), sqlinbox.WithPayloads()),
		completed: `
			INSERT INTO moderation.uploads (task_id, status, nsfw_detected, nsfw_confidence) VALUES ($1, 'completed', $2, $3)
			ON CONFLICT (task_id) DO UPDATE SET
				status = excluded.status, nsfw_detected = excluded.nsfw_detected, nsfw_confidence = excluded.nsfw_confidence`,
		ended: `
			INSERT INTO moderation.uploads (task_id, status) VALUES ($1, $2)
			ON CONFLICT (task_id) DO UPDATE SET status = excluded.status WHERE uploads.status = 'pending'`,
		submitted: `
			INSERT INTO moderation.uploads (task_id, url) VALUES ($1, $2)
			ON CONFLICT (task_id) DO UPDATE SET url = excluded.url`,
	}, nil
}

func openMySQL(dsn string) (*database, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	return &database{
		DB:    db,
		inbox: sqlinbox.New(db, sqlinbox.MySQL, sqlinbox.WithPayloads()),
		completed: `
			INSERT INTO uploads (task_id, status, nsfw_detected, nsfw_confidence) VALUES (?, 'completed', ?, ?)
			ON DUPLICATE KEY UPDATE
				status = VALUES(status), nsfw_detected = VALUES(nsfw_detected), nsfw_confidence = VALUES(nsfw_confidence)`,
		ended: `
			INSERT INTO uploads (task_id, status) VALUES (?, ?)
			ON DUPLICATE KEY UPDATE status = IF(status = 'pending', VALUES(status), status)`,
		submitted: `
			INSERT INTO uploads (task_id, url) VALUES (?, ?)
			ON DUPLICATE KEY UPDATE url = VALUES(url)`,
	}, nil
}
