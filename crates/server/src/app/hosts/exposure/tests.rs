//! Exposure on a real store with a real feed; what kernels are built from is made up, and counted how often it is
//! asked: once for each assessment.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use camino::Utf8PathBuf;
use elivepatch_api::{HostHealth, HostLivepatch, HostReport, HostState, ListHostsQuery};
use elivepatch_cve::{Applicability, CveResult, FixRecord, Fixes, Outcome};
use elivepatch_model::{
    Architecture, BuilderIdentity, BuiltFiles, Distribution, Failure, KernelRelease,
    LoadedLivepatch, MachineFacts, RunState, Sha256Digest, TargetFacts,
};
use elivepatch_store::{ApprovedFix, NewRun, RunCveRecord, RunStep, Store};

use super::*;
use crate::app::{
    AppOptions, CveOptions, FeedOptions, Inventories, Inventory, hosts::build_for_tests, now,
    update_feed,
};

const A: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
const B: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";
const STOCK: &str = "6.1.0-50-cloud-amd64";
const MODULE_ID: &str = "aaaaaaaaaaaaaaaaaaaa";

/// Says of the stock kernel that one file is in it, and of no other kernel anything.
#[derive(Debug, Default)]
struct Counted(AtomicUsize);

impl Inventories for Counted {
    fn find(&self, target: &TargetFacts) -> Result<Option<Inventory>, String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        if target.release.as_str() != STOCK {
            return Ok(None);
        }
        let compiled = [("mm/mmap.c".to_owned(), ["".to_owned()].into())].into();
        Ok(Some(Inventory {
            base: "stock-base".to_owned(),
            version: Some("6.1.176-1".to_owned()),
            built: BuiltFiles { compiled, ..BuiltFiles::default() },
            has_file: Box::new(|_| true),
            left_out: Box::new(|_| None),
        }))
    }

    fn stock_config(&self, _release: &KernelRelease) -> Result<Vec<u8>, Failure> {
        unreachable!("an assessment needs no config")
    }

    fn stock_releases(&self, _version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        unreachable!("an assessment needs no release")
    }
}

struct Place {
    app: App,
    counted: Arc<Counted>,
    directory: tempfile::TempDir,
}

/// A CVE with a score, in a file, that is fixed in a version; `None`: in none.
type Flaw<'a> = (u32, f32, &'a str, Option<&'a str>);

/// One that a livepatch fixes, one that nothing fixes, one in no file of the stock kernel, and one that no kernel
/// here has any more.
const FLAWS: [Flaw<'_>; 4] = [
    (1001, 5.5, "mm/mmap.c", Some("6.1.177")),
    (1002, 9.8, "mm/mmap.c", Some("6.1.178")),
    (1003, 7.0, "drivers/none.c", Some("6.1.177")),
    (1004, 8.0, "mm/mmap.c", Some("6.1.100")),
];

impl Place {
    async fn without_feed() -> Self {
        // Thousands of transactions: no disk has to be waited for in memory.
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let directory = directory.expect("a directory");
        let data = Utf8PathBuf::from_path_buf(directory.path().join("data")).expect("UTF-8");
        fs::create_dir(&data).expect("own directory");
        let counted = Arc::new(Counted::default());
        let options = AppOptions {
            data_directory: data,
            queue_limit: 10,
            allow_unproven: false,
            feed: None,
            cve: CveOptions::default(),
            inventories: Some(counted.clone()),
            host_report_seconds: 900,
            v1: None,
            manifest_key: None,
            builder_identity: BuilderIdentity::default(),
        };
        let app = App::open(options).await.expect("an app");
        Self { app, counted, directory }
    }

    async fn new() -> Self {
        let place = Self::without_feed().await;
        place.publish(&FLAWS).await;
        place
    }

    /// Has the server read a feed with these CVEs.
    async fn publish(&self, flaws: &[Flaw<'_>]) {
        let feed = self.directory.path().join("vulns");
        let _ = fs::remove_dir_all(&feed);
        let published = feed.join("published/2026");
        fs::create_dir_all(&published).expect("own directory");
        for (number, score, file, fixed) in flaws {
            let record = serde_json::json!({
                "cveMetadata": {"cveId": format!("CVE-2026-{number}")},
                "containers": {"cna": {
                    "title": format!("flaw {number}"),
                    "affected": [{"defaultStatus": "affected", "programFiles": [file]}],
                    "metrics": [{"cvssV3_1": {"version": "3.1", "baseScore": score, "vectorString": "V"}}],
                }},
            });
            let path = published.join(format!("CVE-2026-{number}"));
            fs::write(path.with_extension("json"), record.to_string()).expect("own file");
            let end = fixed.map_or("0:0".to_owned(), |version| format!("{version}:{B}"));
            fs::write(path.with_extension("dyad"), format!("4.20:{A}:{end}\n")).expect("own file");
        }
        let options = FeedOptions {
            source: feed.to_str().expect("UTF-8").to_owned(),
            mirror: Utf8PathBuf::from_path_buf(self.directory.path().join("mirror"))
                .expect("UTF-8"),
            every: Duration::from_secs(3600),
            stale_after: Duration::from_secs(24 * 3600),
        };
        update_feed(self.store(), &options, true).await.expect("read");
    }

    fn store(&self) -> &Store {
        self.app.store()
    }

    fn assessments(&self) -> usize {
        self.counted.0.load(Ordering::SeqCst)
    }

    async fn register(&self, name: &str, target: TargetFacts) {
        self.app.register_host(host(name), Vec::new(), target).await.expect("registered");
    }

    async fn ask(&self, query: ExposureQuery) -> ExposureResource {
        self.app.exposure(query).await.expect("it can be answered")
    }

    async fn all(&self) -> ExposureResource {
        self.ask(ExposureQuery::default()).await
    }

    /// A finished CVE run with a livepatch that has the fix of CVE-2026-1001. Gives its module's digest.
    async fn livepatch(&self) -> Sha256Digest {
        let (build, digest) = build_for_tests(self.store(), STOCK, Some(MODULE_ID)).await;
        let result = CveResult {
            id: cve(1001),
            applicability: Applicability::Candidate {
                parents: Vec::new(),
                doubt: None,
                fixes: Fixes::None,
            },
            outcome: Some(Outcome::Livepatch { functions: Vec::new() }),
            fixes: vec![FixRecord {
                commit: B.to_owned(),
                version: None,
                digest: Sha256Digest::of(b"the fix"),
                source: "a directory".to_owned(),
            }],
            probe: None,
            probe_seconds: None,
        };
        let title = "flaw 1001".to_owned();
        let new = NewRun {
            key: Sha256Digest::of(b"a run"),
            release: STOCK.parse().expect("a release"),
            config: None,
            kallsyms: None,
            patches: Vec::new(),
            request: "{}".to_owned(),
            progress: "{}".to_owned(),
            cves: vec![RunCveRecord { title, cvss: None, result }],
        };
        let (run, _) = self.store().begin_run(&new, false, now()).await.expect("begun");
        let step = RunStep {
            state: RunState::Finished,
            joinable: true,
            progress: "{}".to_owned(),
            config: None,
            livepatch: Some(build),
            failure: None,
            results: Vec::new(),
        };
        assert!(self.store().step_run(run, &step, now()).await.expect("a step"));
        digest
    }
}

fn host(name: &str) -> HostName {
    name.parse().expect("a name")
}

fn cve(number: u32) -> CveId {
    format!("CVE-2026-{number}").parse().expect("a CVE")
}

fn target(release: &str) -> TargetFacts {
    TargetFacts::new(release.parse().expect("a release"), Architecture::X86_64)
}

/// The stock kernel with a livepatch, whose module has a build-id.
fn running(build_id: &str, active: bool) -> TargetFacts {
    let build_id = Some(build_id.parse().expect("a build-id"));
    let livepatch = LoadedLivepatch { name: "elivepatch_x".to_owned(), build_id, active };
    let machine = MachineFacts { livepatches: Some(vec![livepatch]), ..MachineFacts::default() };
    TargetFacts { machine: Some(machine), ..target(STOCK) }
}

/// Each CVE with its exposed, patched, other and unknown hosts.
fn counts(found: &ExposureResource) -> Vec<(u32, [u64; 4])> {
    let of = |cve: &elivepatch_api::ExposedCve| {
        (cve.id.number(), [cve.exposed, cve.patched, cve.not_affected, cve.unknown])
    };
    found.cves.iter().map(of).collect()
}

fn machines(found: &ExposureResource) -> Vec<String> {
    let shown = |host: &ExposedHost| format!("{} {}", host.name, host.standing.as_str());
    found.machines.iter().map(shown).collect()
}

async fn refused(place: &Place, query: ExposureQuery) -> String {
    place.app.exposure(query).await.expect_err("it cannot be answered").to_string()
}

#[tokio::test]
async fn five_thousand_hosts_on_ten_kernels_cost_ten_assessments() {
    let place = Place::new().await;
    for number in 0..5000 {
        let mut kernel = target(STOCK);
        kernel.kernel_version = Some(format!("#{} SMP", number % 10));
        // What differs from host to host and says nothing of the kernel makes no other one.
        kernel.compiler = Some(format!("gcc {number}"));
        let modules = Some(vec![format!("module_{number}")]);
        kernel.machine = Some(MachineFacts { loaded_modules: modules, ..MachineFacts::default() });
        place.register(&format!("host-{number:04}"), kernel).await;
    }
    assert_eq!(place.assessments(), 0, "registering costs none");
    let found = place.all().await;
    assert_eq!(place.assessments(), 10);
    assert_eq!((found.hosts, found.kernels.len(), found.kernels_left_out), (5000, 10, 0));
    assert_eq!(counts(&found), [(1002, [5000, 0, 0, 0]), (1001, [5000, 0, 0, 0])]);
    // Asked again, of a CVE, and of a host, nothing is worked out anew.
    place.all().await;
    let by_cve = ExposureQuery { cve: Some(cve(1002)), limit: Some(1000), ..Default::default() };
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let found = place.ask(ExposureQuery { after, ..by_cve.clone() }).await;
        seen.extend(found.machines.into_iter().map(|host| host.name));
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 5000);
    assert!(seen.is_sorted_by(|one, other| one < other), "each once, by their names");
    place.ask(ExposureQuery { host: Some(host("host-4711")), ..Default::default() }).await;
    assert_eq!(place.assessments(), 10);
    // The list of hosts asks for none.
    let query = ListHostsQuery { limit: Some(1000), ..Default::default() };
    let list = place.app.fleet().list(query).await.expect("listed");
    assert_eq!((list.hosts.len(), list.next), (1000, Some(host("host-0999"))));
    assert_eq!(place.assessments(), 10);
    // One host with another kernel costs one more, and a feed with news all of them.
    place.register("other", target("6.1.176-mine")).await;
    place.all().await;
    assert_eq!(place.assessments(), 11);
    place.publish(&FLAWS[..1]).await;
    assert_eq!(counts(&place.all().await), [(1001, [5001, 0, 0, 0])]);
    assert_eq!(place.assessments(), 22);
}

#[tokio::test]
async fn active_livepatch_of_a_run_counts_as_the_fix_and_no_other_does() {
    let place = Place::new().await;
    place.livepatch().await;
    place.register("a-patched", running(MODULE_ID, true)).await;
    place.register("b-not-active", running(MODULE_ID, false)).await;
    place.register("c-foreign", running("bbbbbbbbbbbbbbbbbbbb", true)).await;
    place.register("d-fixed", target("6.1.178-mine")).await;
    place.register("e-untold", target("6.12.0-custom")).await;
    place.register("f-no-base", target("6.1.176-mine")).await;
    let found = place.all().await;
    assert_eq!(counts(&found), [(1002, [4, 0, 1, 1]), (1003, [1, 0, 4, 1]), (1001, [3, 1, 1, 1])]);
    let kernel = |found: &ExposureResource, release: &str, livepatch: bool| {
        let mut kernels = found.kernels.iter();
        let is_it = |kernel: &&ExposedKernel| {
            kernel.release.as_str() == release && kernel.livepatches.is_empty() != livepatch
        };
        kernels.find(is_it).expect("it is listed").clone()
    };
    let plain = kernel(&found, STOCK, false);
    assert_eq!((plain.exposed, plain.patched, plain.base.as_deref()), (2, 0, Some("stock-base")));
    assert_eq!(plain.upper_bound, [""; 0]);
    let untold = kernel(&found, "6.12.0-custom", false);
    assert!(untold.problem.expect("it is told").contains("does not tell which version of Linux"));
    let no_base = kernel(&found, "6.1.176-mine", false);
    assert_eq!((no_base.exposed, no_base.base), (3, None));
    assert!(no_base.upper_bound[0].contains("base warm 6.1.176-mine"), "{:?}", no_base.upper_bound);
    let foreign: Vec<_> =
        found.kernels.iter().filter(|kernel| !kernel.livepatches.is_empty()).collect();
    assert_eq!(foreign.len(), 2);
    let doubt = foreign.iter().find(|kernel| kernel.patched == 0).expect("the foreign one");
    assert!(doubt.upper_bound[0].contains("that the livepatch elivepatch_x fixes"));

    let of = |standing| ExposureQuery { cve: Some(cve(1001)), standing, ..Default::default() };
    let found = place.ask(of(None)).await;
    assert_eq!(
        machines(&found),
        [
            "a-patched patched",
            "b-not-active exposed",
            "c-foreign exposed",
            "d-fixed not-affected",
            "e-untold unknown",
            "f-no-base exposed"
        ]
    );
    assert_eq!(counts(&found), [(1001, [3, 1, 1, 1])]);
    let mut query = ExposureQuery { limit: Some(2), ..of(Some(HostStanding::Exposed)) };
    let found = place.ask(query.clone()).await;
    assert_eq!(machines(&found), ["b-not-active exposed", "c-foreign exposed"]);
    query.after = found.next;
    let found = place.ask(query).await;
    assert_eq!((machines(&found), found.next), (vec!["f-no-base exposed".to_owned()], None));

    let of_host = |name: &str| ExposureQuery { host: Some(host(name)), ..Default::default() };
    let found = place.ask(of_host("f-no-base")).await;
    let numbers: Vec<u32> = found.cves.iter().map(|cve| cve.id.number()).collect();
    assert_eq!(numbers, [1002, 1003, 1001], "the worst first");
    assert_eq!((found.hosts, found.kernels.len()), (1, 1));
    let mut query = ExposureQuery { limit: Some(2), ..of_host("f-no-base") };
    let found = place.ask(query.clone()).await;
    assert_eq!((found.cves.len(), found.next.as_deref()), (2, Some("CVE-2026-1003")));
    query.after = found.next;
    assert_eq!(counts(&place.ask(query).await), [(1001, [1, 0, 0, 0])]);
    assert_eq!(counts(&place.ask(of_host("a-patched")).await), [(1002, [1, 0, 0, 0])]);
}

#[tokio::test]
async fn what_a_person_approves_while_the_server_runs_counts_at_once() {
    let place = Place::new().await;
    place.livepatch().await;
    place.register("a", running(MODULE_ID, true)).await;
    let query = || ExposureQuery { cve: Some(cve(1001)), ..Default::default() };
    assert_eq!(machines(&place.ask(query()).await), ["a patched"]);
    let blob = place.store().place_blob(b"another fix".to_vec()).await.expect("placed");
    let fix = ApprovedFix {
        cve: cve(1001),
        digest: blob.digest,
        size_bytes: blob.size_bytes,
        name: "other.patch".to_owned(),
        files: vec!["mm/mmap.c".to_owned()],
        note: String::new(),
        approved_at: now(),
    };
    // As the command beside it does.
    let data = camino::Utf8Path::from_path(place.directory.path()).expect("UTF-8").join("data");
    let beside = Store::open(&data).await.expect("the store again");
    beside.approve_fix(&fix).await.expect("approved");
    assert_eq!(machines(&place.ask(query()).await), ["a exposed"]);
}

#[tokio::test]
async fn host_that_cannot_tell_what_is_loaded_has_the_livepatch_of_its_agent() {
    let place = Place::new().await;
    let digest = place.livepatch().await;
    place.register("a", target(STOCK)).await;
    let livepatch = HostLivepatch {
        name: "elivepatch_x".to_owned(),
        digest,
        active: true,
        since: None,
        health: HostHealth::Proven,
    };
    let mut report = HostReport {
        agent_version: "1.0".to_owned(),
        target: target(STOCK),
        boot_id: "one".to_owned(),
        uptime_seconds: 1,
        state: HostState::Patched,
        livepatch: Some(livepatch.clone()),
        faults: vec![],
        locked_out: vec![],
    };
    let standing = async || {
        let query = ExposureQuery { cve: Some(cve(1001)), ..Default::default() };
        machines(&place.ask(query).await).concat()
    };
    assert_eq!(standing().await, "a exposed");
    place.app.report(&host("a"), report.clone()).await.expect("reported");
    assert_eq!(standing().await, "a patched");
    // What it can tell counts more than what its agent thinks.
    let machine = MachineFacts { livepatches: Some(vec![]), ..MachineFacts::default() };
    report.target.machine = Some(machine);
    place.app.report(&host("a"), report.clone()).await.expect("reported");
    assert_eq!(standing().await, "a exposed");
    report.target.machine = None;
    report.livepatch = Some(HostLivepatch { active: false, ..livepatch });
    place.app.report(&host("a"), report).await.expect("reported");
    assert_eq!(standing().await, "a exposed");
}

#[tokio::test]
async fn kernels_that_hosts_make_up_have_an_end() {
    let place = Place::new().await;
    for number in 0..=MOST_KERNELS {
        let mut kernel = target(STOCK);
        kernel.build_id = Some(format!("{number:016x}").parse().expect("a build-id"));
        place.register(&format!("host-{number:03}"), kernel.clone()).await;
        if number < MOST_KERNELS {
            place.register(&format!("twin-{number:03}"), kernel).await;
        }
    }
    let found = place.all().await;
    assert_eq!(place.assessments(), MOST_KERNELS);
    assert_eq!((found.kernels.len(), found.kernels_left_out), (MOST_KERNELS, 1));
    let most = 2 * MOST_KERNELS as u64;
    assert_eq!(counts(&found)[0], (1002, [most, 0, 0, 1]));
    let unknown = Some(HostStanding::Unknown);
    let query = ExposureQuery { cve: Some(cve(1002)), standing: unknown, ..Default::default() };
    let found = place.ask(query).await;
    assert_eq!(machines(&found), [format!("host-{MOST_KERNELS:03} unknown")]);
    // Who asks for it by name is answered.
    let last = Some(host(&format!("host-{MOST_KERNELS:03}")));
    let found = place.ask(ExposureQuery { host: last, ..Default::default() }).await;
    assert_eq!(found.cves.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_answered_is_told() {
    let place = Place::without_feed().await;
    let told = refused(&place, ExposureQuery::default()).await;
    assert_eq!(told, "this server has read no CVE feed yet");
    let place = Place::new().await;
    place.register("a", target(STOCK)).await;
    let all = ExposureQuery::default;
    let both = ExposureQuery { cve: Some(cve(1001)), host: Some(host("a")), ..all() };
    assert_eq!(refused(&place, both).await, "both a CVE and a host are asked for");
    let standing = ExposureQuery { standing: Some(HostStanding::Exposed), ..all() };
    assert_eq!(refused(&place, standing).await, "standing is asked for without a CVE");
    let unknown = ExposureQuery { cve: Some(cve(9999)), ..all() };
    assert_eq!(refused(&place, unknown).await, "the CVE feed has no CVE-2026-9999");
    let unknown = ExposureQuery { host: Some(host("b")), ..all() };
    assert_eq!(refused(&place, unknown).await, "no host is registered as b");
    let gone = ExposureQuery { after: Some("CVE-2026-9999".to_owned()), ..all() };
    assert_eq!(refused(&place, gone).await, "\"CVE-2026-9999\" is not in the list");
    let wrong = ExposureQuery { cve: Some(cve(1001)), after: Some("a/b".to_owned()), ..all() };
    assert!(refused(&place, wrong).await.starts_with("\"a/b\" is no name of a host"));
    for limit in [0, 1001] {
        let query = ExposureQuery { limit: Some(limit), ..all() };
        assert!(refused(&place, query).await.contains("must be 1 to 1000"));
    }
    // A feed that names a flaw of nobody, and a distribution that carries fixes of its own.
    let mut ubuntu = target("6.1.176-mine");
    let distribution = Distribution { id: "ubuntu".to_owned(), version: None, name: None };
    let machine = MachineFacts { distribution: Some(distribution), ..MachineFacts::default() };
    ubuntu.machine = Some(machine);
    place.register("u", ubuntu).await;
    let found = place.ask(ExposureQuery { host: Some(host("u")), ..all() }).await;
    assert!(found.kernels[0].upper_bound[0].contains("the distribution carries fixes"));
    let found = place.ask(ExposureQuery { cve: Some(cve(1004)), ..all() }).await;
    assert_eq!(counts(&found), [(1004, [0, 0, 2, 0])]);
}
