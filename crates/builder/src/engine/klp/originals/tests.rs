//! Originals of a base whose tree behaves like a kernel's, in the real sandbox with the machine's own
//! compiler. Its objtool is a double that changes nothing: a real one is of a real kernel's tree.

use std::{collections::BTreeSet, sync::OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};

use super::{Originals, remove_older_originals};
use crate::{
    Observer,
    base::{
        Base, KernelMake, Workspace,
        fake_kernel::{CONFIG, Disk, FILES, Kernel, Listener},
    },
    engine::KpatchEngine,
    process::available_cores,
    sandbox::SandboxLimits,
};

/// Objects of the tree: its C files, the one that begins, and a module.
const OBJECTS: usize = FILES + 2;

struct Bench {
    kernel: Kernel,
    base: Base,
}

impl Bench {
    fn new(kernel: Kernel, fault: &str) -> Self {
        kernel.write("fault", fault);
        kernel.write("tools/objtool/objtool", "#!/bin/sh\n");
        let path = kernel.path("linux/tools/objtool/objtool");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("own file");
        let (base, _) = kernel.ready(CONFIG, &crate::SilentObserver).expect("it builds");
        Self { kernel, base }
    }

    /// Makes the originals ready, for a build whose work is in the directory `name`.
    fn ready(&self, name: &str, observer: &dyn Observer) -> Result<Originals, Failure> {
        let Kernel { cache, sandbox, release, .. } = &self.kernel;
        let toolchain = self.kernel.toolchain();
        let (root, work) = (toolchain.path(), self.kernel.path(name));
        let patched = Workspace::make(&self.base, &root, sandbox, &work, "patched", observer)?;
        let input = KpatchEngine {
            base: &self.base,
            patched: &patched,
            make: KernelMake::new(&toolchain, release, available_cores()),
            module_name: "livepatch_test",
            stack: false,
            sandbox,
            observer,
            touched: &[],
            new_sources: &BTreeSet::new(),
            left_out: &BTreeSet::new(),
            reads_variables: &OnceLock::new(),
        };
        Originals::ready(&input, cache, SandboxLimits::default())
    }

    /// What attempts have left that is not complete.
    fn leftovers(&self) -> Vec<Utf8PathBuf> {
        let entries = self.base.originals().read_dir_utf8().expect("own directory").flatten();
        let paths = entries.map(|entry| entry.path().to_owned());
        paths.filter(|path| path.as_str().ends_with(".partial")).collect()
    }

    /// The files that an attempt has made, by the path of a directory of the tree.
    fn made(&self, attempt: &Utf8Path, directory: &str) -> Utf8PathBuf {
        let overlays = self.kernel.sandbox.overlays();
        attempt.join(if overlays { "objects.layer/upper" } else { "objects.tree" }).join(directory)
    }
}

fn halves(directory: &Utf8Path) -> usize {
    let files = directory.read_dir_utf8().expect("a directory").flatten();
    files.filter(|file| std::fs::read(file.path()).is_ok_and(|text| text == b"half\n")).count()
}

fn objects(directory: &Utf8Path) -> Vec<(String, Vec<u8>)> {
    let files = directory.read_dir_utf8().expect("a directory").flatten();
    let objects = files.filter(|file| file.file_name().ends_with(".o"));
    let mut objects: Vec<_> = objects
        .map(|file| (file.file_name().to_owned(), std::fs::read(file.path()).expect("own file")))
        .collect();
    objects.sort();
    objects
}

fn said(listener: &Listener, text: &str) -> bool {
    let events = listener.events.lock().expect("nobody panicked");
    let line =
        |event: &BuildEvent| matches!(event, BuildEvent::Log { line, .. } if line.contains(text));
    events.iter().any(line)
}

#[test]
fn originals_are_made_once_and_their_progress_is_told() {
    let bench = Bench::new(Kernel::new(), "none");
    let listener = Listener::new(usize::MAX);
    let originals = bench.ready("first", &listener).expect("they are made");
    assert_eq!(listener.objects(), OBJECTS);
    let progress = listener.progress();
    assert!(progress.is_sorted() && !progress.is_empty(), "{progress:?}");
    assert!(progress.iter().all(|(_, total)| *total == OBJECTS as u64), "{progress:?}");
    let events = listener.events.lock().expect("nobody panicked");
    let first = events.iter().find_map(|event| match event {
        BuildEvent::Progress { step: StepName::Compile, what, .. } => Some(what.as_str()),
        _ => None,
    });
    assert_eq!(first, Some("linking the kernel once more"));
    for name in ["vmlinux", "vmlinux.o"] {
        assert!(originals.directory().join(name).is_file(), "{name}");
    }
    drop((events, originals));
    let again = Listener::new(usize::MAX);
    bench.ready("second", &again).expect("they are there");
    assert_eq!(again.objects(), 0);
    assert_eq!(bench.leftovers(), Vec::<Utf8PathBuf>::new());
}

#[test]
fn interrupted_originals_are_gone_on_with_and_nothing_half_made_survives() {
    let bench = Bench::new(Kernel::new(), "slow");
    let failure = bench.ready("first", &Listener::new(OBJECTS / 2)).expect_err("it was stopped");
    assert_eq!(failure.class, FailureClass::Internal);
    let left = bench.leftovers();
    assert_eq!(left.len(), 1, "it is kept");
    assert!(halves(&bench.made(&left[0], "fs")) > 0, "the test shows nothing");

    let second = Listener::new(usize::MAX);
    let gone_on = bench.ready("second", &second).expect("it goes on");
    assert!(said(&second, "was interrupted: going on"));
    assert!(!said(&second, "linking the kernel once more"));
    assert_eq!(bench.leftovers(), Vec::<Utf8PathBuf>::new());
    let place = gone_on.directory().with_file_name("");
    let whole = objects(&bench.made(&place, "fs"));
    assert_eq!(whole.len(), FILES + 1);
    // The same as when nothing is in the way.
    drop(gone_on);
    std::fs::remove_dir_all(&place).expect("own directory");
    let anew = bench.ready("third", &Listener::new(usize::MAX)).expect("they are made");
    assert_eq!(objects(&bench.made(&anew.directory().with_file_name(""), "fs")), whole);
}

#[test]
fn originals_that_were_on_the_disk_are_not_compiled_again() {
    let bench = Bench::new(Kernel::new(), "slow");
    bench.ready("first", &Listener::new(OBJECTS - 4)).expect_err("it was stopped");
    let left = bench.leftovers();
    // As if a stage had been complete now, after the objects; what is half made is not, this time.
    let path = left[0].join("stamp.json");
    let text = std::fs::read_to_string(&path).expect("a file");
    let mut stamp: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    stamp["reached"] =
        serde_json::json!({ "secs": jiff::Timestamp::now().as_second() + 1, "nanos": 0 });
    std::fs::write(&path, stamp.to_string()).expect("own file");
    let made = bench.made(&left[0], "fs");
    for entry in made.read_dir_utf8().expect("a directory").flatten() {
        if std::fs::read(entry.path()).is_ok_and(|text| text == b"half\n") {
            std::fs::remove_file(entry.path()).expect("own file");
        }
    }
    let second = Listener::new(usize::MAX);
    bench.ready("second", &second).expect("it goes on");
    assert!(second.objects() < OBJECTS / 2, "{} were compiled again", second.objects());
    let progress = second.progress();
    assert!(progress.iter().all(|(done, _)| *done > OBJECTS as u64 / 2), "{progress:?}");
}

#[test]
fn originals_that_do_not_fit_are_refused_or_cleared_with_what_they_need() {
    let mut kernel = Kernel::new();
    // The base needs 326 MB while it is built; the originals need 216 MB.
    let Some(disk) = Disk::under_the_cache(&mut kernel, 420) else { return };
    let bench = Bench::new(kernel, "full");
    let needs = "making the originals of the base of 6.12.117-small needs about 0.2 GB, and ";

    let failure = bench.ready("first", &crate::SilentObserver).expect_err("the disk fills");
    assert_eq!(failure.class, FailureClass::DiskFull, "{failure:?}");
    assert!(failure.message.starts_with(&format!("{needs}the disk was full: ")), "{failure}");
    assert_eq!(bench.leftovers(), Vec::<Utf8PathBuf>::new());

    std::fs::write(disk.0.join("filler"), vec![1; 240_000_000]).expect("own file");
    let failure = bench.ready("second", &crate::SilentObserver).expect_err("no room");
    assert_eq!(failure.class, FailureClass::DiskFull, "{failure:?}");
    assert!(failure.message.starts_with(needs), "{failure}");
    assert!(failure.message.ends_with(" GB are free"), "{failure}");
    assert_eq!(bench.leftovers(), Vec::<Utf8PathBuf>::new());
}

#[test]
fn only_originals_of_older_versions_are_removed() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    for name in ["klp-1-layer/image", "klp-2-copy.partial/plain", "klp-3-layer", "klp-99-layer"] {
        std::fs::create_dir_all(directory.join(name)).expect("own directory");
    }
    for name in ["klp-1-layer.lock", "klp-3-layer.lock", "klp-x-layer"] {
        std::fs::write(directory.join(name), "").expect("own file");
    }
    remove_older_originals(directory).expect("own directory");
    let entries = directory.read_dir_utf8().expect("own directory").flatten();
    let mut left: Vec<String> = entries.map(|entry| entry.file_name().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["klp-3-layer", "klp-3-layer.lock", "klp-99-layer", "klp-x-layer"]);
    remove_older_originals(&directory.join("none")).expect("nothing is there");
}
