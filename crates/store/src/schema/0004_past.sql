-- What became of tasks that agents were given: what routing learns from. It outlives the runs, so it refers to none.
CREATE TABLE past (
    task      INTEGER PRIMARY KEY,
    kind      TEXT NOT NULL,
    agent     INTEGER NOT NULL REFERENCES name (id),
    outcome   INTEGER NOT NULL,
    detail    ANY,
    -- Of all its tries; NULL when one of them is not known.
    cost_nano INTEGER,
    at        INTEGER NOT NULL,
    sketch    BLOB NOT NULL
) STRICT;

CREATE INDEX past_at ON past (at);
