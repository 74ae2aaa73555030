-- What callers asked for under a key of their own, so that the same wish again gets the first answer.
CREATE TABLE once (
    key    TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    at     INTEGER NOT NULL,
    -- The run and its new tasks that the answer named; NULL when it only said "done".
    run    INTEGER,
    tasks  TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX once_at ON once (at);
