-- The first schema. Numbers in state, kind, class and reason columns are explained in src/encode.rs.
-- Foreign keys are declared for fsck (PRAGMA foreign_key_check) and not enforced at run time: every writer goes
-- through one crate, and the check would cost a look-up a row.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (key, value) VALUES ('store_id', lower(hex(randomblob(16))));

-- One row: the numbers given out last, and the clocks' last readings. Read and written once a commit.
CREATE TABLE counter (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    run      INTEGER NOT NULL,
    task     INTEGER NOT NULL,
    question INTEGER NOT NULL,
    event    INTEGER NOT NULL,
    -- The latest moment ever stored.
    at       INTEGER NOT NULL,
    -- The latest reading of the clock that leases are measured by, and the boot it belongs to.
    steady   INTEGER NOT NULL,
    boot     TEXT
) STRICT;

INSERT INTO counter (id, run, task, question, event, at, steady, boot) VALUES (1, 0, 0, 0, 0, 0, 0, NULL);

-- Agents, owners and kinds of reports, so that hot rows hold a number.
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE run (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    source       TEXT NOT NULL,
    standing     INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    finished_at  INTEGER,
    waiting      INTEGER NOT NULL,
    ready        INTEGER NOT NULL,
    running      INTEGER NOT NULL,
    held         INTEGER NOT NULL,
    succeeded    INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    skipped      INTEGER NOT NULL,
    cancelled    INTEGER NOT NULL,
    input        INTEGER NOT NULL,
    cache_read   INTEGER NOT NULL,
    cache_write  INTEGER NOT NULL,
    output       INTEGER NOT NULL,
    reasoning    INTEGER NOT NULL,
    -- NULL until a first try ended.
    usage_source INTEGER,
    cost_nano    INTEGER NOT NULL,
    cost_unknown INTEGER NOT NULL,
    -- Between which ids its tasks and events lie (others may lie there too): scanning such a range beats an index
    -- that every one of them would have to be written into.
    task_first   INTEGER NOT NULL,
    task_last    INTEGER NOT NULL,
    event_first  INTEGER NOT NULL,
    event_last   INTEGER NOT NULL
) STRICT;

CREATE TABLE run_spec (
    run  INTEGER PRIMARY KEY REFERENCES run (id),
    body TEXT NOT NULL
) STRICT;

-- The hot row: narrow, without an index of its own.
CREATE TABLE task (
    id         INTEGER PRIMARY KEY,
    run        INTEGER NOT NULL REFERENCES run (id),
    state      INTEGER NOT NULL,
    pending    INTEGER NOT NULL,
    -- Minus the priority, so that ascending order is claiming order.
    rank       INTEGER NOT NULL,
    agent      INTEGER NOT NULL REFERENCES name (id),
    attempt    INTEGER NOT NULL,
    on_agent   INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    flags      INTEGER NOT NULL,
    held       INTEGER,
    outcome    INTEGER,
    detail     ANY,
    started_at INTEGER,
    done_at    INTEGER
) STRICT;

-- What a task was told to do.
CREATE TABLE spec (
    task INTEGER PRIMARY KEY REFERENCES task (id),
    run  INTEGER NOT NULL REFERENCES run (id),
    key  TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX spec_key ON spec (run, key);

CREATE TABLE dep (
    parent INTEGER NOT NULL REFERENCES task (id),
    child  INTEGER NOT NULL REFERENCES task (id),
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

-- One row a ready task, in the order of claiming.
CREATE TABLE ready (
    agent INTEGER NOT NULL REFERENCES name (id),
    rank  INTEGER NOT NULL,
    task  INTEGER NOT NULL REFERENCES task (id),
    PRIMARY KEY (agent, rank, task)
) STRICT, WITHOUT ROWID;

-- One row a running task: the lease, and the try that is under way.
CREATE TABLE lease (
    task       INTEGER PRIMARY KEY REFERENCES task (id),
    fence      INTEGER NOT NULL,
    owner      INTEGER NOT NULL REFERENCES name (id),
    -- By the steady clock.
    until      INTEGER NOT NULL,
    agent      INTEGER NOT NULL REFERENCES name (id),
    number     INTEGER NOT NULL,
    begun      INTEGER NOT NULL,
    session    TEXT,
    pid        INTEGER,
    ticks      INTEGER,
    started_at INTEGER NOT NULL,
    -- Whether somebody wants it stopped, it declares a write set, and tasks are held because of that.
    cancel     INTEGER NOT NULL,
    writes     INTEGER NOT NULL,
    blocks     INTEGER NOT NULL,
    -- Whether it ever asked a person or was told something.
    mail       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX lease_writes ON lease (task) WHERE writes = 1;

-- One row a held task, unless its run is paused.
CREATE TABLE hold (
    task     INTEGER PRIMARY KEY REFERENCES task (id),
    until    INTEGER,
    question INTEGER REFERENCES question (id),
    -- The running task that writes the same files.
    blocker  INTEGER REFERENCES task (id)
) STRICT;

CREATE INDEX hold_until ON hold (until, task) WHERE until IS NOT NULL;
CREATE INDEX hold_blocker ON hold (blocker, task) WHERE blocker IS NOT NULL;

-- Tries that ended or were interrupted; the one under way is in lease.
CREATE TABLE attempt (
    task       INTEGER NOT NULL REFERENCES task (id),
    number     INTEGER NOT NULL,
    begun      INTEGER NOT NULL,
    agent      INTEGER NOT NULL REFERENCES name (id),
    session    TEXT,
    pid        INTEGER,
    ticks      INTEGER,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    -- Of the last end; kept when the try is begun again.
    outcome    INTEGER,
    detail     ANY,
    usage      TEXT,
    cost       INTEGER,
    cost_nano  INTEGER,
    result     TEXT,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE question (
    id       INTEGER PRIMARY KEY,
    run      INTEGER NOT NULL REFERENCES run (id),
    task     INTEGER NOT NULL REFERENCES task (id),
    kind     INTEGER NOT NULL,
    text     TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    open     INTEGER NOT NULL,
    answer   TEXT,
    -- The backend's id of the request, when a running try asked.
    request  TEXT
) STRICT;

CREATE INDEX question_open ON question (id) WHERE open = 1;

-- What a running try is to be told; gone once told, and with the try.
CREATE TABLE mail (
    id       INTEGER PRIMARY KEY,
    task     INTEGER NOT NULL REFERENCES task (id),
    -- The question that it answers.
    question INTEGER REFERENCES question (id),
    text     TEXT NOT NULL
) STRICT;

CREATE INDEX mail_task ON mail (task, id);

-- Content by hash. Bytes are NULL while only the name is known.
CREATE TABLE artifact (
    id    INTEGER PRIMARY KEY,
    hash  ANY NOT NULL UNIQUE,
    uses  INTEGER NOT NULL,
    bytes BLOB
) STRICT;

CREATE INDEX artifact_unused ON artifact (id) WHERE uses = 0;

CREATE TABLE artifact_use (
    task     INTEGER NOT NULL REFERENCES task (id),
    artifact INTEGER NOT NULL REFERENCES artifact (id),
    PRIMARY KEY (task, artifact)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    cursor INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    run    INTEGER NOT NULL REFERENCES run (id),
    task   INTEGER REFERENCES task (id),
    kind   INTEGER NOT NULL,
    a      INTEGER,
    b      INTEGER,
    c      INTEGER,
    body   TEXT
) STRICT;
