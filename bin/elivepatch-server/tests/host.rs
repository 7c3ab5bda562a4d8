//! The commands of hosts, on a data directory as servers have it, and beside one that runs.

#[path = "../../../crates/server/src/app/hosts/made_for_tests.rs"]
mod made_for_tests;
mod ran;
mod running;

use std::{fs, path::PathBuf, process::Command};

use camino::Utf8PathBuf;
use elivepatch_api::{
    HostFault, HostHealth, HostLivepatch, HostReport, HostState, Order,
    client::{Client, ServerUrl},
};
use elivepatch_model::{Architecture, BuildNumber, HostName, Sha256Digest, TargetFacts};
use elivepatch_server::app::{Fleet, Store};
use made_for_tests::build_for_tests;
use ran::Run;
use running::Running;

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

const RELEASE: &str = "6.1.176-mine";

const FLAW: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

const FIX: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    /// A data directory with the hosts `web-1` (of the tag `web`) and `db-1`, and a feed with two CVEs.
    fn new() -> Self {
        let home = Self { directory: tempfile::tempdir().expect("a directory") };
        let place = home.directory.path().display();
        let config = format!(
            "listen = \"127.0.0.1:0\"\ndata_directory = \"{place}/data\"\ncache_directory = \
             \"{place}/cache\"\n[feed]\nsource = \"{place}/vulns\"\n[hosts]\nreport_seconds = 60\n"
        );
        fs::write(home.path("server.toml"), config).expect("own file");
        let published = home.path("vulns/published/2026");
        fs::create_dir_all(&published).expect("own directory");
        for (number, score, fixed) in [(1001, 5.5, "6.1.177"), (1002, 9.8, "6.1.178")] {
            let record = serde_json::json!({
                "cveMetadata": {"cveId": format!("CVE-2026-{number}")},
                "containers": {"cna": {
                    "title": format!("flaw {number}\u{1b}[2J"),
                    "metrics": [{"cvssV3_1": {"version": "3.1", "baseScore": score, "vectorString": "V"}}],
                }},
            });
            let path = published.join(format!("CVE-2026-{number}"));
            fs::write(path.with_extension("json"), record.to_string()).expect("own file");
            let dyads = format!("4.20:{FLAW}:{fixed}:{FIX}\n");
            fs::write(path.with_extension("dyad"), dyads).expect("own file");
        }
        fs::create_dir(home.path("data")).expect("own directory");
        home.with_fleet(async |fleet| {
            for (host, tags) in [("web-1", vec!["web".parse().expect("a tag")]), ("db-1", vec![])] {
                fleet.register(name(host), tags, target()).await.expect("registered");
            }
        });
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(SERVER);
        command.args(arguments).arg("--config").arg(self.path("server.toml"));
        Run(command.env_remove("RUST_LOG").env("COLUMNS", "200").output().expect("the program"))
    }

    fn host(&self, arguments: &[&str]) -> Run {
        self.run(&[&["host"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let told = self.host(&[arguments, &["--json"]].concat()).succeeds().stdout();
        serde_json::from_str(&told).expect("JSON")
    }

    /// Does with the store what the server would.
    fn with_store<T>(&self, work: impl AsyncFnOnce(Store) -> T) -> T {
        let data = Utf8PathBuf::from_path_buf(self.path("data")).expect("UTF-8");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let store = Store::open(&data).await.expect("the store");
            let done = work(store.clone()).await;
            store.close().await;
            done
        })
    }

    fn with_fleet<T>(&self, work: impl AsyncFnOnce(Fleet) -> T) -> T {
        self.with_store(async |store| work(Fleet::new(store, 60)).await)
    }

    fn livepatch(&self) -> (BuildNumber, Sha256Digest) {
        self.with_store(async |store| build_for_tests(&store, RELEASE, None).await)
    }

    fn report(&self, host: &str, report: HostReport) -> Order {
        self.with_fleet(async |fleet| {
            fleet.report(&name(host), report).await.expect("reported").order
        })
    }
}

impl Run {
    fn says(self, expected: &[&str]) -> Self {
        let run = self.succeeds();
        let told = format!("{}{}", run.stdout(), run.stderr());
        for part in expected {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains('\u{1b}'), "{told:?}");
        run
    }
}

fn name(text: &str) -> HostName {
    text.parse().expect("a name")
}

fn target() -> TargetFacts {
    TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64)
}

fn report() -> HostReport {
    HostReport {
        agent_version: "0.1.0".to_owned(),
        target: target(),
        boot_id: "one".to_owned(),
        uptime_seconds: 7200,
        state: HostState::NotPatched,
        livepatch: None,
        faults: vec![],
        locked_out: vec![],
    }
}

fn running(digest: Sha256Digest) -> HostReport {
    let (name, health) = ("elivepatch_x".to_owned(), HostHealth::Proven);
    let livepatch = HostLivepatch { name, digest, active: true, since: None, health };
    HostReport { state: HostState::Patched, livepatch: Some(livepatch), ..report() }
}

#[test]
fn hosts_are_listed_shown_tagged_and_forgotten() {
    let home = Home::new();
    let list = home.host(&["list"]).succeeds().stdout();
    assert!(list.starts_with("HOST "), "{list}");
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[1].starts_with("db-1") && lines[1].contains("never reported"), "{list}");
    assert!(lines[2].starts_with("web-1") && lines[2].ends_with("web"), "{list}");
    home.host(&["tag", "db-1", "db", "site:vienna"]).says(&["tags of db-1: db site:vienna"]);
    home.host(&["tag", "db-1", "db", "--remove"]).says(&["tags of db-1: site:vienna"]);
    home.host(&["tag", "db-1", "site:vienna", "--remove"]).says(&["tags of db-1: -"]);
    home.host(&["tag", "db-1", "-x"]).fails(2, &[]);
    home.host(&["tag", "db-9", "db"])
        .fails(1, &["no host is registered as db-9", "hint: elivepatch-server host list"]);

    let digest = Sha256Digest::of(b"nobody's");
    let fault = HostFault { what: "an \u{202e}oops".to_owned(), hint: "look".to_owned() };
    let trouble = HostReport {
        state: HostState::Trouble,
        faults: vec![fault],
        locked_out: vec![digest],
        ..running(digest)
    };
    home.report("web-1", trouble);
    let short = digest.short();
    home.host(&["show", "web-1"]).says(&[
        "host:             web-1\n",
        "tags:             web\n",
        "state:            trouble\n",
        "kernel:           6.1.176-mine\n",
        "up for:           2 hours",
        "fault:            an \\u{202e}oops\n",
        "  to do:          look\n",
        "livepatch:        elivepatch_x, which no build of this server made: active, and proven\n",
        &format!("locked out:       {digest}\n"),
        "is told:          to stay as it is: nothing is assigned to its kernel\n",
        &format!("loaded elivepatch_x ({short})\n"),
        &format!("locked out the module {short}\n"),
        "trouble: an \\u{202e}oops\n",
    ]);
    let json = home.json(&["show", "web-1"]);
    assert_eq!(json["report"]["uptime_seconds"], 7200);
    assert_eq!(json["order"]["what"], "stay");
    assert_eq!(json["events"].as_array().expect("a list").len(), 3);
    let names = |arguments: &[&str]| {
        let found = home.json(&[&["list"], arguments].concat());
        let found = found.as_array().expect("a list").iter();
        found.map(|host| host["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["db-1", "web-1"]);
    assert_eq!(names(&["--state", "trouble"]), ["web-1"]);
    assert_eq!(names(&["--tag", "web"]), ["web-1"]);
    assert_eq!(names(&["--release", RELEASE]), ["db-1", "web-1"]);
    assert_eq!(names(&["--silent"]), [""; 0]);
    home.host(&["list", "--state", "well"]).fails(2, &["is no state of a host"]);
    home.host(&["list", "--silent", "0"]).fails(1, &["silent is 0"]);
    let none = home.host(&["list", "--tag", "none"]).succeeds();
    assert!(none.stdout().is_empty() && none.stderr().contains("no such host is registered"));

    home.host(&["forget", "web-1"]).says(&["forgotten: web-1"]);
    home.host(&["forget", "web-1"]).fails(1, &["no host is registered as web-1"]);
    home.host(&["show", "web-1"]).fails(1, &["no host is registered as web-1"]);
    assert_eq!(names(&[]), ["db-1"]);
}

#[test]
fn livepatches_are_assigned_held_and_withdrawn() {
    let home = Home::new();
    home.host(&["assign", "7", "--all"])
        .fails(1, &["there is no build 7", "hint: elivepatch builds"]);
    home.host(&["assign", "1"]).fails(2, &["--host <NAME>|--tag <TAG>|--all"]);
    home.host(&["assign", "1", "--all", "--tag", "web"]).fails(2, &["cannot be used with"]);
    let (build, digest) = home.livepatch();
    assert_eq!(build, BuildNumber(1));
    home.host(&["assign", "1", "--host", "web-9"])
        .fails(1, &["no host is registered as web-9", "hint: elivepatch-server host list"]);
    home.host(&["assign", "1", "--tag", "later"]).says(&[
        "assigned: the livepatch of build 1 for 6.1.176-mine to all hosts with the tag later (assignment 1)",
        "it reaches no host now",
        "warning: no host has the tag later yet",
        "warning: it is not known which build-id the kernel has",
    ]);
    home.host(&["assign", "1", "--tag", "web", "--note", "by me"])
        .says(&["to all hosts with the tag web (assignment 2)", "1 host hears of it"]);
    let list = home.host(&["assignments"]).succeeds().stdout();
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines[1].starts_with("2 "), "{list}");
    assert!(lines[1].contains("tag web") && lines[1].ends_with("by me"), "{list}");
    assert!(matches!(home.report("web-1", report()), Order::Load(load) if load.digest == digest));
    assert_eq!(home.report("db-1", report()), Order::Stay);

    home.host(&["hold", "--host", "web-1", "--reason", "being debugged"])
        .says(&["held: the host web-1"]);
    home.host(&["hold", "--all", "--reason", "friday"]).says(&["held: all hosts"]);
    let held = Order::Hold { reason: "being debugged".to_owned() };
    assert_eq!(home.report("web-1", report()), held);
    home.host(&["show", "web-1"]).says(&[
        "held:             by host web-1: being debugged\n",
        "held:             by all: friday\n",
        "is told:          to stay as it is, held: being debugged\n",
    ]);
    home.host(&["holds"]).says(&["HELD", "all", "friday", "host web-1", "being debugged"]);
    assert_eq!(home.json(&["holds"]).as_array().expect("a list").len(), 2);
    home.host(&["release", "--host", "web-1"])
        .says(&["released: the host web-1", "warning: it is held all the same, by: all"]);
    home.host(&["release", "--host", "web-1"])
        .fails(1, &["nothing holds the host web-1", "hint: elivepatch-server host show web-1"]);
    home.host(&["release", "--all"]).says(&["released: all hosts"]);
    home.host(&["holds"]).says(&["nothing is held"]);

    home.report("web-1", running(digest));
    home.host(&["show", "web-1"]).says(&["elivepatch_x, of build 1: active, and proven"]);
    home.host(&["withdraw", "1", "--reason", "it oopses"]).says(&[
        &format!("withdrawn: the livepatch of build 1 ({})", digest.short()),
        "1 host has it, and takes it back at its next report",
    ]);
    assert_eq!(
        home.report("web-1", running(digest)),
        Order::Unload { reason: "it oopses".to_owned() }
    );
    home.host(&["show", "web-1"])
        .says(&["to take its livepatch back, which was withdrawn: it oopses"]);
    home.host(&["withdrawals"]).says(&["BUILD", "it oopses"]);
    home.host(&["assignments"]).says(&["withdrawn"]);
    home.host(&["assign", "1", "--all"]).fails(
        1,
        &[
            "the livepatch of build 1 was withdrawn: it oopses",
            "hint: elivepatch-server host allow 1",
        ],
    );
    home.host(&["withdraw", "9"]).fails(1, &["there is no build 9"]);
    home.host(&["allow", "1"]).says(&["allowed: the livepatch of build 1"]);
    home.host(&["allow", "1"]).fails(
        1,
        &["the livepatch of build 1 is not withdrawn", "hint: elivepatch-server host withdrawals"],
    );
    home.host(&["unassign", "2"]).says(&["taken away: assignment 2"]);
    home.host(&["unassign", "2"])
        .fails(1, &["there is no assignment 2", "hint: elivepatch-server host assignments"]);
    home.host(&["unassign", "1"]).succeeds();
    assert_eq!(home.json(&["assignments"]), serde_json::json!([]));
    assert_eq!(home.json(&["withdrawals"]), serde_json::json!([]));
    home.host(&["hold", "--all", "--reason", "a\nb"]).fails(1, &["the reason is not one line"]);
}

#[test]
fn exposure_is_told_by_cve_and_by_host() {
    let home = Home::new();
    home.host(&["exposure"])
        .fails(1, &["this server has read no CVE feed yet", "elivepatch-server feed update"]);
    home.run(&["feed", "update"]).succeeds();
    home.host(&["exposure"]).says(&[
        "KERNEL",
        "6.1.176-mine",
        "warning: 6.1.176-mine: all code counts as built, for no base of the kernel is ready",
        "CVE-2026-1002",
        "flaw 1001",
    ]);
    home.host(&["exposure", "--host", "web-1"]).says(&["CVE-2026-1002  9.8", "CVE-2026-1001  5.5"]);
    home.host(&["exposure", "--cve", "CVE-2026-1001"]).says(&[
        "CVE-2026-1001: flaw 1001",
        "exposed:      2\n",
        "not affected: 0\n",
        "  db-1 (6.1.176-mine)\n",
        "  web-1 (6.1.176-mine)\n",
    ]);
    let json = home.json(&["exposure", "--cve", "CVE-2026-1001"]);
    assert_eq!(json["cves"][0]["exposed"], 2);
    assert_eq!(json["machines"][1]["standing"], "exposed");
    assert_eq!(home.json(&["exposure"])["cves"].as_array().expect("a list").len(), 2);
    home.host(&["exposure", "--cve", "CVE-2026-9"]).fails(2, &["is no CVE's name"]);
    home.host(&["exposure", "--cve", "CVE-2026-9999"])
        .fails(1, &["the CVE feed has no CVE-2026-9999", "hint: elivepatch-server feed update"]);
    home.host(&["exposure", "--host", "web-9"]).fails(1, &["no host is registered as web-9"]);
    let fixed = TargetFacts::new("6.1.178-mine".parse().expect("a release"), Architecture::X86_64);
    home.report("web-1", HostReport { target: fixed, ..report() });
    home.host(&["exposure", "--host", "web-1"]).says(&["web-1 is exposed to no CVE"]);
    home.host(&["exposure", "--cve", "CVE-2026-1001"])
        .says(&["exposed:      1\n", "not affected: 1\n"]);
}

#[test]
fn place_without_a_data_directory_is_told() {
    let home = Home::new();
    fs::remove_dir_all(home.path("data")).expect("own directory");
    for arguments in [&["list"][..], &["exposure"], &["hold", "--all"]] {
        home.host(arguments)
            .fails(1, &["there is no data directory", "hint: name the server's own"]);
    }
}

#[test]
fn server_that_runs_tells_hosts_what_was_changed_beside_it() {
    let home = Home::new();
    let (build, digest) = home.livepatch();
    home.run(&["feed", "update"]).succeeds();
    let server = Running::start(&home.path("server.toml"), &[]);
    let url: ServerUrl = server.url.parse().expect("its address");
    let client = Client::over_http(url, "test").expect("a client");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let order = |report: &HostReport| {
        let told = runtime.block_on(client.report(&name("web-1"), report)).expect("reported");
        assert_eq!(told.report_after_seconds, 60);
        told.order
    };
    assert_eq!(order(&report()), Order::Stay);
    home.host(&["assign", &build.to_string(), "--tag", "web"]).succeeds();
    assert!(matches!(order(&report()), Order::Load(load) if load.build == build));
    home.host(&["hold", "--tag", "web", "--reason", "a launch"]).succeeds();
    assert_eq!(order(&running(digest)), Order::Hold { reason: "a launch".to_owned() });
    home.host(&["withdraw", &build.to_string(), "--reason", "it oopses"]).succeeds();
    assert_eq!(order(&running(digest)), Order::Unload { reason: "it oopses".to_owned() });
    home.host(&["exposure", "--host", "web-1"]).says(&["CVE-2026-1002"]);
    home.host(&["forget", "web-1"]).succeeds();
    let gone = runtime.block_on(client.report(&name("web-1"), &report())).expect_err("forgotten");
    assert!(gone.to_string().contains("no host is registered as web-1"), "{gone}");
}
