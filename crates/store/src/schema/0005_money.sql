-- The ledger, its sums by day, budgets, and what accounts may still use.

-- What was consumed. Entries are never changed and never removed, not even with their run: run and task refer to
-- nothing that must be there.
CREATE TABLE ledger (
    id           INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    run          INTEGER NOT NULL,
    task         INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    agent        INTEGER NOT NULL REFERENCES name (id),
    model        INTEGER REFERENCES name (id),
    account      INTEGER REFERENCES name (id),
    kind         INTEGER NOT NULL REFERENCES name (id),
    -- The vendor's id of the turn: under one id the largest report counts, once.
    turn         TEXT,
    input        INTEGER NOT NULL,
    cache_read   INTEGER NOT NULL,
    cache_write  INTEGER NOT NULL,
    output       INTEGER NOT NULL,
    reasoning    INTEGER NOT NULL,
    usage_source INTEGER NOT NULL,
    cost         INTEGER NOT NULL,
    cost_nano    INTEGER,
    assumed_nano INTEGER NOT NULL
) STRICT;

CREATE INDEX ledger_turn ON ledger (turn) WHERE turn IS NOT NULL;

-- Sums by day, so that a report does not read the ledger. 0 stands for no model and no account.
CREATE TABLE tally (
    agent        INTEGER NOT NULL REFERENCES name (id),
    model        INTEGER NOT NULL,
    kind         INTEGER NOT NULL REFERENCES name (id),
    account      INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    entries      INTEGER NOT NULL,
    input        INTEGER NOT NULL,
    cache_read   INTEGER NOT NULL,
    cache_write  INTEGER NOT NULL,
    output       INTEGER NOT NULL,
    reasoning    INTEGER NOT NULL,
    usage_source INTEGER NOT NULL,
    actual_nano  INTEGER NOT NULL,
    priced_nano  INTEGER NOT NULL,
    included     INTEGER NOT NULL,
    unknown      INTEGER NOT NULL,
    assumed_nano INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    wall_ms      INTEGER NOT NULL,
    first_try    INTEGER NOT NULL,
    second_try   INTEGER NOT NULL,
    reworked     INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    verified     INTEGER NOT NULL,
    rated        INTEGER NOT NULL,
    stars        INTEGER NOT NULL,
    PRIMARY KEY (agent, model, kind, account, day)
) STRICT, WITHOUT ROWID;

-- One row a limit; see wheelhouse_core::budget::Kept.
CREATE TABLE budget (
    id              INTEGER PRIMARY KEY,
    scope           TEXT NOT NULL UNIQUE,
    configured_nano INTEGER,
    own_nano        INTEGER,
    raised_nano     INTEGER NOT NULL,
    window          INTEGER NOT NULL,
    reserved_nano   INTEGER NOT NULL,
    spent_nano      INTEGER NOT NULL,
    assumed_nano    INTEGER NOT NULL,
    warned          INTEGER NOT NULL
) STRICT;

-- What a running try holds in budgets, and what it has consumed so far: booked when its owner dies.
CREATE TABLE meter (
    task          INTEGER PRIMARY KEY REFERENCES task (id),
    reserved_nano INTEGER NOT NULL,
    account       INTEGER REFERENCES name (id),
    kind          INTEGER NOT NULL REFERENCES name (id),
    model         INTEGER REFERENCES name (id),
    turn          TEXT,
    usage         TEXT,
    cost          INTEGER NOT NULL,
    cost_nano     INTEGER,
    assumed_nano  INTEGER NOT NULL
) STRICT;

CREATE TABLE meter_on (
    task   INTEGER NOT NULL REFERENCES meter (task),
    budget INTEGER NOT NULL REFERENCES budget (id),
    PRIMARY KEY (task, budget)
) STRICT, WITHOUT ROWID;

-- What a held task waits for when it waits for money.
ALTER TABLE hold ADD COLUMN budget INTEGER REFERENCES budget (id);

CREATE INDEX hold_budget ON hold (budget, task) WHERE budget IS NOT NULL;

CREATE TABLE allowance (
    account   INTEGER NOT NULL REFERENCES name (id),
    window    TEXT NOT NULL,
    what      TEXT NOT NULL,
    exhausted INTEGER NOT NULL,
    resets_at INTEGER,
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (account, window)
) STRICT, WITHOUT ROWID;

-- What people thought of a task's work.
CREATE TABLE rating (
    task  INTEGER PRIMARY KEY REFERENCES task (id),
    stars INTEGER NOT NULL,
    words TEXT NOT NULL,
    at    INTEGER NOT NULL,
    -- The day it was counted under, so that another one can take its place.
    agent   INTEGER NOT NULL REFERENCES name (id),
    model   INTEGER NOT NULL,
    kind    INTEGER NOT NULL REFERENCES name (id),
    account INTEGER NOT NULL,
    day     INTEGER NOT NULL
) STRICT;

-- What was consumed before there was a ledger: an entry for each end that is known, and what is missing to the totals
-- of its run in one more (ends of tries that were begun again).
INSERT INTO name (text) VALUES ('prompt'), ('before the ledger') ON CONFLICT DO NOTHING;

INSERT INTO ledger (at, run, task, attempt, agent, kind, input, cache_read, cache_write, output, reasoning, usage_source,
                    cost, cost_nano, assumed_nano)
SELECT a.ended_at, t.run, a.task, a.number, a.agent, (SELECT id FROM name WHERE text = 'prompt'),
       ifnull(json_extract(a.usage, '$[0]'), 0), ifnull(json_extract(a.usage, '$[1]'), 0),
       ifnull(json_extract(a.usage, '$[2]'), 0), ifnull(json_extract(a.usage, '$[3]'), 0),
       ifnull(json_extract(a.usage, '$[4]'), 0), ifnull(json_extract(a.usage, '$[5]'), 0),
       a.cost, a.cost_nano, 0
FROM attempt a JOIN task t ON t.id = a.task
WHERE a.ended_at IS NOT NULL AND a.cost IS NOT NULL AND (a.usage IS NOT NULL OR a.cost IN (3, 5) OR a.cost_nano > 0);

INSERT INTO ledger (at, run, task, attempt, agent, kind, input, cache_read, cache_write, output, reasoning, usage_source,
                    cost, cost_nano, assumed_nano)
SELECT r.submitted_at, r.id, r.task_first, 0, (SELECT id FROM name WHERE text = 'before the ledger'),
       (SELECT id FROM name WHERE text = 'prompt'), r.input - l.i, r.cache_read - l.cr, r.cache_write - l.cw,
       r.output - l.o, r.reasoning - l.re, 0, 2, r.cost_nano - l.nano, 0
FROM run r JOIN (SELECT r.id, ifnull(sum(l.input), 0) AS i, ifnull(sum(l.cache_read), 0) AS cr,
                        ifnull(sum(l.cache_write), 0) AS cw, ifnull(sum(l.output), 0) AS o,
                        ifnull(sum(l.reasoning), 0) AS re,
                        ifnull(sum(CASE WHEN l.cost IN (1, 2) THEN l.cost_nano END), 0) AS nano
                 FROM run r LEFT JOIN ledger l ON l.run = r.id GROUP BY r.id) l ON l.id = r.id
WHERE (r.input, r.cache_read, r.cache_write, r.output, r.reasoning, r.cost_nano) <> (l.i, l.cr, l.cw, l.o, l.re, l.nano);

UPDATE run SET cost_unknown = (SELECT count(*) FROM ledger l WHERE l.run = run.id AND l.cost = 5);

INSERT INTO tally
SELECT agent, 0, kind, 0, at / 86400000, count(*), sum(input), sum(cache_read), sum(cache_write), sum(output),
       sum(reasoning), min(usage_source), sum(CASE cost WHEN 1 THEN cost_nano ELSE 0 END),
       sum(CASE cost WHEN 2 THEN cost_nano ELSE 0 END), sum(cost = 3), sum(cost = 5), 0, count(*), 0, 0, 0, 0, 0, 0, 0, 0
FROM ledger GROUP BY agent, kind, at / 86400000;
