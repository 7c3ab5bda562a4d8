//! Several workers in one process.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use super::*;

/// Workers of a fixture.
const WORKERS: u32 = 2;

/// Counts builds that are under way and waits until there are as many as workers.
#[derive(Default)]
struct Meeting {
    begun: Mutex<u32>,
    changed: Condvar,
}

impl Meeting {
    /// Returns when as many builds as there are workers have come here, `false` after ten seconds.
    fn attend(&self) -> bool {
        let mut begun = self.begun.lock().expect("no holder panics");
        *begun += 1;
        self.changed.notify_all();
        let limit = Duration::from_secs(10);
        let alone = |begun: &mut u32| *begun < WORKERS;
        let (_guard, waited) =
            self.changed.wait_timeout_while(begun, limit, alone).expect("no holder panics");
        !waited.timed_out()
    }
}

fn finish(order: &BuildOrder, work: &Utf8Path) -> Result<FinishedBuild, Failure> {
    let module = work.join("livepatch.ko");
    std::fs::write(&module, "module").expect("written");
    Ok(FinishedBuild { manifest: manifest(order), module })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_build_side_by_side_and_no_build_is_given_to_both() {
    const BUILDS: u32 = 24;
    let meeting = Meeting::default();
    let given: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let (under_way, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let script = {
        let (given, under_way, most) = (Arc::clone(&given), under_way, Arc::clone(&most));
        move |order: &BuildOrder, _: &dyn Observer, work: &Utf8Path| {
            *given.lock().expect("no holder panics").entry(order.key.0.to_string()).or_default() +=
                1;
            let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            assert!(std::fs::read_dir(work).expect("a directory").next().is_none(), "not ours");
            assert!(meeting.attend(), "the other worker got nothing to do");
            let finished = finish(order, work);
            under_way.fetch_sub(1, Ordering::SeqCst);
            finished
        }
    };
    let fixture = Fixture::with_workers(WORKERS, script).await;
    let mut numbers = Vec::new();
    for label in 0..BUILDS {
        numbers.push(fixture.submit_patch(&PATCH.replace("TWO", &format!("TWO {label}"))).await);
    }
    for number in numbers {
        let build = fixture.until(number, |build| build.state.is_finished()).await;
        assert_eq!((build.state, build.attempts), (BuildState::Succeeded, 1), "{build:?}");
    }
    let given = given.lock().expect("no holder panics").clone();
    assert_eq!(given.len(), BUILDS as usize);
    assert!(given.values().all(|times| *times == 1), "a build was given twice: {given:?}");
    assert_eq!(most.load(Ordering::SeqCst), WORKERS);
    fixture.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_leaves_its_build_to_be_queued_again() {
    for end in [WorkerEnd::Stopped, WorkerEnd::Died] {
        let fixture = Fixture::with_workers(WORKERS, |_, observer, _| {
            wait_for_cancel(observer);
            Err(Failure::new(FailureClass::CompileFailed, "cut off", "none"))
        })
        .await;
        let first = fixture.submit().await;
        let second = fixture.submit_patch(&PATCH.replace("TWO", "too")).await;
        for number in [first, second] {
            fixture.until(number, |build| build.state == BuildState::Running).await;
        }
        let (app, client) = (fixture.app.clone(), fixture.client.clone());
        fixture.stopped().await;
        // What a process with fewer workers does at its start, too.
        release(&app, end).await.expect("released");
        for number in [first, second] {
            let build = client.build(number).await.expect("there");
            assert_eq!((build.state, build.failure), (BuildState::Queued, None));
        }
        // Nothing is left to take back: the next start costs no build another attempt.
        release(&app, WorkerEnd::Died).await.expect("released");
        let build = client.build(first).await.expect("there");
        assert_eq!((build.state, build.attempts), (BuildState::Queued, 1), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_build_does_not_stop_the_one_beside_it() {
    let fixture = Fixture::with_workers(WORKERS, |order, observer, work| {
        let goes_on = order.fixes[0].text != PATCH.as_bytes();
        wait_for_cancel_or(observer, goes_on);
        if goes_on {
            return finish(order, work);
        }
        Err(Failure::new(FailureClass::Internal, "cancelled", "none"))
    })
    .await;
    let cancelled = fixture.submit().await;
    let other = fixture.submit_patch(&PATCH.replace("TWO", "too")).await;
    fixture.until(cancelled, |build| build.state == BuildState::Running).await;
    fixture.client.cancel(cancelled).await.expect("cancelled");
    let build = fixture.until(other, |build| build.state.is_finished()).await;
    assert_eq!(build.state, BuildState::Succeeded, "{build:?}");
    let build = fixture.client.build(cancelled).await.expect("there");
    assert_eq!(build.state, BuildState::Cancelled);
    fixture.stopped().await;
}

/// Waits for the cancellation, or, for one that must not hear of it, longer than it would take.
fn wait_for_cancel_or(observer: &dyn Observer, goes_on: bool) {
    if !goes_on {
        return wait_for_cancel(observer);
    }
    let end = std::time::Instant::now() + Duration::from_secs(4);
    while std::time::Instant::now() < end {
        assert!(!observer.is_cancelled(), "it was told of another build's cancellation");
        std::thread::sleep(Duration::from_millis(10));
    }
}
