mod live;
mod signing;

use std::fs;

use rustix::io::Errno;

use super::{
    fake::{Fate, RELEASE, World, task},
    *,
};

/// Applies a livepatch and gives the words of what went on.
fn apply(world: &World, applying: &Applying) -> (Result<Applied, HostProblem>, Vec<String>) {
    let directory = StateDirectory::at(Some(&world.state()));
    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    let mut told = Vec::new();
    let outcome = host.apply(applying, &ApplyOptions::default(), &mut |progress| {
        told.push(format!("{progress:?}"));
    });
    (outcome, told)
}

fn state(world: &World) -> KernelState {
    let directory = StateDirectory::at(Some(&world.state()));
    let kernel = Kernel::running(&world.machine).expect("a kernel");
    directory.read().expect("a state").of(&kernel)
}

fn boot(world: &World) -> Result<Booted, HostProblem> {
    Host::boot(&world.machine, &StateDirectory::at(Some(&world.state())), &mut |_| {})
}

/// The guard time is over.
fn end_guard(world: &World) {
    world.write("proc/uptime", "5000.0 1.0\n");
    let directory = StateDirectory::at(Some(&world.state()));
    let host = Host::open(&world.machine, &directory).expect("it is free");
    assert!(!host.is_guarded());
}

/// Opens what changes the machine, as a command does.
fn with_host<T>(world: &World, work: impl FnOnce(&mut Host<'_>) -> T) -> T {
    let directory = StateDirectory::at(Some(&world.state()));
    work(&mut Host::open(&world.machine, &directory).expect("it is free"))
}

fn obstacles(outcome: Result<Applied, HostProblem>) -> Vec<String> {
    match outcome.expect_err("something stands against it") {
        HostProblem::Obstacles { obstacles, .. } => {
            assert!(obstacles.iter().all(|obstacle| !obstacle.hint().is_empty()));
            obstacles.iter().map(ToString::to_string).collect()
        }
        problem => panic!("{problem:?}"),
    }
}

#[test]
fn livepatch_becomes_active_and_the_next_one_replaces_it() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    let (outcome, _) = apply(&world, &first);
    assert!(matches!(outcome, Ok(Applied::Loaded { ref replaced, .. }) if replaced.is_empty()));
    assert_eq!(world.active(), ["one"]);
    assert_eq!(state(&world).current, Some(first.module.digest));
    assert!(matches!(apply(&world, &first).0, Ok(Applied::AlreadyActive)));

    let (outcome, _) = apply(&world, &second);
    assert!(matches!(outcome, Ok(Applied::Loaded { ref replaced, .. }) if replaced == &["one"]));
    assert_eq!((world.active(), world.modules()), (vec!["two".to_owned()], vec!["two".to_owned()]));
    assert_eq!(state(&world).earlier, [first.module.digest]);
    let directory = StateDirectory::at(Some(&world.state()));
    let events = directory.history().expect("a history");
    let loaded =
        |event: &Event| matches!(&event.kind, EventKind::Loaded { fixes, .. } if fixes.len() == 1);
    assert_eq!(events.iter().filter(|event| loaded(event)).count(), 2);

    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    let options = ApplyOptions::default();
    let to = Some(host.find("one").expect("it is kept"));
    let reverted = host.revert(to, "asked for", &options, &mut |_| {}).expect("it goes back");
    assert_eq!(reverted, Reverted::To { from: "two".to_owned(), to: "one".to_owned() });
    assert_eq!((world.active(), world.modules()), (vec!["one".to_owned()], vec!["one".to_owned()]));
    let reverted = host.revert(None, "asked for", &options, &mut |_| {}).expect("it goes");
    assert_eq!(reverted, Reverted::ToNone { from: "one".to_owned(), held: None });
    assert!(world.modules().is_empty());
    let problem =
        host.revert(None, "asked for", &options, &mut |_| {}).expect_err("nothing is left");
    assert!(matches!(problem, HostProblem::NothingLoaded));
}

#[test]
fn what_was_not_built_for_this_kernel_is_not_loaded() {
    let world = World::new();
    let sound = world.livepatch("one");
    let of = |change: &dyn Fn(&mut Applying)| {
        let mut changed = sound.clone();
        change(&mut changed);
        obstacles(apply(&world, &changed).0).join("; ")
    };
    let manifest = |applying: &mut Applying, change: &dyn Fn(&mut elivepatch_model::Manifest)| {
        change(applying.manifest.as_mut().expect("it has one"));
    };
    let other: elivepatch_model::ElfBuildId = "cd".repeat(20).parse().expect("a build-id");
    let stacks = serde_json::json!({
        "target": {"release": RELEASE, "architecture": "x86_64"}, "config_text": "0".repeat(64),
        "checks": [], "options": {"stack": true},
    });
    for (told, part) in [
        (
            of(&|it| {
                let request: Option<elivepatch_model::RequestRecord> =
                    serde_json::from_value(stacks.clone()).expect("a request");
                manifest(it, &|manifest| manifest.request = request.clone());
            }),
            "load beside other livepatches, and replaces none",
        ),
        (of(&|it| it.manifest = None), "no manifest"),
        (
            of(&|it| manifest(it, &|manifest| manifest.build_id = other.clone())),
            "with build-id cdcd",
        ),
        (
            of(&|it| manifest(it, &|manifest| manifest.base = elivepatch_model::BaseKind::Built)),
            "build-id was not told",
        ),
        (
            of(&|it| {
                let digest = elivepatch_model::Sha256Digest::of(b"other");
                manifest(it, &|manifest| manifest.module.digest = digest);
            }),
            "its manifest says",
        ),
        (of(&|it| it.module.is_livepatch = false), "no livepatch"),
        (of(&|it| it.module.name = "../x".to_owned()), "no livepatch"),
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Somebody has changed the module's vermagic, or the manifest is that of another file.
    let doctored =
        ModuleFile::read(&world.module("one", "6.1.0-49-cloud-amd64")).expect("a module");
    let told =
        obstacles(apply(&world, &Applying { module: doctored, ..sound.clone() }).0).join("; ");
    assert!(
        told.contains("it is for 6.1.0-49-cloud-amd64, and 6.1.0-50-cloud-amd64 is running"),
        "{told}"
    );
    assert!(world.modules().is_empty() && state(&world) == KernelState::default());

    world.write("sys/module/module/parameters/sig_enforce", "Y\n");
    assert!(
        obstacles(apply(&world, &sound).0).join("; ").contains("only modules with a signature")
    );
    world.write("sys/module/module/parameters/sig_enforce", "N\n");
    world.write("proc/meminfo", "MemAvailable:       2048 kB\n");
    assert!(obstacles(apply(&world, &sound).0).join("; ").contains("2 MiB are free"));
    world.write("proc/meminfo", "MemAvailable:    2048000 kB\n");
    world.write("proc/sys/kernel/modules_disabled", "1\n");
    assert!(obstacles(apply(&world, &sound).0).join("; ").contains("no modules any more"));
}

#[test]
fn kernel_that_is_busy_is_asked_again_and_what_it_refuses_is_told() {
    let world = World::new();
    let one = world.livepatch("one");
    world.fate(Fate::Busy(4));
    let (outcome, told) = apply(&world, &one);
    outcome.expect("the fifth time");
    assert_eq!(told.iter().filter(|line| *line == "Busy").count(), 4);

    let world = World::new();
    for (fate, part) in [
        (Fate::Busy(5), "another transition is under way"),
        (Fate::Refused(Errno::KEYREJECTED), "not signed by a key"),
        (Fate::Refused(Errno::INVAL), "does not fit"),
    ] {
        world.fate(fate);
        let problem = apply(&world, &one).0.expect_err("it is refused");
        assert!(problem.to_string().contains(part), "{problem}");
        assert!(!problem.hint().is_empty());
        assert_eq!((world.modules(), state(&world).current), (vec![], None));
    }
    // What was refused left no marker: the machine may be started anew.
    world.reboot("0002");
    assert_eq!(boot(&world).expect("nothing to do"), Booted::NothingKnown);
}

#[test]
fn transition_that_does_not_end_is_reversed_and_the_first_livepatch_stays() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    world.fate(Fate::Stalls);
    task(world.machine.root(), 77, "reader", "0");
    task(world.machine.root(), 78, "moved", "1");
    let (outcome, told) = apply(&world, &second);
    let Err(HostProblem::Stalled { blockers, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        blockers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["reader (pid 77) in msleep+0x2d/0x40"]
    );
    assert!(
        told.iter().any(|line| line.starts_with("Waiting") && line.contains("reader")),
        "{told:?}"
    );
    assert_eq!((world.active(), world.modules()), (vec!["one".to_owned()], vec!["one".to_owned()]));
    assert_eq!(state(&world).current, Some(first.module.digest));
}

#[test]
fn livepatch_under_which_the_kernel_oopses_is_taken_back_and_locked_out() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    world.fate(Fate::Oopses);
    let problem = apply(&world, &second).0.expect_err("it oopses");
    assert!(problem.to_string().contains("two was taken back: the kernel has oopsed"), "{problem}");
    // The one before is loaded again, for it was replaced.
    assert_eq!((world.active(), world.modules()), (vec!["one".to_owned()], vec!["one".to_owned()]));
    assert_eq!(state(&world).current, Some(first.module.digest));
    assert!(obstacles(apply(&world, &second).0).join("; ").contains("locked out"));
    let directory = StateDirectory::at(Some(&world.state()));
    let status = Status::look(&world.machine, &directory).expect("a status");
    // Another one is active: it is told, and no trouble.
    assert!(
        status.trouble.is_empty() && status.notes[0].contains("two is locked out"),
        "{status:?}"
    );
    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    host.unlock(second.module.digest).expect("it was locked out");
    drop(host);
    world.fate(Fate::Works);
    world.write("proc/sys/kernel/tainted", "0");
    apply(&world, &second).0.expect("it may be loaded");
}

#[test]
fn last_livepatch_is_loaded_at_boot_unless_the_machine_died_of_it() {
    let world = World::new();
    assert_eq!(boot(&world).expect("nothing to do"), Booted::NothingKnown);
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    end_guard(&world);
    world.reboot("0002");
    let booted = boot(&world).expect("something was done");
    // It was proven: nothing more is put down to it.
    let Booted::Loaded { name, is_guarded, .. } = booted else { panic!("{booted:?}") };
    assert_eq!((name.as_str(), is_guarded), ("one", false));
    assert_eq!(world.active(), ["one"]);
    world.reboot("0003");
    assert!(matches!(boot(&world), Ok(Booted::Loaded { died_under: None, .. })));

    // The next one is loaded, and the power goes.
    apply(&world, &second).0.expect("it works");
    world.reboot("0004");
    let booted = boot(&world).expect("something was done");
    let Booted::Loaded { name, died_under, .. } = booted else { panic!("{booted:?}") };
    assert_eq!((name.as_str(), died_under), ("one", Some(second.module.digest)));
    assert_eq!(world.active(), ["one"]);

    // After a shutdown it is no death, and it is looked after again.
    let world = World::new();
    apply(&world, &first).0.expect("it works");
    with_host(&world, |host| host.shut_down().expect("written"));
    world.reboot("0002");
    assert!(matches!(boot(&world), Ok(Booted::Loaded { is_guarded: true, died_under: None, .. })));
    world.reboot("0003");
    let booted = boot(&world).expect("something was done");
    let Booted::NothingToLoad { locked_out } = booted else { panic!("{booted:?}") };
    assert_eq!(locked_out.len(), 1);

    // Switched off on the kernel's command line, and another kernel.
    world.write("proc/cmdline", "quiet elivepatch=off -- elivepatch=on");
    assert_eq!(boot(&world).expect("nothing to do"), Booted::SwitchedOff);
    world.write("proc/cmdline", "quiet");
    world.write("proc/sys/kernel/osrelease", "6.1.0-51-cloud-amd64");
    assert_eq!(boot(&world).expect("nothing to do"), Booted::NothingKnown);
    assert!(world.active().is_empty());
}

#[test]
fn death_is_noticed_by_whoever_comes_first() {
    for command_line in ["quiet", "elivepatch=off"] {
        let world = World::new();
        let first = world.livepatch("one");
        apply(&world, &first).0.expect("it works");
        world.reboot("0002");
        world.write("proc/cmdline", command_line);
        if command_line == "elivepatch=off" {
            assert_eq!(boot(&world).expect("nothing is loaded"), Booted::SwitchedOff);
        }
        // A command from cron, on a machine without the unit.
        assert!(obstacles(apply(&world, &first).0).join("; ").contains("locked out"));
    }
}

#[test]
fn guard_takes_back_what_harms_the_kernel_later_and_nothing_else() {
    let world = World::new();
    let first = world.livepatch("one");
    apply(&world, &first).0.expect("it works");
    let guarded = with_host(&world, |host| host.guard(&mut |_| {}).expect("it can be looked at"));
    assert!(matches!(guarded, Guarded::Well { lived } if lived < GUARD), "{guarded:?}");
    // An administrator takes it out by hand: that is no harm.
    world.write("sys/kernel/livepatch/one/enabled", "0\n");
    world.machine.modules().rest(std::time::Duration::ZERO);
    let guarded = with_host(&world, |host| host.guard(&mut |_| {}).expect("it can be looked at"));
    assert_eq!(guarded, Guarded::Disabled { name: "one".to_owned() });
    assert!(state(&world).locked_out.is_empty());
    // Its module is there still, and can be loaded again.
    assert_eq!(world.modules(), ["one"]);
    apply(&world, &first).0.expect("it works");

    world.write("proc/sys/kernel/tainted", "4608");
    let guarded = with_host(&world, |host| host.guard(&mut |_| {}).expect("it can be looked at"));
    assert!(matches!(guarded, Guarded::TakenBack { ref name, .. } if name == "one"), "{guarded:?}");
    assert!(world.modules().is_empty());
    let guarded = with_host(&world, |host| host.guard(&mut |_| {}).expect("nothing is left"));
    assert_eq!((guarded, state(&world).current), (Guarded::None, None));
}

#[test]
fn try_that_fails_leaves_the_guard_of_the_one_before() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    for fate in [Fate::Refused(Errno::INVAL), Fate::Stalls] {
        world.fate(fate);
        apply(&world, &second).0.expect_err("it does not work");
        assert_eq!(world.active(), ["one"]);
        let guarded =
            with_host(&world, |host| host.guard(&mut |_| {}).expect("it can be looked at"));
        assert!(matches!(guarded, Guarded::Well { .. }), "{guarded:?}");
    }
    // The machine dies: it is put down to the one that was there.
    world.reboot("0002");
    world.fate(Fate::Works);
    assert!(
        matches!(boot(&world), Ok(Booted::NothingToLoad { locked_out }) if locked_out[0].0 == first.module.digest)
    );
}

#[test]
fn load_that_nobody_waits_for_is_gone_on_with() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    end_guard(&world);
    // The command was killed while it waited: the module is in, and nothing is written of it.
    let kept = with_host(&world, |host| {
        let kept = host.directory.keep(&host.lock, &second.module, None).expect("kept");
        let vitals = Vitals::now(&world.machine).expect("it tells");
        host.mark(second.module.digest, Some(first.module.digest), vitals, By::Person)
            .expect("written");
        kept
    });
    let module = std::fs::File::open(kept).expect("it is kept");
    world.machine.modules().load(&module).expect("it works");
    for _ in 0..5 {
        world.machine.modules().rest(std::time::Duration::ZERO);
    }
    let guarded = with_host(&world, |host| host.guard(&mut |_| {}).expect("it can be looked at"));
    assert!(matches!(guarded, Guarded::Well { .. }), "{guarded:?}");
    assert_eq!(state(&world).current, Some(second.module.digest));
}

#[test]
fn earlier_livepatch_is_looked_at_as_any_before_it_is_loaded_again() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    apply(&world, &second).0.expect("it works");
    // The kernel was built anew under the same release.
    world.build_id(&"cd".repeat(20));
    let problem = with_host(&world, |host| {
        let to = Some(host.find("one").expect("it is kept"));
        host.revert(to, "asked for", &ApplyOptions::default(), &mut |_| {})
    });
    assert!(matches!(problem, Err(HostProblem::Obstacles { .. })), "{problem:?}");
    assert_eq!(world.active(), ["two"]);
}

#[test]
fn what_cannot_be_written_keeps_the_kernel_from_nothing() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    end_guard(&world);
    apply(&world, &second).0.expect("it works");
    let mut taken = None;
    with_host(&world, |host| {
        world.write("proc/sys/kernel/tainted", "4224");
        // The record cannot be written any more: a directory is in its place.
        let record = world.state().join("state.json");
        fs::remove_file(&record).expect("own file");
        fs::create_dir_all(record.join("in-the-way")).expect("own directory");
        taken = Some(host.guard(&mut |_| {}));
    });
    assert!(matches!(taken, Some(Err(HostProblem::State { .. }))), "{taken:?}");
    assert_eq!(world.active(), ["one"], "the bad one is out all the same");
}

#[test]
fn boot_goes_back_to_one_that_was_proven_when_the_last_one_is_damaged() {
    let world = World::new();
    let (first, second) = (world.livepatch("one"), world.livepatch("two"));
    apply(&world, &first).0.expect("it works");
    end_guard(&world);
    apply(&world, &second).0.expect("it works");
    with_host(&world, |host| host.shut_down().expect("written"));
    let directory = StateDirectory::at(Some(&world.state()));
    fs::write(directory.module_path(second.module.digest), "no module").expect("own file");
    world.reboot("0002");
    assert!(matches!(boot(&world), Ok(Booted::Loaded { ref name, .. }) if name == "one"));
    assert_eq!(state(&world).current, Some(second.module.digest), "it belongs to the kernel still");
    // Names can be said in spite of the damage.
    with_host(&world, |host| {
        assert_eq!(host.find("one").expect("it is kept"), first.module.digest)
    });
}

#[test]
fn livepatch_of_somebody_else_and_two_at_once_are_refused() {
    let world = World::new();
    let one = world.livepatch("one");
    let directory = StateDirectory::at(Some(&world.state())).without_patience();
    let host = Host::open(&world.machine, &directory).expect("it is free");
    assert!(matches!(Host::open(&world.machine, &directory), Err(HostProblem::Busy)));
    drop(host);
    let function =
        PatchedFunction { object: "vmlinux".to_owned(), name: "f".to_owned(), position: 1 };
    let mut taking = one.clone();
    taking.module.functions.insert(function);
    world.write("sys/kernel/livepatch/vendor/enabled", "1\n");
    world.write("sys/kernel/livepatch/vendor/transition", "0\n");
    // It replaces other functions, and the kernel would take it out all the same.
    let told = obstacles(apply(&world, &taking).0).join("; ");
    assert!(
        told.contains("the livepatch vendor, which is not of elivepatch, is loaded: this one"),
        "{told}"
    );
    fs::create_dir_all(world.machine.root().join("sys/kernel/livepatch/vendor/vmlinux/f,1"))
        .expect("own directory");
    let told = obstacles(apply(&world, &taking).0).join("; ");
    assert!(told.contains("is loaded and replaces f (vmlinux), too"), "{told}");
    world.write("sys/kernel/livepatch/vendor/transition", "1\n");
    assert!(obstacles(apply(&world, &one).0).join("; ").contains("vendor is in transition"));
    fs::remove_dir_all(world.machine.root().join("sys/kernel/livepatch/vendor"))
        .expect("own directory");
    world.write(
        "sys/kernel/tracing/enabled_functions",
        "g (1) R I     M \tops: a\nf (1) R   D   \tops: b\n",
    );
    apply(&world, &taking).0.expect("f is only traced");
    let world = World::new();
    world.write("sys/kernel/tracing/enabled_functions", "f (1) R I     M \tops: a\n");
    assert!(obstacles(apply(&world, &taking).0).join("; ").contains("something else redirects f"));
}

#[test]
fn damage_is_told_and_foreign_livepatches_can_be_looked_at() {
    let world = World::new();
    let one = world.livepatch("one");
    apply(&world, &one).0.expect("it works");
    let directory = StateDirectory::at(Some(&world.state()));
    let path = directory.module_path(one.module.digest);
    fs::write(world.module("two", RELEASE), "").expect("own file");
    fs::write(&path, fs::read(world.module("three", RELEASE)).expect("a module"))
        .expect("own file");
    let status = Status::look(&world.machine, &directory).expect("a status");
    assert!(matches!(status.trouble[..], [Trouble::Lost { .. }]), "{status:?}");
    fs::remove_file(&path).expect("own file");
    end_guard_of_what_is_gone(&world);
    world.reboot("0002");
    let problem = boot(&world).expect_err("it is gone");
    assert!(matches!(problem, HostProblem::Unknown(_)), "{problem}");
}

fn end_guard_of_what_is_gone(world: &World) {
    let directory = StateDirectory::at(Some(&world.state()));
    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    host.shut_down().expect("written");
}
