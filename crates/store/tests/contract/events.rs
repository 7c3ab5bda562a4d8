use elivepatch_model::{BuildEvent, BuildState, FailureClass, Step, StepName, StepState};
use elivepatch_store::WorkerEnd;

use crate::support::{Fixture, failure, log, now, proof};

fn step(name: StepName, state: StepState) -> BuildEvent {
    BuildEvent::Step { step: Step { name, state, duration_seconds: None, summary: None } }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_are_numbered_without_gaps_whoever_writes() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let writers = (0..8).map(|writer| {
        let (store, proof) = (fixture.store.clone(), proof(&claimed));
        tokio::spawn(async move {
            for index in 0..5 {
                let pair =
                    [log(&format!("{writer} {index} a")), log(&format!("{writer} {index} b"))];
                store.add_events(&proof, &pair, now()).await.expect("added");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let events = fixture.store.events(number, 0, 1000).await.expect("read");
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=82).collect::<Vec<i64>>());
    assert_eq!(fixture.store.events(number, 80, 1000).await.expect("read"), events[80..]);
    assert_eq!(fixture.store.events(number, 10, 3).await.expect("read"), events[10..13]);
}

#[tokio::test]
async fn steps_are_those_of_the_current_attempt_and_the_log_keeps_all() {
    let fixture = Fixture::new().await;
    let number = fixture.queue("a").await;
    let claimed = fixture.claim().await;
    let events = [
        step(StepName::Source, StepState::Running),
        step(StepName::Source, StepState::Done),
        step(StepName::Base, StepState::Running),
    ];
    fixture.store.add_events(&proof(&claimed), &events, now()).await.expect("added");
    let names = async || {
        let build = fixture.store.build(number).await.expect("there");
        build.steps.into_iter().map(|step| (step.name, step.state)).collect::<Vec<_>>()
    };
    let both = [(StepName::Source, StepState::Done), (StepName::Base, StepState::Running)];
    assert_eq!(names().await, both);

    fixture.store.release_worker("worker-a", WorkerEnd::Died, now()).await.expect("released");
    let cut_off = [(StepName::Source, StepState::Done), (StepName::Base, StepState::Failed)];
    assert_eq!(names().await, cut_off, "nothing runs in a build that waits");
    fixture.claim().await;
    assert_eq!(names().await, []);
    let log = fixture.store.events(number, 0, 99).await.expect("read");
    let states: Vec<BuildState> = log
        .iter()
        .filter_map(|stored| match &stored.event {
            BuildEvent::State { state, .. } => Some(*state),
            _ => None,
        })
        .collect();
    use BuildState::{Queued, Running};
    assert_eq!(states, [Queued, Running, Queued, Running]);
    assert_eq!(log.len(), 7);
}

#[tokio::test]
async fn no_step_runs_in_a_build_that_is_finished() {
    for cancelled in [true, false] {
        let fixture = Fixture::new().await;
        let number = fixture.queue("a").await;
        let claimed = fixture.claim().await;
        let running = [step(StepName::Compile, StepState::Running)];
        fixture.store.add_events(&proof(&claimed), &running, now()).await.expect("added");
        if cancelled {
            fixture.store.cancel(number, now()).await.expect("cancelled");
        } else {
            let failure = failure(FailureClass::CompileFailed);
            fixture.store.fail(&proof(&claimed), &failure, now()).await.expect("failed");
        }
        let build = fixture.store.build(number).await.expect("there");
        assert_eq!(build.steps[0].state, StepState::Failed, "{build:?}");
    }
}
