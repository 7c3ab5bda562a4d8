//! Built bases of a tree that behaves like a kernel's, in the real sandbox with the machine's own
//! compiler.

use std::{collections::BTreeSet, thread};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BaseKind, BuildEvent, Failure, FailureClass};

use super::fake_kernel::{CONFIG, Disk, FILES, Kernel, Listener};
use crate::{SilentObserver, headers::units_by_records, sandbox::with_descendants};

#[test]
fn whole_kernel_is_built_once_and_knows_its_files() {
    let kernel = Kernel::new();
    let listener = Listener::new(usize::MAX);
    let (base, was_there) = kernel.ready(CONFIG, &listener).expect("it builds");
    assert!(!was_there);
    assert_eq!(base.facts().source.base_kind(), BaseKind::Built);
    assert_eq!(base.facts().vermagic, "6.12.117-small SMP mod_unload ");
    assert_eq!(base.facts().struct_sizes["bug_entry"], 12);
    let index = base.sources().expect("a list");
    let owner =
        |file: &str| index.units_of(file).iter().map(|u| u.parent.to_string()).collect::<Vec<_>>();
    assert_eq!(owner("fs/f07.c"), ["vmlinux"]);
    assert_eq!(owner("drivers/dummy.c"), ["dummy"]);
    assert_eq!(owner("fs/none.c"), Vec::<String>::new());
    let units = index.units_of("virt/main.c");
    let objects: Vec<(&str, String)> =
        units.iter().map(|unit| (unit.goal(), unit.object())).collect();
    let twin = "drivers/twin/main.o";
    let main = ("drivers/../virt/main.o", "virt/main.o".to_owned());
    assert_eq!(objects, [main, (twin, twin.to_owned())]);
    let header = BTreeSet::from(["include/fs.h"]);
    let reached = units_by_records(&header, &base.tree(), &index).expect("records are there");
    assert!(units.iter().all(|unit| reached["include/fs.h"].contains(unit)), "{reached:?}");
    assert!(base.kernel_image().is_file());
    assert!(base.module_symvers().expect("a file").contains("vmlinux"));
    assert!(!base.tree().join("vmlinux.o").exists(), "nothing needs it any more");

    assert_eq!(listener.objects(), FILES + 2);
    let progress = listener.progress();
    assert!(progress.iter().all(|(_, total)| *total == FILES as u64 + 2), "{progress:?}");
    assert!(progress.is_sorted(), "it went back: {progress:?}");

    let again = Listener::new(usize::MAX);
    assert!(kernel.ready(CONFIG, &again).expect("it is there").1);
    assert_eq!(again.objects(), 0);
    assert_eq!(kernel.leftovers(), Vec::<String>::new());
}

#[test]
fn two_requests_at_once_build_a_base_once() {
    let kernel = Kernel::new();
    let listener = Listener::new(usize::MAX);
    thread::scope(|scope| {
        let one = scope.spawn(|| kernel.ready(CONFIG, &listener).map(|(_, was_there)| was_there));
        let other = kernel.ready(CONFIG, &listener).map(|(_, was_there)| was_there);
        let mut there = [one.join().expect("no panic"), other].map(|result| result.expect("built"));
        there.sort();
        assert_eq!(there, [false, true]);
    });
    assert_eq!(listener.objects(), FILES + 2);
}

#[test]
fn interrupted_build_goes_on_and_no_half_made_object_survives() {
    let kernel = Kernel::new();
    // Each object is there by half for a while before it is whole.
    kernel.write("fault", "slow");
    let first = Listener::new(FILES / 2);
    let failure = kernel.ready(CONFIG, &first).expect_err("it was stopped");
    assert_eq!(failure.class, FailureClass::Internal);
    let staging = kernel.leftovers();
    assert_eq!(staging.len(), 1, "it is kept");
    let half = kernel.cache.bases().join(&staging[0]).join("tree/fs");
    let halves = |directory: &Utf8Path| {
        let files = directory.read_dir_utf8().expect("a directory").flatten();
        files.filter(|file| std::fs::read(file.path()).is_ok_and(|text| text == b"half\n")).count()
    };
    assert!(halves(&half) > 0, "the test shows nothing");

    let second = Listener::new(usize::MAX);
    let (base, was_there) = kernel.ready(CONFIG, &second).expect("it goes on");
    assert!(!was_there);
    assert_eq!(halves(&base.tree().join("fs")), 0);
    let logged = second.events.lock().expect("nobody panicked");
    let went_on = |event: &BuildEvent| matches!(event, BuildEvent::Log { line, .. } if line.contains("was interrupted"));
    assert!(logged.iter().any(went_on));
}

/// Where [`builder_that_is_killed`] finds its kernel.
const KILLED: &str = "ELIVEPATCH_TEST_KILLED_BUILDER";

#[test]
#[ignore = "build_goes_on_after_its_builder_was_killed runs it in a process of its own"]
fn builder_that_is_killed() {
    let Some(directory) = std::env::var_os(KILLED) else { return };
    let directory = Utf8PathBuf::from_path_buf(directory.into()).expect("UTF-8");
    // Long before it is done it is killed.
    let built = Kernel::at(&directory).ready(CONFIG, &SilentObserver);
    panic!("nobody killed it: {:?}", built.map(|(_, was_there)| was_there));
}

/// Whether a process is there; one that has ended and waits for its parent has no command line.
fn runs(process: u32) -> bool {
    std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| !words.is_empty())
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "waited too long for {what}");
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn build_goes_on_after_its_builder_was_killed() {
    let kernel = Kernel::new();
    kernel.write("fault", "slow");
    let mut builder = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "base::built::tests::builder_that_is_killed"])
        .env(KILLED, &kernel.directory)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("this program runs");
    let objects = || {
        let staging = kernel.leftovers().pop()?;
        let directory = kernel.cache.bases().join(staging).join("tree/fs");
        let files = directory.read_dir_utf8().ok()?.flatten();
        let objects = files.filter(|file| file.file_name().ends_with(".o"));
        let texts = objects.filter_map(|file| std::fs::read(file.path()).ok());
        Some(texts.partition::<Vec<_>, _>(|text| text == b"half\n"))
    };
    let are_made = || objects().is_some_and(|(half, whole)| !half.is_empty() && whole.len() >= 4);
    wait_until("the first objects", are_made);
    let processes = with_descendants(builder.id());
    assert!(processes.len() > 3, "its sandbox with make and compilers: {processes:?}");
    // No destructor, no signal handler: as when the power fails.
    builder.kill().expect("it runs");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&builder.wait().expect("a child")),
        Some(9)
    );
    wait_until("the end of its tools", || !processes.iter().any(|process| runs(*process)));
    let (half, whole) = objects().expect("what was made is kept");
    assert!(!half.is_empty() && whole.len() < FILES, "the test shows nothing");

    let listener = Listener::new(usize::MAX);
    let (base, was_there) = kernel.ready(CONFIG, &listener).expect("it goes on");
    assert!(!was_there);
    let logged = listener.events.lock().expect("nobody panicked");
    let went_on = |event: &BuildEvent| matches!(event, BuildEvent::Log { line, .. } if line.contains("was interrupted"));
    assert!(logged.iter().any(went_on), "it began anew");
    for file in base.tree().join("fs").read_dir_utf8().expect("a directory").flatten() {
        let is_half = std::fs::read(file.path()).is_ok_and(|text| text == b"half\n");
        assert!(!is_half, "{}", file.path());
    }
    let symbols = std::fs::read_to_string(base.symbol_table()).expect("a table");
    for number in 0..FILES {
        let name = format!(" f{number}");
        assert!(symbols.lines().any(|line| line.ends_with(&name)), "no{name} in vmlinux");
    }
    assert_eq!(kernel.leftovers(), Vec::<String>::new());
}

#[test]
fn what_was_on_the_disk_is_not_built_again() {
    let kernel = Kernel::new();
    kernel.write("fault", "slow");
    let first = Listener::new(FILES);
    kernel.ready(CONFIG, &first).expect_err("it was stopped");
    let staging = kernel.cache.bases().join(&kernel.leftovers()[0]);
    // As if a stage had been complete now, after the objects.
    let path = staging.join("stamp.json");
    let mut stamp: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
    stamp["reached"] =
        serde_json::json!({ "secs": jiff::Timestamp::now().as_second() + 1, "nanos": 0 });
    std::fs::write(&path, stamp.to_string()).expect("own file");
    // What was half made is not, this time: only the rule is looked at.
    for entry in staging.join("tree/fs").read_dir_utf8().expect("a directory").flatten() {
        let note = entry.path().with_file_name(format!(".{}.cmd", entry.file_name()));
        if entry.file_name().ends_with(".o") && !note.exists() {
            std::fs::remove_file(entry.path()).expect("own file");
        }
    }
    // As when it ended between this and the base's final name.
    for directory in ["scratch", "inputs"] {
        std::fs::remove_dir_all(staging.join(directory)).expect("it was made");
    }
    let second = Listener::new(usize::MAX);
    let (base, _) = kernel.ready(CONFIG, &second).expect("it goes on");
    assert!(second.objects() < FILES, "all {} were built again", second.objects());
    let place = base.tree().parent().expect("the base's directory").to_owned();
    for directory in ["scratch", "inputs"] {
        assert!(!place.join(directory).exists(), "{directory} is no part of a base");
    }
}

#[test]
fn staging_of_another_input_is_not_gone_on_with() {
    let kernel = Kernel::new();
    kernel.write("fault", "slow");
    kernel.ready(CONFIG, &Listener::new(4)).expect_err("it was stopped");
    let staging = kernel.cache.bases().join(&kernel.leftovers()[0]);
    let path = staging.join("stamp.json");
    let text = std::fs::read_to_string(&path).expect("a file");
    let mut stamp: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    stamp["input"] = elivepatch_model::Sha256Digest::of(b"another").to_string().into();
    std::fs::write(&path, stamp.to_string()).expect("own file");
    let listener = Listener::new(usize::MAX);
    kernel.ready(CONFIG, &listener).expect("it builds");
    assert_eq!(listener.objects(), FILES + 2, "all is built anew");
}

#[test]
fn failing_build_shows_its_first_error() {
    let kernel = Kernel::new();
    kernel.write("fs/f03.c", "int f3(void) { return nothing; }\n");
    let failure = kernel.ready(CONFIG, &SilentObserver).expect_err("it does not compile");
    assert_eq!(failure.class, FailureClass::KernelDoesNotBuild);
    assert!(failure.message.contains("does not build from linux: fs/f03.c:1:"), "{failure}");
    assert!(failure.message.contains("'nothing' undeclared"), "{failure}");
    assert_eq!(kernel.leftovers(), Vec::<String>::new());
}

#[test]
fn config_that_changes_when_normalised_is_refused_with_its_options() {
    let kernel = Kernel::new();
    kernel.write("fault", "config");
    let failure = kernel.ready(CONFIG, &SilentObserver).expect_err("it changes");
    assert_eq!(failure.class, FailureClass::ConfigMismatch);
    assert_eq!(failure.details, ["CONFIG_NEW: off / y"]);
}

#[test]
fn tree_that_is_not_the_configs_version_is_refused_before_it_is_built() {
    let kernel = Kernel::new();
    let config = CONFIG.replace("6.12.117", "6.12.107");
    let listener = Listener::new(usize::MAX);
    let failure = kernel.ready(&config, &listener).expect_err("another version");
    assert_eq!(failure.class, FailureClass::ConfigMismatch);
    assert!(failure.message.contains("made by Linux 6.12.107"), "{failure}");
    assert_eq!(listener.objects(), 0);
    // Also when there is a base of a config that says the same in another version.
    kernel.ready(CONFIG, &SilentObserver).expect("it builds");
    let failure = kernel.ready(&config, &listener).expect_err("another version");
    assert_eq!(failure.class, FailureClass::ConfigMismatch);
    kernel.write("localversion-rt", "-rt2\n");
    let failure = kernel.ready(CONFIG, &listener).expect_err("another release");
    assert!(failure.message.contains("makes 6.12.117-rt2-small"), "{failure}");
}

#[test]
fn directory_that_changes_while_it_is_copied_is_refused() {
    let kernel = Kernel::new();
    let source = kernel.source("linux");
    kernel.write("fs/late.c", "int late(void) { return 0; }\n");
    let failure = kernel.ready_from(&source, CONFIG, &SilentObserver).expect_err("it changed");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains("changed while it was copied"), "{failure}");
}

#[test]
fn tarball_gives_the_same_base_and_a_hostile_one_none() {
    let kernel = Kernel::new();
    let pack = |name: &str, extra: &[&str]| {
        let status = std::process::Command::new("tar")
            .current_dir(&kernel.directory)
            .args(["--create", "--auto-compress", "--file", name])
            .args(extra)
            .arg("linux")
            .status();
        assert!(status.is_ok_and(|status| status.success()), "tar");
    };
    for name in ["linux.tar", "linux.tar.xz", "linux.tar.gz"] {
        pack(name, &[]);
        let (base, _) =
            kernel.ready_from(&kernel.source(name), CONFIG, &SilentObserver).expect(name);
        assert_eq!(base.facts().source.name(), name);
    }
    kernel.write("fault", "none");
    pack("hostile.tar.xz", &["--absolute-names", "--transform=s,linux/fault,/etc/fault,"]);
    let hostile = kernel.source("hostile.tar.xz");
    let failure = kernel.ready_from(&hostile, CONFIG, &SilentObserver).expect_err("hostile");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.starts_with("/etc/fault in the source"), "{failure}");
    std::fs::write(kernel.path("broken.tar.xz"), "no archive").expect("own file");
    let broken = kernel.source("broken.tar.xz");
    let failure = kernel.ready_from(&broken, CONFIG, &SilentObserver).expect_err("broken");
    assert!(failure.message.contains("broken.tar.xz cannot be unpacked"), "{failure}");
    assert_eq!(kernel.leftovers(), Vec::<String>::new());
}

#[test]
fn removed_base_is_named_as_the_cause() {
    let kernel = Kernel::new();
    let (base, _) = kernel.ready(CONFIG, &SilentObserver).expect("it builds");
    let cause = || Failure::new(FailureClass::CompileFailed, "no such header", "look");
    assert_eq!(base.explain(cause()), cause());
    std::fs::remove_dir_all(base.tree()).expect("own directory");
    let failure = base.explain(cause());
    assert_eq!(failure.class, FailureClass::BaseFailed);
    assert!(failure.message.contains("was removed or damaged while a build used it"), "{failure}");
    assert_eq!(failure.details, ["no such header"]);
}

#[test]
fn originals_are_tidied_when_the_last_build_of_a_base_ends() {
    let kernel = Kernel::new();
    let ready = || kernel.ready(CONFIG, &SilentObserver).expect("it builds").0;
    let (first, second) = (ready(), ready());
    first.tidy(&kernel.cache, |_| panic!("another build reads them"));
    let originals = second.originals();
    let mut tidied = None;
    second.tidy(&kernel.cache, |directory| tidied = Some(directory.to_owned()));
    assert_eq!(tidied, Some(originals));
    drop(ready());
}

#[test]
fn base_that_is_not_what_it_was_is_no_base_of_a_finished_build() {
    for harm in ["a directory goes", "a list goes", "another is in its place"] {
        let kernel = Kernel::new();
        let (base, _) = kernel.ready(CONFIG, &SilentObserver).expect("it builds");
        assert_eq!(base.check_whole(), Ok(()));
        let place = base.tree().parent().expect("the base's directory").to_owned();
        match harm {
            "a directory goes" => fs_err::remove_dir_all(base.tree().join("fs")),
            "a list goes" => fs_err::remove_file(place.join("sources")),
            // The lock is removed with it: nobody waits for the build that uses it.
            _ => fs_err::remove_dir_all(&place).and_then(|()| {
                fs_err::remove_file(format!("{place}.lock"))?;
                let (again, was_there) = kernel.ready(CONFIG, &SilentObserver).expect("it builds");
                assert!(!was_there);
                assert_eq!(again.facts(), base.facts());
                Ok(())
            }),
        }
        .expect("own files");
        let failure = base.check_whole().expect_err(harm);
        assert_eq!(failure.class, FailureClass::BaseFailed, "{harm}");
        // What came of it is told as a detail, and the same is not told twice.
        assert_eq!(base.explain(failure.clone()), failure, "{harm}");
    }
}

#[test]
fn base_that_will_not_fit_is_refused_with_what_it_needs() {
    let mut kernel = Kernel::new();
    // More than the 268 MB at which tools are stopped, less than the 326 MB that 26 objects need.
    let Some(_disk) = Disk::under_the_cache(&mut kernel, 290) else { return };
    let listener = Listener::new(usize::MAX);
    let failure = kernel.ready(CONFIG, &listener).map(drop).expect_err("it does not fit");
    assert_eq!(failure.class, FailureClass::DiskFull);
    let needs = "building the base of 6.12.117-small needs about 0.3 GB, and 0.3 GB are free";
    assert_eq!(failure.message, needs);
    assert_eq!(listener.objects(), 0);
    assert_eq!(kernel.leftovers(), Vec::<String>::new());
}

/// What is asked before the build is an estimate: the disk may fill all the same.
#[test]
fn disk_that_fills_while_the_kernel_compiles_is_named_and_cleared() {
    for object in [200_000_000, 600_000_000] {
        let mut kernel = Kernel::new();
        let Some(_disk) = Disk::under_the_cache(&mut kernel, 420) else { return };
        kernel.write("fs/huge.c", &format!("char huge[{object}] = {{ 1 }};\n"));
        let failure =
            kernel.ready(CONFIG, &SilentObserver).map(drop).expect_err("there is no room");
        assert_eq!(failure.class, FailureClass::DiskFull, "{object}: {failure:?}");
        let needs =
            "building the base of 6.12.117-small needs about 0.3 GB, and the disk was full: ";
        assert!(failure.message.starts_with(needs), "{object}: {failure}");
        assert_eq!(kernel.leftovers(), Vec::<String>::new());
        // With room again, nothing of it is in the way.
        kernel.write("fs/huge.c", "char huge[1];\n");
        let (base, _) = kernel.ready(CONFIG, &SilentObserver).expect("it fits");
        assert!(base.kernel_image().is_file());
    }
}
