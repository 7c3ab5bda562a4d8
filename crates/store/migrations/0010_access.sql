-- Who may ask for what. A token's secret has 256 random bits, so that a plain SHA-256 of it is as good as a slow
-- digest: it cannot be guessed, with or without the digest.
CREATE TABLE tokens (
    id          TEXT    NOT NULL PRIMARY KEY,
    secret      TEXT    NOT NULL,
    -- A credential is shown with each request; an enrolment token registers one host, once.
    kind        TEXT    NOT NULL CHECK (kind IN ('credential', 'enrolment')),
    role        TEXT    NOT NULL CHECK (role IN ('read', 'submit', 'admin', 'host')),
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

CREATE INDEX tokens_host ON tokens (host);

-- Who asked for, approved, assigned and loaded what. Nothing in it is ever changed or removed.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL
);

CREATE INDEX audit_at ON audit (at);
-- Whether somebody did something before.
CREATE INDEX audit_subject ON audit (subject, action, actor);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is not changed');
END;

CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is not removed');
END;
