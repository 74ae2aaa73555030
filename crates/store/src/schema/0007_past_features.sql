-- What routing learns with: the model that was asked for, and a task's shape and words as numbers. NULL where they are
-- not known, as of tasks that were over before.
ALTER TABLE past ADD COLUMN model INTEGER REFERENCES name (id);
ALTER TABLE past ADD COLUMN features BLOB;
