-- The sessions of clients of the REST API v1.0: what each called itself, and the build that it ordered. The id is
-- a random UUID of the client's, and whoever knows it gets the module.
CREATE TABLE sessions (
    id       TEXT    NOT NULL PRIMARY KEY,
    build    INTEGER NOT NULL REFERENCES builds (number),
    made_at  INTEGER NOT NULL
) WITHOUT ROWID;
