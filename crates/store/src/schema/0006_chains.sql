-- Chains of fallbacks, and the breakers that keep tasks from asking who fails.

-- Where a task stands in its chain, and since when its deadline runs.
ALTER TABLE task ADD COLUMN link INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN since INTEGER;

-- One row for each provider, model and credential that was ever asked; what it holds is JSON (crate::shape).
CREATE TABLE breaker (
    id         INTEGER PRIMARY KEY,
    provider   TEXT NOT NULL,
    model      TEXT NOT NULL,
    credential TEXT NOT NULL,
    body       TEXT NOT NULL,
    UNIQUE (provider, model, credential)
) STRICT;

-- Whom a running try asks, and with which leave.
ALTER TABLE lease ADD COLUMN breaker INTEGER REFERENCES breaker (id);
ALTER TABLE lease ADD COLUMN ticket INTEGER;

-- Which breaker keeps a held task waiting.
ALTER TABLE hold ADD COLUMN breaker INTEGER REFERENCES breaker (id);

CREATE INDEX hold_breaker ON hold (breaker, task) WHERE breaker IS NOT NULL;
