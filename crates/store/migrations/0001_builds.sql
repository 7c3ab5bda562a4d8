-- Times are microseconds since the Unix epoch; JSON columns hold the types of the model crate.

-- Blobs whose file is complete and on disk.
CREATE TABLE blobs (
    digest      TEXT    NOT NULL PRIMARY KEY,
    size_bytes  INTEGER NOT NULL,
    stored_at   INTEGER NOT NULL
);

CREATE TABLE builds (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    build_key       TEXT    NOT NULL,
    -- Whether an equal request joins this build instead of making a new one.
    joinable        BOOLEAN NOT NULL DEFAULT TRUE,
    state           TEXT    NOT NULL
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    priority        INTEGER NOT NULL DEFAULT 0,
    architecture    TEXT    NOT NULL,
    release         TEXT    NOT NULL,
    target          TEXT    NOT NULL,
    config          TEXT    NOT NULL REFERENCES blobs (digest),
    fixes           TEXT    NOT NULL,
    checks          TEXT    NOT NULL,
    steps           TEXT    NOT NULL DEFAULT '[]',
    -- How often a worker has begun the build, and how often that came to nothing through no fault
    -- of the build.
    attempts        INTEGER NOT NULL DEFAULT 0,
    losses          INTEGER NOT NULL DEFAULT 0,
    -- A build that failed by the machine's fault waits a little before it is tried again.
    not_before      INTEGER NOT NULL DEFAULT 0,
    last_sequence   INTEGER NOT NULL DEFAULT 0,
    submitted_at    INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER,
    failure         TEXT,
    manifest        TEXT,
    module          TEXT REFERENCES blobs (digest),
    lease_token     TEXT,
    lease_worker    TEXT,
    lease_deadline  INTEGER
);

-- Two equal requests at the same instant cannot make two builds.
CREATE UNIQUE INDEX builds_joinable_key ON builds (build_key) WHERE joinable;
CREATE INDEX builds_state ON builds (state, number);

CREATE TABLE events (
    build     INTEGER NOT NULL REFERENCES builds (number),
    sequence  INTEGER NOT NULL,
    body      TEXT    NOT NULL,
    PRIMARY KEY (build, sequence)
) WITHOUT ROWID;

CREATE TABLE workers (
    name       TEXT    NOT NULL PRIMARY KEY,
    last_seen  INTEGER NOT NULL
);
