CREATE TABLE IF NOT EXISTS uploads (
	task_id         VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY,
	url             TEXT NOT NULL DEFAULT (''),
	status          VARCHAR(20) NOT NULL DEFAULT 'pending',
	nsfw_detected   BOOLEAN, -- NULL: not known
	nsfw_confidence DOUBLE
) ENGINE=InnoDB;

-- What sqlinbox needs, as Inbox.Schema prints it: the keys of the events that were handled.
CREATE TABLE IF NOT EXISTS `ittybit_inbox` (
	name        VARBINARY(255) NOT NULL,
	event_key   VARBINARY(512) NOT NULL,
	event_type  VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	subject_id  VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	outcome     VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	error       TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
	payload     LONGBLOB,
	received_at DATETIME(6) NOT NULL,
	handled_at  DATETIME(6) NOT NULL,
	seq         BIGINT,
	run_id      BIGINT,
	PRIMARY KEY (name, event_key),
	KEY `ittybit_inbox_received_at` (name, received_at),
	KEY `ittybit_inbox_replay` (name, seq, received_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS `ittybit_inbox_reconcile` (
	name       VARBINARY(255) NOT NULL PRIMARY KEY,
	lease      BIGINT NOT NULL,
	held_until BIGINT NOT NULL,
	next_run   BIGINT NOT NULL,
	checkpoint LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	replay_seq BIGINT NOT NULL DEFAULT 0
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
