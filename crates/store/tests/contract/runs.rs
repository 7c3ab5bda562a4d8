//! CVE runs and the probes that they order.

use std::time::Duration;

use elivepatch_cve::{Applicability, CveResult, Fixes, Outcome};
use elivepatch_model::{
    BuildOptions, BuildState, Engine, Failure, FailureClass, FitRecord, ProbeRecord, RunNumber,
    RunState, Sha256Digest,
};
use elivepatch_store::{BuildFilter, NewRun, RunCveRecord, RunStep, StoreError};

use crate::support::{Fixture, RELEASE, after, manifest, now, proof};

fn new_run(name: &str) -> NewRun {
    let result = CveResult {
        id: "CVE-2026-1001".parse().expect("a name"),
        applicability: Applicability::Candidate {
            parents: vec!["vmlinux".to_owned()],
            doubt: None,
            fixes: Fixes::None,
        },
        outcome: Some(Outcome::Waiting),
        fixes: Vec::new(),
        probe: None,
        probe_seconds: None,
    };
    NewRun {
        key: Sha256Digest::of(name.as_bytes()),
        release: RELEASE.parse().expect("a release"),
        config: None,
        kallsyms: None,
        patches: Vec::new(),
        request: "{\"asked\":1}".to_owned(),
        progress: "{}".to_owned(),
        cves: vec![RunCveRecord { title: "a flaw".to_owned(), cvss: None, result }],
    }
}

fn step(state: RunState) -> RunStep {
    RunStep {
        state,
        joinable: true,
        progress: "{\"far\":1}".to_owned(),
        config: None,
        livepatch: None,
        failure: None,
        results: Vec::new(),
    }
}

#[tokio::test]
async fn equal_run_is_joined_while_it_runs_and_when_it_is_finished() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let begin = async |name: &str, again| store.begin_run(&new_run(name), again, now()).await;
    let (first, joined) = begin("a", false).await.expect("begun");
    assert!(!joined);
    assert_eq!(begin("a", true).await.expect("it is under way"), (first, true));
    assert_ne!(begin("b", false).await.expect("another").0, first);
    assert!(store.step_run(first, &step(RunState::Finished), now()).await.expect("a step"));
    assert_eq!(begin("a", false).await.expect("it is finished"), (first, true));
    let (again, joined) = begin("a", true).await.expect("anew");
    assert!(!joined && again != first);
    // One that may end better another time, failed or was cancelled is begun anew.
    let not_joinable = RunStep { joinable: false, ..step(RunState::Finished) };
    store.step_run(again, &not_joinable, now()).await.expect("a step");
    let (third, joined) = begin("a", false).await.expect("anew");
    assert!(!joined && third != again);
    store.step_run(third, &step(RunState::Failed), now()).await.expect("a step");
    assert!(!begin("a", false).await.expect("anew").1);
}

#[tokio::test]
async fn step_is_on_disk_as_a_whole_and_nothing_changes_what_is_finished() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (number, _) = store.begin_run(&new_run("a"), false, now()).await.expect("begun");
    let config = fixture.keep(b"CONFIG_X86_64=y\n").await;
    let mut result = store.run_cves(number).await.expect("its CVEs").remove(0).result;
    result.outcome = Some(Outcome::NoFix);
    let taken = RunStep {
        config: Some(config),
        results: vec![(0, result.clone())],
        failure: Some(Failure::new(FailureClass::Internal, "no", "none")),
        ..step(RunState::Trying)
    };
    assert!(store.step_run(number, &taken, now()).await.expect("a step"));
    // A step without the config leaves it as it is.
    assert!(store.step_run(number, &step(RunState::Combining), now()).await.expect("a step"));
    let again = fixture.open_again().await;
    let run = again.run(number).await.expect("there");
    assert_eq!((run.state, run.config), (RunState::Combining, Some(config.digest)));
    assert_eq!((run.progress.as_str(), run.finished_at), ("{\"far\":1}", None));
    assert_eq!(again.run_cves(number).await.expect("its CVEs")[0].result, result);
    assert_eq!(again.unfinished_runs().await.expect("a list").len(), 1);

    store.step_run(number, &step(RunState::Finished), now()).await.expect("a step");
    assert!(!store.step_run(number, &step(RunState::Trying), now()).await.expect("no step"));
    let error = store.cancel_run(number, now()).await.expect_err("too late");
    assert!(matches!(error, StoreError::RunFinished { state: RunState::Finished, .. }), "{error}");
    assert!(again.unfinished_runs().await.expect("a list").is_empty());
    let error = store.run(RunNumber(99)).await.expect_err("none");
    assert!(matches!(error, StoreError::NoSuchRun(RunNumber(99))), "{error}");
}

fn found() -> ProbeRecord {
    ProbeRecord {
        engine: Engine::Kpatch,
        functions: Vec::new(),
        adaptations: Vec::new(),
        fit: FitRecord::default(),
    }
}

#[tokio::test]
async fn probe_ends_with_what_it_found_and_never_with_a_livepatch() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (run, _) = store.begin_run(&new_run("a"), false, now()).await.expect("begun");
    let mut new = fixture.new_build("probe").await;
    new.options = BuildOptions { probe: true, ..BuildOptions::default() };
    (new.probe_of, new.priority) = (Some(run), -10);
    let number = store.submit(&new, 10, now()).await.expect("queued").build.number;
    // What people wait for is built first.
    let ordinary = fixture.queue("ordinary").await;
    let claimed = fixture.claim().await;
    assert_eq!(claimed.build.number, ordinary);
    let error = store.complete_probe(&proof(&claimed), &found(), now()).await;
    assert!(matches!(error, Err(StoreError::NoProbe(_))), "{error:?}");

    let claimed = fixture.claim().await;
    assert_eq!(claimed.build.number, number);
    let module = fixture.keep(b"module").await;
    store.set_module(&proof(&claimed), module, now()).await.expect("noted");
    let livepatch = manifest(claimed.build.key, module);
    let error = store.complete(&proof(&claimed), &livepatch, now()).await;
    assert!(matches!(error, Err(StoreError::WrongManifest { .. })), "{error:?}");
    store.complete_probe(&proof(&claimed), &found(), now()).await.expect("completed");
    let build = store.build(number).await.expect("there");
    assert_eq!((build.state, build.manifest), (BuildState::Succeeded, None));
    assert_eq!(build.probe, Some(found()));
    assert!(!store.has_livepatch(number).await.expect("there"));
    assert!(store.submit(&new, 10, now()).await.expect("there").joined);
    let listed = store.builds(BuildFilter::default(), 10).await.expect("a list");
    assert_eq!(listed.iter().map(|build| build.number).collect::<Vec<_>>(), [ordinary]);
}

#[tokio::test]
async fn cancelled_run_tells_the_probes_that_it_leaves_behind() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (run, _) = store.begin_run(&new_run("a"), false, now()).await.expect("begun");
    let mut new = fixture.new_build("probe").await;
    new.options = BuildOptions { probe: true, ..BuildOptions::default() };
    new.probe_of = Some(run);
    let number = store.submit(&new, 10, now()).await.expect("queued").build.number;
    let ordinary = fixture.queue("ordinary").await;
    assert_eq!(store.cancel_run(run, now()).await.expect("cancelled"), [number]);
    assert_eq!(store.run(run).await.expect("there").state, RunState::Cancelled);
    assert_eq!(store.build(number).await.expect("there").state, BuildState::Cancelled);
    // A step of the run that was under way orders one more.
    let mut late = fixture.new_build("late").await;
    late.options = new.options;
    late.probe_of = Some(run);
    let late = store.submit(&late, 10, now()).await.expect("queued").build.number;
    assert_eq!(store.ended_runs_with_probes().await.expect("a list"), [run]);
    assert_eq!(store.cancel_probes(run, now()).await.expect("cancelled"), [late]);
    assert!(store.ended_runs_with_probes().await.expect("a list").is_empty());
    assert_eq!(store.build(late).await.expect("there").state, BuildState::Cancelled);
    assert_eq!(store.build(ordinary).await.expect("there").state, BuildState::Queued);
}

#[tokio::test]
async fn run_that_finished_last_with_a_livepatch_comes_first() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let build = fixture.queue("livepatch").await;
    let mut runs = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        runs.push(store.begin_run(&new_run(name), false, now()).await.expect("begun").0);
    }
    let end = async |run: RunNumber, state, livepatch, seconds| {
        let step = RunStep { livepatch, ..step(state) };
        let then = after(Duration::from_secs(seconds));
        assert!(store.step_run(run, &step, then).await.expect("a step"));
    };
    // The first finishes last; one is not finished, one has no livepatch, and one failed.
    end(runs[0], RunState::Finished, Some(build), 9).await;
    end(runs[1], RunState::Finished, Some(build), 5).await;
    end(runs[2], RunState::Finished, None, 10).await;
    end(runs[3], RunState::Failed, Some(build), 10).await;
    let release = RELEASE.parse().expect("a release");
    let found = async |skip| {
        let found = store.finished_livepatch_run(&release, skip).await.expect("asked");
        found.map(|run| run.number)
    };
    assert_eq!(
        (found(0).await, found(1).await, found(2).await),
        (Some(runs[0]), Some(runs[1]), None)
    );
    let other = "6.1.0-51-cloud-amd64".parse().expect("a release");
    assert_eq!(store.finished_livepatch_run(&other, 0).await.expect("asked"), None);
}

#[tokio::test]
async fn module_of_a_release_is_there_until_its_file_is_removed() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let module = fixture.keep(b"module").await;
    store.set_module(&proof(&claimed), module, now()).await.expect("noted");
    let release = RELEASE.parse().expect("a release");
    let other = "6.1.0-51-cloud-amd64".parse().expect("a release");
    let has = async |release| store.has_module(module.digest, release).await.expect("asked");
    assert!(!has(&release).await, "the build is not done");
    let livepatch = manifest(claimed.build.key, module);
    store.complete(&proof(&claimed), &livepatch, now()).await.expect("completed");
    assert!(has(&release).await && !has(&other).await);
    let text = claimed.build.config;
    assert!(!store.has_module(text, &release).await.expect("asked"), "it is no module");
    let digest = module.digest.to_string();
    let path = fixture.directory.join("blobs").join(&digest[..2]).join(&digest);
    std::fs::remove_file(path).expect("it was there");
    assert!(!has(&release).await);
}
