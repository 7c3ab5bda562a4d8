-- The livepatch that a build makes again, for comparison; NULL for every other build.
ALTER TABLE builds ADD COLUMN rebuild TEXT;
-- A rebuild is never joined, neither by an equal request nor by another rebuild.
DROP INDEX builds_unfinished_key;
CREATE UNIQUE INDEX builds_unfinished_key ON builds (build_key)
    WHERE state IN ('queued', 'running') AND rebuild IS NULL;
