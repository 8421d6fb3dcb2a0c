-- Supabase serves the schema public to everybody who has the project's public key. This one it does not serve.
CREATE SCHEMA IF NOT EXISTS moderation;

CREATE TABLE IF NOT EXISTS moderation.uploads (
	task_id         text PRIMARY KEY,
	url             text NOT NULL DEFAULT '',
	status          text NOT NULL DEFAULT 'pending',
	nsfw_detected   boolean,          -- NULL: not known
	nsfw_confidence double precision
);

-- What sqlinbox needs, as Inbox.Schema prints it: the keys of the events that were handled.
CREATE TABLE IF NOT EXISTS "moderation"."ittybit_inbox" (
	name        text NOT NULL,
	event_key   text NOT NULL,
	event_type  text NOT NULL,
	subject_id  text NOT NULL,
	outcome     text NOT NULL,
	error       text,
	payload     bytea,
	received_at timestamptz NOT NULL,
	handled_at  timestamptz NOT NULL,
	seq         bigint NOT NULL DEFAULT txid_current(),
	PRIMARY KEY (name, event_key)
);

CREATE INDEX IF NOT EXISTS "ittybit_inbox_received_at" ON "moderation"."ittybit_inbox" (name, received_at);

CREATE INDEX IF NOT EXISTS "ittybit_inbox_replay" ON "moderation"."ittybit_inbox" (name, seq, received_at) WHERE payload IS NOT NULL;

CREATE TABLE IF NOT EXISTS "moderation"."ittybit_inbox_reconcile" (
	name       text   NOT NULL PRIMARY KEY,
	lease      bigint NOT NULL,
	held_until bigint NOT NULL,
	next_run   bigint NOT NULL,
	checkpoint text   NOT NULL
);
