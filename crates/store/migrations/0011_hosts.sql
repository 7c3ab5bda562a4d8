-- The kernels of hosts, as far as they differ in what matters on them: a thousand hosts with one kernel and
-- one livepatch are one row here. Rows that no host names any more are removed.
CREATE TABLE host_kernels (
    -- The digest of the facts.
    digest      TEXT    NOT NULL PRIMARY KEY,
    -- Facts of a target, reduced to what an assessment asks, as JSON.
    facts       TEXT    NOT NULL
) WITHOUT ROWID;

-- A row is written with every report, a quarter of an hour after the one before: what is large and seldom
-- changes lies in tables of its own. Hosts that were not seen are found by looking at all: an index on
-- last_seen would be moved by every report.
CREATE TABLE hosts (
    name              TEXT    NOT NULL PRIMARY KEY,
    registered_at     INTEGER NOT NULL,
    -- NULL: it has not reported yet.
    last_seen         INTEGER,
    -- The kernel that runs, as it was told last.
    release           TEXT    NOT NULL,
    architecture      TEXT    NOT NULL,
    build_id          TEXT,
    kernel            TEXT    NOT NULL REFERENCES host_kernels (digest),
    -- From the last report: how it stands, for how long it runs, and the digest of its livepatch's module.
    state             TEXT,
    uptime_seconds    INTEGER,
    livepatch         TEXT
) WITHOUT ROWID;

CREATE INDEX hosts_release ON hosts (release, name);
CREATE INDEX hosts_state ON hosts (state, name);
CREATE INDEX hosts_kernel ON hosts (kernel, name);
CREATE INDEX hosts_livepatch ON hosts (livepatch) WHERE livepatch IS NOT NULL;

CREATE TABLE host_tags (
    host  TEXT NOT NULL REFERENCES hosts (name) ON DELETE CASCADE,
    tag   TEXT NOT NULL,
    PRIMARY KEY (host, tag)
) WITHOUT ROWID;
CREATE INDEX host_tags_tag ON host_tags (tag, host);

-- The last report of a host, without what differs every time: a document that only the server reads.
CREATE TABLE host_reports (
    host  TEXT NOT NULL PRIMARY KEY REFERENCES hosts (name) ON DELETE CASCADE,
    body  TEXT NOT NULL
);

-- What happened on hosts: the newest of each.
CREATE TABLE host_events (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    host    TEXT    NOT NULL REFERENCES hosts (name) ON DELETE CASCADE,
    at      INTEGER NOT NULL,
    -- A document that only the server reads.
    body    TEXT    NOT NULL
);
CREATE INDEX host_events_host ON host_events (host, number);

-- Livepatches that hosts are to run. To whom: a host, all with a tag, or all (with an empty name).
CREATE TABLE assignments (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    to_kind   TEXT    NOT NULL CHECK (to_kind IN ('host', 'tag', 'all')),
    to_name   TEXT    NOT NULL,
    build     INTEGER NOT NULL REFERENCES builds (number),
    -- The kernel that the build is for; the build-id where one is known to be the running kernel's own.
    architecture TEXT NOT NULL,
    release   TEXT    NOT NULL,
    build_id  TEXT,
    -- The digest of its module.
    module    TEXT    NOT NULL,
    note      TEXT    NOT NULL,
    made_at   INTEGER NOT NULL
);
-- One that is made again takes the place of the earlier one.
CREATE UNIQUE INDEX assignments_once ON assignments (to_kind, to_name, build);
CREATE INDEX assignments_release ON assignments (release, to_kind, to_name);

-- Whom nothing is assigned to for a while; names as above.
CREATE TABLE holds (
    to_kind   TEXT    NOT NULL CHECK (to_kind IN ('host', 'tag', 'all')),
    to_name   TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    made_at   INTEGER NOT NULL,
    PRIMARY KEY (to_kind, to_name)
) WITHOUT ROWID;

-- Livepatches that no host may run.
CREATE TABLE withdrawals (
    build    INTEGER NOT NULL PRIMARY KEY REFERENCES builds (number),
    -- The digest of its module: that of a rebuild is the same livepatch.
    module   TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    made_at  INTEGER NOT NULL
);
CREATE INDEX withdrawals_module ON withdrawals (module);

-- Which build made a livepatch that a host runs.
CREATE INDEX builds_module ON builds (module) WHERE module IS NOT NULL;
