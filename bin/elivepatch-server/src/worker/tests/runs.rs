//! CVE runs from a feed and patches to a livepatch, with a builder that does what the patches say.

use std::{fs, sync::Mutex};

use elivepatch_api::{
    AssessmentRequest, CveSelection, RunCheck, RunRequest, RunResource, RunState, RunSubmission,
};
use elivepatch_model::{ElfBuildId, LoadedLivepatch, MachineFacts, RunNumber};
use elivepatch_server::app::{
    CveId, CveOptions, FeedOptions, FixSourceOptions, Store, update_feed,
};

use super::*;

/// A hash for a number.
fn hash(number: u32) -> String {
    format!("{number:040x}")
}

fn id(number: u32) -> CveId {
    format!("CVE-2026-{number}").parse().expect("a name")
}

/// A feed, patches of the kernel's branch, and what was built.
struct World {
    directory: TempDir,
    built: Arc<Mutex<Vec<Vec<String>>>>,
    tried: Arc<Mutex<Vec<Tried>>>,
}

/// What was to be tried of a set of fixes, in the words of their patches.
#[derive(Debug, Clone, PartialEq)]
struct Tried {
    /// The set.
    fixes: String,
    /// What the module is that it replaces.
    replaces: Option<String>,
    /// The commands of the checks.
    checks: Vec<String>,
}

fn tried(fixes: &[u32], replaces: Option<&str>, checks: &[&str]) -> Tried {
    Tried {
        fixes: module_of(fixes),
        replaces: replaces.map(str::to_owned),
        checks: checks.iter().map(|check| (*check).to_owned()).collect(),
    }
}

/// What the module of these fixes is: their names.
fn module_of(fixes: &[u32]) -> String {
    fixes.iter().map(|number| name(*number)).collect::<Vec<_>>().join(" ")
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["vulns/published/2026", "fixes", "data"] {
            fs::create_dir_all(directory.path().join(name)).expect("own directory");
        }
        Self { directory, built: Arc::default(), tried: Arc::default() }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.directory.path().join(name)).expect("UTF-8")
    }

    /// Publishes a CVE whose fix came into the branch with a version, and its fix: what a builder makes of
    /// it is a word in it.
    fn publish(&self, number: u32, fixed_in: &str, word: &str) {
        self.publish_in(&format!("mm/file{number}.c"), number, fixed_in, word);
    }

    /// The same for a file.
    fn publish_in(&self, file: &str, number: u32, fixed_in: &str, word: &str) {
        self.record(number, &format!("5.0:{}:{fixed_in}:{}\n", hash(1), hash(number)));
        let patch =
            format!("--- a/{file}\n+++ b/{file}\n@@ -1,3 +1,3 @@\n one\n-two\n+{word}\n three\n");
        fs::write(self.path("fixes").join(format!("{}.patch", hash(number))), patch)
            .expect("own file");
    }

    fn record(&self, number: u32, dyads: &str) {
        let path = self.path("vulns/published/2026").join(format!("CVE-2026-{number}"));
        let record = format!(
            "{{\"containers\": {{\"cna\": {{\"title\": \"flaw {number}\", \"affected\": [{{\
             \"programFiles\": [\"mm/file{number}.c\"]}}]}}}}, \
             \"cveMetadata\": {{\"cveId\": \"CVE-2026-{number}\"}}}}"
        );
        fs::write(path.with_extension("json"), record).expect("own file");
        fs::write(path.with_extension("dyad"), dyads).expect("own file");
    }

    async fn read_feed(&self) {
        let options = FeedOptions {
            source: self.path("vulns").into_string(),
            mirror: self.path("mirror"),
            every: Duration::from_secs(3600),
            stale_after: Duration::from_secs(3600),
        };
        let store = Store::open(&self.path("data")).await.expect("a store");
        update_feed(&store, &options, false).await.expect("it can be read");
        store.close().await;
    }

    /// A server over it, whose builder fails by what the patches say.
    async fn server(&self) -> Fixture {
        self.read_feed().await;
        let cve = CveOptions {
            fixes: vec![FixSourceOptions::Directory { path: self.path("fixes") }],
            ..CveOptions::default()
        };
        let (built, tried) = (Arc::clone(&self.built), Arc::clone(&self.tried));
        let blobs = self.path("data/blobs");
        let script = move |order: &BuildOrder, _: &dyn Observer, work: &Utf8Path| {
            let names: Vec<_> = order.fixes.iter().map(|fix| fix.fix.name.clone()).collect();
            let text = |module: &Vec<u8>| String::from_utf8(module.clone()).expect("a text");
            let earlier = order.replaces.as_ref();
            tried.lock().expect("no holder panics").push(Tried {
                fixes: names.join(" "),
                replaces: earlier.map(|earlier| {
                    earlier.module.as_ref().map_or_else(|| "it is gone".to_owned(), text)
                }),
                checks: order.checks.iter().map(|check| check.command.clone()).collect(),
            });
            built.lock().expect("no holder panics").push(names);
            if has_word(order, "LOSES-EARLIER").is_some()
                && let Some(earlier) = earlier.filter(|earlier| earlier.module.is_some())
            {
                remove_blob(&blobs, earlier.digest);
                return Err(Failure::new(FailureClass::WorkerLost, "the machine failed", "none"));
            }
            build(order, work)
        };
        Fixture::in_directory(self.path("data"), cve, 1, script).await
    }

    /// What was tried, or would have been but for a probe, since the last time.
    fn tried(&self) -> Vec<Tried> {
        std::mem::take(&mut *self.tried.lock().expect("no holder panics"))
    }

    /// The names of the fixes in each set that was built since the last time.
    fn built(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut *self.built.lock().expect("no holder panics"))
    }
}

/// The place of the fix that has a word.
fn has_word(order: &BuildOrder, word: &str) -> Option<usize> {
    let has = |text: &[u8]| String::from_utf8_lossy(text).contains(&format!("+{word}\n"));
    order.fixes.iter().position(|fix| has(&fix.text))
}

/// Removes a blob as somebody does who cleans up by hand.
fn remove_blob(blobs: &Utf8Path, digest: Sha256Digest) {
    let digest = digest.to_string();
    fs::remove_file(blobs.join(&digest[..2]).join(&digest)).expect("it is there");
}

/// What comes of a set of fixes, by the words in them.
fn build(order: &BuildOrder, work: &Utf8Path) -> Result<FinishedBuild, Failure> {
    let fails = |class, fix: Option<&str>| {
        let failure = Failure::new(class, "it does not work", "none");
        Err(match fix {
            Some(name) => failure.of_fix(name),
            None => failure,
        })
    };
    let word = |word| has_word(order, word);
    if let Some(place) = word("WRONG") {
        return fails(FailureClass::CompileFailed, Some(&order.fixes[place].fix.name));
    }
    // It calls what another one brings.
    if let Some(place) = word("CALLS").filter(|_| word("HELPER").is_none()) {
        return fails(FailureClass::CompileFailed, Some(&order.fixes[place].fix.name));
    }
    if word("NO-TOOLCHAIN").is_some() {
        return fails(FailureClass::ToolchainUnknown, None);
    }
    // It applies only behind its neighbour.
    if let Some(place) = word("LATE")
        && word("NEIGHBOUR").is_none_or(|neighbour| neighbour > place)
    {
        return fails(FailureClass::PatchDoesNotApply, Some(&order.fixes[place].fix.name));
    }
    if word("ONE").is_some() && word("OTHER").is_some() {
        return fails(FailureClass::SymbolChanged, None);
    }
    // A livepatch on which the next one cannot be tried.
    let earlier = order.replaces.as_ref().and_then(|earlier| earlier.module.as_deref());
    if earlier.is_some_and(|earlier| String::from_utf8_lossy(earlier).contains(&name(1066))) {
        return fails(FailureClass::TrialEarlierFailed, None);
    }
    let names: Vec<&str> = order.fixes.iter().map(|fix| fix.fix.name.as_str()).collect();
    let (content, module) = (names.join(" "), work.join("livepatch.ko"));
    fs::write(&module, &content).expect("written");
    let mut manifest = manifest(order);
    manifest.module.digest = Sha256Digest::of(content.as_bytes());
    manifest.module.build_id = Some(build_id_of(manifest.module.digest));
    manifest.module.size_bytes = content.len() as u64;
    Ok(FinishedBuild { manifest, module })
}

/// The build-id of a module.
fn build_id_of(module: Sha256Digest) -> ElfBuildId {
    module.to_string()[..40].parse().expect("a build-id")
}

/// What a machine says on which these livepatches are loaded.
fn machine(livepatches: &[(&str, Option<ElfBuildId>, bool)]) -> Option<MachineFacts> {
    let loaded = livepatches.iter().cloned().map(|(name, build_id, active)| LoadedLivepatch {
        name: name.to_owned(),
        build_id,
        active,
    });
    let loaded_modules = Some(vec!["ext4".to_owned()]);
    let livepatches = Some(loaded.collect());
    Some(MachineFacts { loaded_modules, livepatches, ..MachineFacts::default() })
}

fn request() -> RunRequest {
    let target = TargetFacts {
        kernel_version: Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-01)".to_owned()),
        ..TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64)
    };
    RunRequest {
        target,
        linux_version: None,
        selection: CveSelection::default(),
        checks: Vec::new(),
        options: elivepatch_model::BuildOptions::default(),
        again: false,
    }
}

impl Fixture {
    /// Ends the whole server, so that another one can have its data directory.
    async fn ended(self) {
        let app = self.app.clone();
        self.stopped().await;
        app.stop();
        app.close().await;
    }

    async fn start(&self, request: &RunRequest) -> RunSubmission {
        let texts = RequestTexts { config: Some(CONFIG.as_bytes()), ..RequestTexts::default() };
        self.client.start_run(request, &texts).await.expect("it begins")
    }

    async fn finished(&self, number: RunNumber) -> RunResource {
        for _ in 0..2000 {
            let run = self.client.run_in_short(number).await.expect("there");
            if run.state.is_finished() {
                assert!(run.cves.is_empty());
                return self.client.run(number).await.expect("there");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in twenty seconds: {:?}", self.client.run(number).await);
    }
}

fn verdicts(run: &RunResource) -> Vec<(String, &'static str)> {
    let mut found: Vec<_> =
        run.cves.iter().map(|cve| (cve.result.id.to_string(), cve.result.verdict())).collect();
    found.sort_unstable();
    found
}

fn name(number: u32) -> String {
    format!("CVE-2026-{number}-{}.patch", &hash(number)[..12])
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_that_compiles_with_another_one_of_its_file_only_is_built_with_it() {
    let world = World::new();
    world.publish_in("mm/a.c", 1001, "6.1.178", "HELPER");
    world.publish_in("mm/a.c", 1002, "6.1.180", "CALLS");
    // What it calls is of another file, or came later: it was not made upon these.
    world.publish_in("mm/b.c", 1003, "6.1.180", "CALLS");
    world.publish_in("mm/a.c", 1004, "6.1.190", "LATER");
    // It works with nothing.
    world.publish_in("mm/a.c", 1005, "6.1.181", "WRONG");
    let server = world.server().await;
    let begun = server.start(&request()).await;
    let run = server.finished(begun.run.number).await;
    assert_eq!(
        verdicts(&run),
        [
            ("CVE-2026-1001".to_owned(), "livepatch"),
            ("CVE-2026-1002".to_owned(), "livepatch"),
            ("CVE-2026-1003".to_owned(), "build-failed"),
            ("CVE-2026-1004".to_owned(), "livepatch"),
            ("CVE-2026-1005".to_owned(), "build-failed"),
        ]
    );
    assert_eq!((run.to_try, run.tried), (5, 5));
    let built = world.built();
    let names = |fixes: &[u32]| fixes.iter().map(|number| name(*number)).collect::<Vec<_>>();
    for set in [&[1001][..], &[1002], &[1003], &[1004], &[1005], &[1001, 1002], &[1001, 1005]] {
        assert!(built.contains(&names(set)), "{set:?} is missing: {built:?}");
    }
    assert_eq!(built[7..], [names(&[1001, 1002, 1004])], "all at once, with the trial");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_loaded_counts_in_an_assessment_and_makes_no_other_run() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    world.publish(1002, "6.1.178", "ALSO");
    world.publish(1003, "6.1.179", "WRONG");
    let server = world.server().await;
    let begun = server.start(&request()).await;
    let run = server.finished(begun.run.number).await;
    let build = server.client.build(run.livepatch.expect("a livepatch")).await.expect("there");
    let module = build_id_of(build.manifest.expect("it is finished").module.digest);

    let other: ElfBuildId = "0123456789abcdef0123".parse().expect("a build-id");
    let counts = async |machine: Option<MachineFacts>, release: &str| {
        let release = release.parse().expect("a release");
        let target = TargetFacts { machine, release, ..request().target };
        let assessment = AssessmentRequest { target, linux_version: None, explain: vec![] };
        let found = server.client.assess(&assessment).await.expect("it can be told");
        let count = |verdict| found.counts.get(verdict).copied().unwrap_or_default();
        (count("already-live"), count("candidate"))
    };
    let active =
        machine(&[("other", Some(other.clone()), true), ("a", Some(module.clone()), true)]);
    assert_eq!(counts(active.clone(), RELEASE).await, (2, 1), "one could not be fixed");
    for (machine, why) in [
        (None, "nothing is known"),
        (machine(&[("a", Some(module.clone()), false)]), "it is in transition, or disabled"),
        (machine(&[("a", None, true)]), "a name is no identity"),
        (machine(&[("a", Some(other), true)]), "it is another one"),
    ] {
        assert_eq!(counts(machine, RELEASE).await, (0, 3), "{why}");
    }
    assert_eq!(counts(active.clone(), "6.1.0-51-cloud-amd64").await.0, 0, "of another kernel");

    // The next livepatch replaces what is loaded, and so needs all of it; and what else a machine has loaded
    // makes no difference.
    let mut loaded = request();
    loaded.target.machine = active;
    let second = server.start(&loaded).await;
    assert!(second.joined && second.run.number == run.number, "{second:?}");
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fixes_that_work_are_one_livepatch_and_what_is_new_is_built_alone() {
    let world = World::new();
    world.publish(1001, "6.1.180", "WORKS");
    world.publish(1002, "6.1.178", "ALSO");
    world.publish(1003, "6.1.179", "WRONG");
    world.record(1004, &format!("5.0:{}:6.9:{}\n", hash(1), hash(4)));
    world.record(1005, &format!("5.0:{}:6.1.170:{}\n", hash(1), hash(5)));
    world.record(1006, &format!("5.0:{}:6.1.190:{}\n", hash(1), hash(6)));
    let server = world.server().await;
    let begun = server.start(&request()).await;
    assert!(!begun.joined);
    let run = server.finished(begun.run.number).await;
    assert_eq!(run.state, RunState::Finished, "{:?}", run.failure);
    assert_eq!(
        verdicts(&run),
        [
            ("CVE-2026-1001".to_owned(), "livepatch"),
            ("CVE-2026-1002".to_owned(), "livepatch"),
            ("CVE-2026-1003".to_owned(), "build-failed"),
            ("CVE-2026-1004".to_owned(), "needs-approval"),
            ("CVE-2026-1006".to_owned(), "fix-unavailable"),
        ]
    );
    assert_eq!(run.counts["already-fixed"], 1);
    assert_eq!((run.to_try, run.tried, &run.activity), (3, 3, &None));
    let livepatch = run.livepatch.expect("a livepatch");
    let build = server.client.build(livepatch).await.expect("there");
    let fixes: Vec<String> = build.fixes.iter().map(|fix| fix.name.clone()).collect();
    // In the order of the branch.
    assert_eq!(fixes, [name(1002), name(1001)]);
    server.client.module(livepatch).await.expect("a module");
    assert_eq!(world.built().len(), 4, "three alone, one set");
    // Probes are not in the list that people look at.
    let listed = server.client.list(&Default::default()).await.expect("a list").builds;
    assert_eq!(listed.iter().map(|build| build.number).collect::<Vec<_>>(), [livepatch]);

    // Nothing is done the second time, unless that is wanted; and then nothing is built.
    let second = server.start(&request()).await;
    assert!(second.joined && second.run == run);
    let again = server.start(&RunRequest { again: true, ..request() }).await;
    assert!(!again.joined);
    let again = server.finished(again.run.number).await;
    assert_eq!((again.livepatch, &again.outcome_digest), (Some(livepatch), &run.outcome_digest));
    assert!(world.built().is_empty());
    server.ended().await;

    // What is new is built alone, and then all together.
    world.publish(1006, "6.1.190", "NEW");
    let server = world.server().await;
    let first = server.start(&request()).await;
    let first = server.finished(first.run.number).await;
    assert_eq!(world.built(), [vec![name(1006)], vec![name(1002), name(1001), name(1006)]]);
    assert_ne!(first.outcome_digest, run.outcome_digest);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fixes_that_do_not_fit_together_are_told_apart() {
    let world = World::new();
    world.publish(1001, "6.1.177", "LATE");
    world.publish(1002, "6.1.178", "NEIGHBOUR");
    world.publish(1003, "6.1.179", "ONE");
    world.publish(1004, "6.1.180", "OTHER");
    let server = world.server().await;
    let begun = server.start(&request()).await;
    let run = server.finished(begun.run.number).await;
    assert_eq!(
        verdicts(&run),
        [
            ("CVE-2026-1001".to_owned(), "livepatch"),
            ("CVE-2026-1002".to_owned(), "livepatch"),
            ("CVE-2026-1003".to_owned(), "livepatch"),
            ("CVE-2026-1004".to_owned(), "conflicts"),
        ]
    );
    let build = server.client.build(run.livepatch.expect("one")).await.expect("there");
    let fixes: Vec<String> = build.fixes.iter().map(|fix| fix.name.clone()).collect();
    assert_eq!(fixes, [name(1002), name(1003), name(1001)]);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selection_and_policy_leave_fixes_out() {
    let world = World::new();
    world.publish(1001, "6.1.177", "WORKS");
    world.publish(1002, "6.1.178", "ALSO");
    let server = world.server().await;
    let selection = CveSelection { exclude: vec![id(1001)], ..CveSelection::default() };
    let begun = server.start(&RunRequest { selection, ..request() }).await;
    let run = server.finished(begun.run.number).await;
    assert_eq!(
        verdicts(&run),
        [("CVE-2026-1001".to_owned(), "left-out"), ("CVE-2026-1002".to_owned(), "livepatch"),]
    );
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kernel_that_cannot_be_built_ends_the_run_with_its_reason() {
    let world = World::new();
    for number in 1001..1060 {
        world.publish(number, "6.1.177", "NO-TOOLCHAIN");
    }
    let server = world.server().await;
    let begun = server.start(&request()).await;
    let run = server.finished(begun.run.number).await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.failure.expect("why").class, FailureClass::ToolchainUnknown);
    assert_eq!(run.counts["not-tried"], 59);
    assert!(world.built().len() < 30, "it goes on in vain");
    // Another time it may work.
    assert!(!server.start(&request()).await.joined);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_goes_on_after_the_server_was_started_again_and_can_be_cancelled() {
    let world = World::new();
    for number in 1001..1040 {
        world.publish(number, "6.1.177", "WORKS");
    }
    let server = world.server().await;
    let begun = server.start(&request()).await.run.number;
    while server.client.run_in_short(begun).await.expect("there").tried < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.ended().await;
    let before = world.built().len();
    assert!(before < 39, "{before}");
    let server = world.server().await;
    let run = server.finished(begun).await;
    assert_eq!((run.state, run.counts["livepatch"]), (RunState::Finished, 39));
    // What was being built when the server stopped is built again, and nothing else.
    assert!(before + world.built().len() <= 39 + 1 + 2);

    let cancelled = server.start(&RunRequest { again: true, ..request() }).await.run.number;
    // It may have ended: all of it was built before.
    if let Ok(run) = server.client.cancel_run(cancelled).await {
        assert_eq!(run.state, RunState::Cancelled);
    }
    let late = server.client.cancel_run(begun).await.expect_err("it is finished");
    assert_eq!(late.code(), Some(elivepatch_api::ErrorCode::Conflict));
    server.ended().await;
}

/// What a run comes to, and what was tried for it.
async fn run(world: &World, server: &Fixture, request: &RunRequest) -> (RunResource, Vec<Tried>) {
    let begun = server.start(request).await;
    let run = server.finished(begun.run.number).await;
    assert_eq!(run.state, RunState::Finished, "{:?}", run.failure);
    (run, world.tried())
}

fn check(cve: Option<u32>, command: &str) -> RunCheck {
    RunCheck {
        cve: cve.map(id),
        command: command.to_owned(),
        before: "old".to_owned(),
        after: "new".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn set_with_a_new_fix_is_tried_in_the_place_of_the_earlier_livepatch() {
    let world = World::new();
    world.publish(1001, "6.1.177", "WORKS");
    world.publish(1002, "6.1.178", "ALSO");
    let server = world.server().await;
    let (first, ran) = run(&world, &server, &request()).await;
    let old = module_of(&[1001, 1002]);
    assert_eq!(ran.last(), Some(&tried(&[1001, 1002], None, &[])));
    server.stopped().await;

    // A record appears: its fix alone is new, and the livepatch of all takes the place of the first.
    world.publish(1003, "6.1.179", "NEW");
    let server = world.server().await;
    let (second, ran) = run(&world, &server, &request()).await;
    let all = [1001, 1002, 1003];
    assert_eq!(ran, [tried(&[1003], None, &[]), tried(&all, Some(&old), &[])]);
    assert_ne!(second.livepatch, first.livepatch);
    let made = server.client.build(second.livepatch.expect("one")).await.expect("there");
    assert_eq!(made.options.replaces, Some(Sha256Digest::of(old.as_bytes())));

    // Nothing new: the same livepatch, whatever it replaced.
    let (third, ran) = run(&world, &server, &RunRequest { again: true, ..request() }).await;
    assert_ne!(third.number, second.number);
    assert_eq!(
        (third.livepatch, &third.outcome_digest),
        (second.livepatch, &second.outcome_digest)
    );
    assert!(ran.is_empty(), "{ran:?}");

    // With less in it, it is another one, and the machines have the second.
    let selection = CveSelection { exclude: vec![id(1003)], ..CveSelection::default() };
    let (less, ran) = run(&world, &server, &RunRequest { selection, ..request() }).await;
    assert_eq!(ran, [tried(&[1001, 1002], Some(&module_of(&all)), &[])]);
    assert!(![first.livepatch, second.livepatch].contains(&less.livepatch));

    // Another kernel of the same release has none of them yet.
    let mut other = request();
    other.target.kernel_version = Some("#2 SMP Debian 6.1.176-2 (2026-08-01)".to_owned());
    let (_, ran) = run(&world, &server, &other).await;
    assert_eq!(ran.last(), Some(&tried(&all, None, &[])));
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_made_of_the_sets_that_have_their_fix() {
    let world = World::new();
    world.publish(1001, "6.1.177", "ONE");
    world.publish(1002, "6.1.178", "OTHER");
    let server = world.server().await;
    let checks = vec![check(None, "all"), check(Some(1001), "one"), check(Some(1002), "two")];
    let with_checks = RunRequest { checks, ..request() };
    let (first, ran) = run(&world, &server, &with_checks).await;
    assert_eq!(first.counts["conflicts"], 1);
    // Alone they are not tried; together they do not work; and then only the first is there.
    let alone = [tried(&[1001], None, &[]), tried(&[1002], None, &[])];
    assert_eq!(ran[..2], alone);
    assert_eq!(ran[2], tried(&[1001, 1002], None, &["all", "one", "two"]));
    assert_eq!(ran.last(), Some(&tried(&[1001], None, &["all", "one"])));
    assert!(server.start(&with_checks).await.joined);

    // Other checks are another run, and the same fixes are tried with them.
    let checks = vec![check(None, "other"), check(Some(1002), "two")];
    let (second, ran) = run(&world, &server, &RunRequest { checks, ..request() }).await;
    assert_ne!(second.livepatch, first.livepatch);
    assert_eq!(ran.last(), Some(&tried(&[1001], Some(&module_of(&[1001])), &["other"])));

    let checks = vec![check(None, " ")];
    let texts = RequestTexts { config: Some(CONFIG.as_bytes()), ..RequestTexts::default() };
    let error = server.client.start_run(&RunRequest { checks, ..request() }, &texts).await;
    assert_eq!(error.expect_err("refused").code(), Some(elivepatch_api::ErrorCode::BadRequest));
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_livepatch_that_is_gone_is_gone_on_without() {
    let world = World::new();
    world.publish(1001, "6.1.177", "WORKS");
    let server = world.server().await;
    run(&world, &server, &request()).await;
    server.stopped().await;
    remove_blob(&world.path("data/blobs"), Sha256Digest::of(module_of(&[1001]).as_bytes()));
    world.publish(1002, "6.1.178", "ALSO");
    let server = world.server().await;
    let (_, ran) = run(&world, &server, &request()).await;
    assert_eq!(ran.last(), Some(&tried(&[1001, 1002], None, &[])));
    server.stopped().await;

    // It goes while the build waits for its next attempt.
    world.publish(1003, "6.1.179", "LOSES-EARLIER");
    let server = world.server().await;
    let (_, ran) = run(&world, &server, &request()).await;
    let all = [1001, 1002, 1003];
    assert_eq!(
        ran[1..],
        [tried(&all, Some(&module_of(&[1001, 1002])), &[]), tried(&all, Some("it is gone"), &[])]
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_livepatch_that_does_not_come_up_in_a_trial_does_not_hold_up_the_next() {
    let world = World::new();
    world.publish(1066, "6.1.177", "WORKS");
    let server = world.server().await;
    run(&world, &server, &request()).await;
    server.stopped().await;
    world.publish(1067, "6.1.178", "ALSO");
    let server = world.server().await;
    let (second, ran) = run(&world, &server, &request()).await;
    assert_eq!(second.counts["livepatch"], 2);
    let both = [1066, 1067];
    assert_eq!(ran[1], tried(&both, Some(&module_of(&[1066])), &[]));
    assert_eq!(ran.last(), Some(&tried(&both, None, &[])));
    server.stopped().await;
}
