-- Machines that build come with a token of their own role. SQLite changes a CHECK only with the whole table.
CREATE TABLE tokens_with_workers (
    id          TEXT    NOT NULL PRIMARY KEY,
    secret      TEXT    NOT NULL,
    -- A credential is shown with each request; an enrolment token registers one host, once.
    kind        TEXT    NOT NULL CHECK (kind IN ('credential', 'enrolment')),
    role        TEXT    NOT NULL CHECK (role IN ('read', 'submit', 'admin', 'host', 'worker')),
    -- For people: whose it is; may be empty.
    name        TEXT    NOT NULL,
    -- The host whose credential it is, or the only one that it may enrol; NULL: any.
    host        TEXT,
    -- What the host gets that it enrols, as JSON.
    tags        TEXT    NOT NULL DEFAULT '[]',
    created_at  INTEGER NOT NULL,
    -- NULL: never.
    expires_at  INTEGER,
    -- Of an enrolment token: when it was used up. Of a credential: when it was last used, to the hour.
    used_at     INTEGER,
    revoked_at  INTEGER,
    CHECK (role = 'host' OR (kind = 'credential' AND host IS NULL)),
    CHECK (kind = 'enrolment' OR role != 'host' OR host IS NOT NULL)
) WITHOUT ROWID;

INSERT INTO tokens_with_workers
    (id, secret, kind, role, name, host, tags, created_at, expires_at, used_at, revoked_at)
SELECT id, secret, kind, role, name, host, tags, created_at, expires_at, used_at, revoked_at FROM tokens;

DROP TABLE tokens;
ALTER TABLE tokens_with_workers RENAME TO tokens;
CREATE INDEX tokens_host ON tokens (host);
