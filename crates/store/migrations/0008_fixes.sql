-- The texts of fixes by the commit of the fix, so that no source is asked for one twice. All of it can be
-- fetched again.
CREATE TABLE fixes (
    commit_hash TEXT    NOT NULL PRIMARY KEY,
    digest      TEXT    NOT NULL REFERENCES blobs (digest),
    -- Where it was had from, for people, and the paths in the kernel's tree that it changes, as JSON.
    source      TEXT    NOT NULL,
    files       TEXT    NOT NULL,
    -- It could not be a livepatch by its files when it was fetched. What may be one, another version of the
    -- program may see otherwise: it is looked at again.
    is_refused  INTEGER NOT NULL,
    fetched_at  INTEGER NOT NULL
) WITHOUT ROWID;

-- The patches that a person approved for a CVE. Nothing else has them.
CREATE TABLE approved_fixes (
    cve         TEXT    NOT NULL PRIMARY KEY,
    digest      TEXT    NOT NULL REFERENCES blobs (digest),
    files       TEXT    NOT NULL,
    -- The name of the file, and what the person said of it; may be empty.
    name        TEXT    NOT NULL,
    note        TEXT    NOT NULL,
    approved_at INTEGER NOT NULL
) WITHOUT ROWID;
