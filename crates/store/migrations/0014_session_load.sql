-- What sessions of the REST API v1.0 take of the server is counted before each of their orders: how many were made of
-- late, which builds have one, and whether a kernel was built for before.
CREATE INDEX sessions_made ON sessions (made_at);
CREATE INDEX sessions_build ON sessions (build);
CREATE INDEX builds_config ON builds (config);
