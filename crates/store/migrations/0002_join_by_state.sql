-- Whether an equal request joins a build is decided when the request comes, from state and failure.
DROP INDEX builds_joinable_key;
ALTER TABLE builds DROP COLUMN joinable;
CREATE INDEX builds_key ON builds (build_key, number);
-- Two equal requests at the same instant cannot make two builds.
CREATE UNIQUE INDEX builds_unfinished_key ON builds (build_key) WHERE state IN ('queued', 'running');
