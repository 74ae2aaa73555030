-- Instances, their messages, their policy. A party is 0 for a person, else the number of an instance.

-- One row: the policy, and the numbers given out last.
CREATE TABLE crew (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    policy       TEXT NOT NULL,
    instance     INTEGER NOT NULL,
    message      INTEGER NOT NULL,
    coordination INTEGER NOT NULL
) STRICT;

INSERT INTO crew (id, policy, instance, message, coordination) VALUES (1, '{}', 0, 0, 0);

CREATE TABLE instance (
    id           INTEGER PRIMARY KEY,
    run          INTEGER NOT NULL REFERENCES run (id),
    -- 0: none.
    parent       INTEGER NOT NULL,
    depth        INTEGER NOT NULL,
    spec         TEXT NOT NULL,
    rights       TEXT NOT NULL,
    key          TEXT,
    -- Idle, busy, suspended, ended.
    stage        INTEGER NOT NULL,
    ended_as     INTEGER,
    turn         INTEGER REFERENCES task (id),
    message      INTEGER REFERENCES message (id),
    flags        INTEGER NOT NULL,
    turns        INTEGER NOT NULL,
    queued       INTEGER NOT NULL,
    notes        INTEGER NOT NULL,
    wants        INTEGER REFERENCES message (id),
    active_below INTEGER NOT NULL,
    session      TEXT,
    outcome      INTEGER,
    detail       ANY,
    usage        TEXT,
    cost_nano    INTEGER NOT NULL,
    cost_unknown INTEGER NOT NULL,
    spawned_at   INTEGER NOT NULL,
    active_at    INTEGER NOT NULL,
    ended_at     INTEGER
) STRICT;

CREATE UNIQUE INDEX instance_key ON instance (parent, key) WHERE key IS NOT NULL;
CREATE INDEX instance_child ON instance (parent, id) WHERE stage < 3;
CREATE INDEX instance_turn ON instance (turn, active_below) WHERE turn IS NOT NULL;
CREATE INDEX instance_wants ON instance (depth DESC, wants) WHERE wants IS NOT NULL AND turn IS NULL AND stage < 3;
CREATE INDEX instance_idle ON instance (stage, active_at) WHERE stage <> 1 AND stage < 3 AND queued = 0 AND active_below = 0;
CREATE INDEX instance_run ON instance (run);

CREATE TABLE message (
    id           INTEGER PRIMARY KEY,
    sender       INTEGER NOT NULL,
    recipient    INTEGER NOT NULL,
    trust        INTEGER NOT NULL,
    -- 0 a request, 1 a note.
    kind         INTEGER NOT NULL,
    correlation  INTEGER REFERENCES message (id),
    coordination INTEGER REFERENCES coordination (id),
    -- The messages it comes after, as JSON; absent when none.
    after        TEXT,
    text         TEXT NOT NULL,
    key          TEXT,
    sent_at      INTEGER NOT NULL,
    over_at      INTEGER,
    -- Queued, open, done, read, dropped.
    state        INTEGER NOT NULL,
    task         INTEGER REFERENCES task (id),
    outcome      INTEGER,
    detail       ANY
) STRICT;

CREATE UNIQUE INDEX message_key ON message (sender, key) WHERE key IS NOT NULL;
CREATE INDEX message_box ON message (recipient, kind, id) WHERE state = 0;
CREATE INDEX message_sender ON message (sender, id);
CREATE INDEX message_recipient ON message (recipient, id);

-- One row for each message that another, queued one comes after.
CREATE TABLE message_after (
    message INTEGER NOT NULL REFERENCES message (id),
    later   INTEGER NOT NULL REFERENCES message (id),
    PRIMARY KEY (message, later)
) STRICT, WITHOUT ROWID;

CREATE TABLE coordination (
    id   INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    by       INTEGER NOT NULL,
    instance INTEGER,
    verb     TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;

CREATE INDEX audit_instance ON audit (instance, id) WHERE instance IS NOT NULL;
