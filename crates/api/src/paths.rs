//! The paths of the API, so that router and client agree.

/// Prefix of the public API.
pub const API: &str = "/api/v2";
/// `POST` submits a build, `GET` lists builds.
pub const BUILDS: &str = "/api/v2/builds";
/// `POST` builds a livepatch again, to compare the two.
pub const REBUILDS: &str = "/api/v2/rebuilds";
/// `GET` below it, by the build-id of its module: a livepatch that was made here.
pub const LIVEPATCHES: &str = "/api/v2/livepatches";
/// `POST`: which CVEs matter on a kernel.
pub const ASSESSMENTS: &str = "/api/v2/assessments";
/// `POST` asks for a livepatch of the CVEs that matter on a kernel, `GET` lists such runs.
pub const RUNS: &str = "/api/v2/cve-runs";
/// `GET` lists the hosts; below it, by name, each host, its report and its hold.
pub const HOSTS: &str = "/api/v2/hosts";
/// `GET` lists which hosts are held; below it those of a tag and of all are held and released.
pub const HOLDS: &str = "/api/v2/holds";
/// `POST` registers a host with a one-time token, and gives it its own.
pub const ENROLMENTS: &str = "/api/v2/enrolments";
/// `GET` lists what is assigned to hosts, `POST` assigns, `DELETE` below it takes an assignment away.
pub const ASSIGNMENTS: &str = "/api/v2/assignments";
/// `GET` lists the livepatches that no host may run, `POST` withdraws one, `DELETE` below it allows it again.
pub const WITHDRAWALS: &str = "/api/v2/withdrawals";
/// `GET`: which hosts are exposed to which CVEs.
pub const EXPOSURE: &str = "/api/v2/exposure";
/// `GET`: who asked for, assigned and loaded what.
pub const AUDIT: &str = "/api/v2/audit";
/// `GET`: health of the server and its workers.
pub const HEALTH: &str = "/api/v2/health";
/// `GET`: version of the server.
pub const VERSION: &str = "/api/v2/version";
/// `GET`: the OpenAPI document.
pub const OPENAPI: &str = "/api/v2/openapi.json";
/// `POST`: a worker asks for work. What is below `/worker/v2` is for workers only.
pub const LEASES: &str = "/worker/v2/leases";
