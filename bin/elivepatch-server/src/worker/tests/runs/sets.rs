//! Which fixes become one livepatch, and what is tried of it.

use super::*;

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
    // A name with a mistake in it would leave out all.
    let selection = CveSelection { only: vec![id(9999)], ..CveSelection::default() };
    let texts = RequestTexts { config: Some(CONFIG.as_bytes()), ..RequestTexts::default() };
    let refused = server.client.start_run(&RunRequest { selection, ..request() }, &texts).await;
    let said = refused.expect_err("there is none").to_string();
    assert!(said.contains("the server's feed has no CVE-2026-9999"), "{said}");
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
