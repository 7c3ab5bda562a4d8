-- What a probe found: a build that ends before its trial.
ALTER TABLE builds ADD COLUMN probe TEXT;
-- The CVE run that ordered a probe; NULL of every other build. Lists leave probes out.
ALTER TABLE builds ADD COLUMN probe_of INTEGER REFERENCES runs (number);

-- From the CVEs that matter on a kernel to one livepatch of their fixes.
CREATE TABLE runs (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    run_key         TEXT    NOT NULL,
    state           TEXT    NOT NULL
        CHECK (state IN ('gathering', 'trying', 'combining', 'finished', 'failed', 'cancelled')),
    -- Whether an equal request joins it when it is finished.
    joinable        BOOLEAN NOT NULL DEFAULT TRUE,
    release         TEXT    NOT NULL,
    -- The config as it was sent; NULL: that of the stock kernel's package, until it is known.
    config          TEXT    REFERENCES blobs (digest),
    kallsyms        TEXT    REFERENCES blobs (digest),
    -- What was asked for and how far it is: documents that only the server reads.
    request         TEXT    NOT NULL,
    progress        TEXT    NOT NULL,
    livepatch       INTEGER REFERENCES builds (number),
    failure         TEXT,
    submitted_at    INTEGER NOT NULL,
    finished_at     INTEGER
);

CREATE INDEX runs_key ON runs (run_key, number);
CREATE INDEX runs_state ON runs (state, number);
-- Two equal requests at the same instant cannot make two runs.
CREATE UNIQUE INDEX runs_unfinished_key ON runs (run_key)
    WHERE state IN ('gathering', 'trying', 'combining');

-- The CVEs of a run that may matter, the worst first, with what became of each.
CREATE TABLE run_cves (
    run        INTEGER NOT NULL REFERENCES runs (number),
    position   INTEGER NOT NULL,
    title      TEXT    NOT NULL,
    cvss       TEXT,
    result     TEXT    NOT NULL,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
