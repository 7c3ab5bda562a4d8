//! Built bases: the whole kernel is built once, plainly, from a source tree and a config. Later
//! builds work in overlays on it, as on a prepared base.

mod kbuild;
mod record;
mod signing;
mod staging;
mod version;

pub(super) use version::check_header;

use camino::Utf8Path;
use elivepatch_model::{BuildEvent, Failure, FailureClass, KernelConfig, Sha256Digest, StepName};

use super::{
    BaseInput, COMPILE_FLAGS, KernelMake,
    config_check::check_normalised_by_source,
    facts::{FACTS, base_io},
    workspace::{INPUTS, TREE, WORK},
};
use crate::{
    Observer,
    disk_need::{DiskNeed, gigabytes},
    kernel_build::{KernelRun, Subject, counting_script},
    process::Finished,
    sandbox::{Sandbox, SandboxCommand},
    source::{TreeFacts, Unpacking, apply_baseline},
    untrusted_file::{open_untrusted_below, read_untrusted_below},
};
use staging::{Stage, Staging};

/// What Kbuild puts into the kernel of when, where and by whom it was built: always the same, so
/// that the same input gives the same base.
const SAME_EVERY_TIME: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970"),
    ("KBUILD_BUILD_USER", "elivepatch"),
    ("KBUILD_BUILD_HOST", "elivepatch"),
    ("KBUILD_BUILD_VERSION", "1"),
];

/// The command, with a kernel's own build told what it is to put in of when and where it ran.
pub(crate) fn same_every_time(command: SandboxCommand) -> SandboxCommand {
    SAME_EVERY_TIME.iter().fold(command, |command, (name, value)| command.environment(name, *value))
}

/// What is built: the kernel, its bootable image, and its modules.
const GOALS: [&str; 3] = ["vmlinux", "bzImage", "modules"];

/// The largest file that is read whole out of the tree, in bytes: a config, a list, a small module.
const SMALL_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What one object adds with all that is made of it, in bytes: itself with its debug information,
/// Kbuild's note on it, and its part of vmlinux and of the steps of linking it. Measured on Linux
/// 6.12 and 7.3 with small configs and DWARF 5, rounded up.
const OBJECT_BYTES: u64 = 1_000_000;

/// What is made whatever the config is: kernel image, host tools, tables.
const FIXED_BYTES: u64 = 300_000_000;

/// What is built, for people.
const SUBJECT: Subject = Subject {
    step: StepName::Base,
    compiling: "building the kernel",
    linking: "linking the kernel",
};

/// The stages before compilers begin, for people.
const FIRST_STAGES: [&str; 4] =
    ["unpacking the source", "configuring", "making headers and tools", "counting objects"];

struct Building<'a> {
    input: &'a BaseInput<'a>,
    source: &'a TreeFacts,
    sandbox: Sandbox,
    observer: &'a dyn Observer,
    make: KernelMake,
}

/// Builds the base at `place`, or goes on with an earlier build of it. The caller holds the lock of
/// `place`.
pub(super) fn build(
    input: &BaseInput,
    source: &TreeFacts,
    identity: Sha256Digest,
    place: &Utf8Path,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let sandbox = sandbox.with_limits(input.base_limits);
    let make = KernelMake::new(input.toolchain, input.release, input.jobs);
    let building = Building { input, source, sandbox, observer, make };
    let mut staging = Staging::open(place, identity, &building.sandbox)?;
    match building.run(&mut staging) {
        Ok(()) => staging.resumable.publish(place),
        Err(failure) => {
            staging.resumable.give_up(&failure);
            Err(failure)
        }
    }
}

impl Building<'_> {
    fn run(&self, staging: &mut Staging) -> Result<(), Failure> {
        let release = self.input.release;
        let need = |staging: &Staging, bytes, what: &str| DiskNeed {
            place: staging.path().to_owned(),
            bytes,
            what: format!("{what} of {release}"),
        };
        if staging.stage() < Stage::Unpacked {
            let bytes = self.source.unpacking_bytes()?;
            need(staging, bytes, "unpacking the source").fits(|| self.unpack(staging))?;
        } else {
            self.log("an earlier build of this base was interrupted: going on with it");
        }
        let configuring = need(staging, FIXED_BYTES, "building the base");
        let objects = configuring.fits(|| self.prepare(staging))?;
        let bytes = FIXED_BYTES + objects.saturating_mul(OBJECT_BYTES);
        need(staging, bytes, "building the base").fits(|| {
            self.build_kernel(staging, objects)?;
            let facts = record::record(self, staging)?;
            let path = staging.path().join(FACTS);
            let text = serde_json::to_vec_pretty(&facts).expect("plain data has a JSON form");
            fs_err::write(&path, text).map_err(|error| base_io("write", &path, &error))?;
            staging.remove_directories()
        })
    }

    fn unpack(&self, staging: &mut Staging) -> Result<(), Failure> {
        self.stage(0);
        let (tree, scratch) = (staging.tree(), staging.scratch());
        let root = self.input.toolchain.path();
        let unpacking = Unpacking {
            tree: &tree,
            scratch: &scratch,
            toolchain_root: &root,
            sandbox: &self.sandbox,
            observer: self.observer,
        };
        self.source.unpack(&unpacking)?;
        apply_baseline(self.input.baseline, self.source.name(), &unpacking)?;
        staging.resumable.reached(Stage::Unpacked)
    }

    /// All before compilers begin. Gives the number of objects that are to be made.
    fn prepare(&self, staging: &mut Staging) -> Result<u64, Failure> {
        if staging.stage() < Stage::Configured {
            self.stage(1);
            self.configure(staging)?;
            staging.resumable.reached(Stage::Configured)?;
        }
        self.stage(2);
        self.run_make(staging, &["modules_prepare"])?;
        self.stage(3);
        self.count_objects(staging)
    }

    /// Puts the config into the tree, and refuses one that is not of this tree.
    fn configure(&self, staging: &Staging) -> Result<(), Failure> {
        let tree = staging.tree();
        // A tree in which somebody has built: his objects and config must not be taken for ours.
        self.run_make(staging, &["mrproper"])?;
        let printed = self.make_output(staging, &["--silent", "kernelversion"])?;
        let version = printed.lines().last().unwrap_or_default().trim();
        let suffix = local_version(&tree);
        let source = self.source.name();
        let (config, release) = (self.input.config, self.input.release);
        version::check_version(version, &suffix, config, release, source)?;

        let exists = |path: &str| open_untrusted_below(&tree, path).is_ok();
        let text = String::from_utf8_lossy(self.input.config_text);
        let (text, changed) = signing::without_foreign_keys(&text, &exists);
        if !changed.is_empty() {
            self.log(&format!("the keys are not here, and left out: {}", changed.join(", ")));
        }
        let inputs = staging.write_input("config", text.as_bytes())?;
        let command = self.in_tree(staging, ["cp", &format!("{INPUTS}/config"), ".config"]);
        self.checked(command.read_only(&inputs, INPUTS))?;
        self.run_make(staging, &["olddefconfig"])?;
        check_normalised_by_source(config, &self.tree_config(staging)?, source)
    }

    fn tree_config(&self, staging: &Staging) -> Result<KernelConfig, Failure> {
        let path = staging.tree().join(".config");
        let text = read_untrusted_below(&staging.tree(), ".config", SMALL_FILE_BYTES)
            .map_err(|error| base_io("read", &path, &error))?;
        KernelConfig::parse(&text).map_err(|error| {
            Failure::new(
                FailureClass::BaseFailed,
                format!("{path}: {error}"),
                "the kernel's build made a config that is none: please report it",
            )
        })
    }

    /// Asks make how many objects it would make.
    fn count_objects(&self, staging: &Staging) -> Result<u64, Failure> {
        let script = counting_script(&self.make.words(["vmlinux", "modules"]));
        let command = self.same_every_time(self.in_tree(staging, ["sh", "-c", &script]));
        let text = self.quietly(command)?.text();
        // What cannot be counted has no end that could be told, but is built all the same.
        Ok(text.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or_default())
    }

    fn build_kernel(&self, staging: &mut Staging, objects: u64) -> Result<(), Failure> {
        let command = self.same_every_time(self.in_tree(staging, self.make.words(GOALS)));
        let run = KernelRun {
            sandbox: &self.sandbox,
            staging: &mut staging.resumable,
            subject: SUBJECT,
            objects,
            observer: self.observer,
        };
        run.make(&command)?.map_err(|broken| {
            let source = self.source.name();
            Failure::new(
                FailureClass::KernelDoesNotBuild,
                format!("the kernel does not build from {source}: {}", broken.reason),
                "this is not the patch's fault: look whether the source is whole and is that of \
                 the target, and whether the toolchain root has all tools",
            )
            .with_details(broken.details)
        })
    }

    /// Says once more how much is where, for the one who looks after the disk.
    fn size_summary(&self, bytes: u64) {
        self.log(&format!("the base takes {}", gigabytes(bytes)));
    }

    fn run_make(&self, staging: &Staging, arguments: &[&str]) -> Result<(), Failure> {
        let command = self.in_tree(staging, self.make.words(arguments));
        self.checked(self.same_every_time(command))
    }

    /// Makes once with the flags of later builds what Kbuild would make anew in each of them,
    /// because the flags are others: a second of every build.
    fn prepare_for_builds(&self, staging: &Staging) -> Result<(), Failure> {
        let command = self.in_tree(staging, self.make.words(["modules_prepare"]));
        self.checked(self.same_every_time(command).environment("KCFLAGS", COMPILE_FLAGS))
    }

    fn make_output(&self, staging: &Staging, arguments: &[&str]) -> Result<String, Failure> {
        let command = self.in_tree(staging, self.make.words(arguments));
        Ok(self.quietly(self.same_every_time(command))?.text())
    }

    fn same_every_time(&self, command: SandboxCommand) -> SandboxCommand {
        same_every_time(command)
    }

    fn in_tree<S: Into<String>>(
        &self,
        staging: &Staging,
        program: impl IntoIterator<Item = S>,
    ) -> SandboxCommand {
        SandboxCommand::new(&self.input.toolchain.path(), program)
            .writable(&staging.tree(), TREE)
            .writable(&staging.scratch(), WORK)
            .directory(TREE)
    }

    fn checked(&self, command: SandboxCommand) -> Result<(), Failure> {
        self.quietly(command).map(drop)
    }

    fn quietly(&self, command: SandboxCommand) -> Result<Finished, Failure> {
        let class = FailureClass::BaseFailed;
        self.sandbox.run_checked(&command, StepName::Base, self.observer, class)
    }

    fn stage(&self, number: usize) {
        self.observer.event(BuildEvent::Progress {
            step: StepName::Base,
            what: FIRST_STAGES[number].to_owned(),
            done: number as u64,
            total: FIRST_STAGES.len() as u64,
            unit: "items".to_owned(),
        });
    }

    fn log(&self, line: &str) {
        self.observer.event(BuildEvent::Log { step: StepName::Base, line: line.to_owned() });
    }
}

/// What the files `localversion*` at the top of the tree add to a release, as the kernel's
/// `scripts/setlocalversion` joins them.
fn local_version(tree: &Utf8Path) -> String {
    let entries = tree.read_dir_utf8().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_owned())
        .filter(|name| name.starts_with("localversion") && !name.contains('~'))
        .collect();
    names.sort();
    names
        .iter()
        .filter_map(|name| read_untrusted_below(tree, name, 256).ok())
        .flat_map(|text| {
            String::from_utf8_lossy(&text)
                .split_whitespace()
                .collect::<String>()
                .chars()
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod baseline_tests;
#[cfg(test)]
pub(crate) mod fake_kernel;
#[cfg(test)]
mod tests;
