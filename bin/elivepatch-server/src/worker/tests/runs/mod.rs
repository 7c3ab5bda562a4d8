//! CVE runs from a feed and patches to a livepatch, with a builder that does what the patches say.

mod joining;
mod kept;
mod sets;
mod verdicts;

use std::{fs, sync::Mutex};

use elivepatch_api::{
    AssessmentRequest, CveSelection, RunCheck, RunRequest, RunResource, RunState, RunSubmission,
};
use elivepatch_model::{ElfBuildId, LoadedLivepatch, MachineFacts, PatchedFunction, RunNumber};
use elivepatch_server::app::{
    CveId, CveOptions, FeedOptions, FixSourceOptions, Store, update_feed,
};

use super::*;

/// A hash for a number, another one in its beginning, which names of patches have.
fn hash(number: u32) -> String {
    format!("{number:012x}{number:028x}")
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

    /// Writes the patch of a commit: what a builder makes of it is a word in it.
    fn patch(&self, file: &str, commit: u32, word: &str) {
        let patch =
            format!("--- a/{file}\n+++ b/{file}\n@@ -1,3 +1,3 @@\n one\n-two\n+{word}\n three\n");
        fs::write(self.path("fixes").join(format!("{}.patch", hash(commit))), patch)
            .expect("own file");
    }

    /// Publishes a CVE whose fix came into the branch with a version, and its fix: what a builder makes of
    /// it is a word in it.
    fn publish(&self, number: u32, fixed_in: &str, word: &str) {
        self.publish_in(&format!("mm/file{number}.c"), number, fixed_in, word);
    }

    /// The same for a file.
    fn publish_in(&self, file: &str, number: u32, fixed_in: &str, word: &str) {
        self.record(number, &format!("5.0:{}:{fixed_in}:{}\n", hash(1), hash(number)));
        self.patch(file, number, word);
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
        let fixes = vec![FixSourceOptions::Directory { path: self.path("fixes") }];
        self.server_with(CveOptions { fixes, ..CveOptions::default() }).await
    }

    /// The same with other options.
    async fn server_with(&self, cve: CveOptions) -> Fixture {
        self.read_feed().await;
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
    for (text, class) in
        [("IN-SOURCE", FailureClass::FixInSource), ("TOO-MUCH", FailureClass::LimitExceeded)]
    {
        if let Some(place) = word(text) {
            return fails(class, Some(&order.fixes[place].fix.name));
        }
    }
    // On the kernel as shipped, for which no fix is to blame.
    if order.checks.iter().any(|check| check.command == "UNUSABLE") {
        return fails(FailureClass::TrialCheckUnusable, None);
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
    // Each fix changes a function of its own.
    let function = |name: &&str| PatchedFunction {
        object: "vmlinux".to_owned(),
        name: (*name).to_owned(),
        position: 1,
    };
    manifest.functions = names.iter().map(function).collect();
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
        self.start_with(request, &[]).await
    }

    /// The same with fixes that are kept in any case.
    async fn start_with(&self, request: &RunRequest, kept: &[NamedPatch]) -> RunSubmission {
        let config = Some(CONFIG.as_bytes());
        let texts = RequestTexts { config, patches: kept, ..RequestTexts::default() };
        self.client.start_run(request, &texts).await.expect("it begins")
    }

    async fn finished(&self, number: RunNumber) -> RunResource {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let run = self.client.run_in_short(number).await.expect("there");
            if run.state.is_finished() {
                assert!(run.cves.is_empty());
                return self.client.run(number).await.expect("there");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in a minute: {:?}", self.client.run(number).await);
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
