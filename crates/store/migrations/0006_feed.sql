-- The CVE feed as it was read last. All of it can be read again.
CREATE TABLE feed (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    source     TEXT    NOT NULL,
    -- The commit of a repository; NULL of a directory or tarball.
    revision   TEXT,
    -- The version of the program's parser: another one reads all again.
    parser     INTEGER NOT NULL,
    -- How old the data is, when it was read, and when something in it was last another one than before.
    data_at    INTEGER NOT NULL,
    read_at    INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    -- What there is, counted when it was read: health asks often.
    published  INTEGER NOT NULL,
    rejected   INTEGER NOT NULL,
    faulty     INTEGER NOT NULL
);

CREATE TABLE cves (
    id         TEXT    NOT NULL PRIMARY KEY,
    rejected   INTEGER NOT NULL,
    -- Of the files that it was read from.
    digest     TEXT    NOT NULL,
    facts      TEXT    NOT NULL
) WITHOUT ROWID;

CREATE INDEX cves_rejected ON cves (rejected);

-- The long texts of a CVE, which only people read: apart, so that the facts of all are read fast.
CREATE TABLE cve_texts (
    id         TEXT    NOT NULL PRIMARY KEY,
    texts      TEXT    NOT NULL
);

-- Records that cannot be used, with the reason. A CVE that could be used before keeps its row.
CREATE TABLE feed_faults (
    id         TEXT    NOT NULL PRIMARY KEY,
    what       TEXT    NOT NULL
) WITHOUT ROWID;
