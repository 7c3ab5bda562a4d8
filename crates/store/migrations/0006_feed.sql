-- The CVE feed as it was read last. All of it can be read again; what is asked for often is apart from the
-- texts, which are long.
CREATE TABLE feed (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    source     TEXT    NOT NULL,
    -- The commit of a repository; NULL of a directory or tarball.
    revision   TEXT,
    -- When it was read, and when something in it was last another one than before.
    read_at    INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
);

CREATE TABLE cves (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- Of the files that it was read from.
    digest     TEXT    NOT NULL,
    facts      TEXT    NOT NULL,
    texts      TEXT    NOT NULL
) WITHOUT ROWID;

-- Records that cannot be used, with the reason.
CREATE TABLE feed_faults (
    id         TEXT    NOT NULL PRIMARY KEY,
    what       TEXT    NOT NULL
) WITHOUT ROWID;
