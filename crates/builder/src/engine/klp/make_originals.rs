//! Making the originals: the whole kernel is linked once more, and compiled once more for comparison.
//! That takes as long as the base did, so it is gone on with after an interruption.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};
use serde::{Deserialize, Serialize};

use super::{
    COMPILE_FLAGS, KpatchEngine, OBJTOOL,
    originals::{VIEW, failed, log},
    relink::RELINK,
};
use crate::{
    base::{Workspace, same_every_time},
    disk_need::{DiskNeed, bytes_below},
    kernel_build::{KernelRun, Staging, Subject, counting_script},
    remove_work_directory,
    sandbox::SandboxCommand,
};

/// The directory with vmlinux.o and the image.
pub(super) const IMAGE: &str = "image";

/// The file with the image's symbols, until they are compared with those of the objects.
const SYMBOLS: &str = "symbols";

/// The name of the view in which the image is linked. It goes before the objects are compiled.
const PLAIN: &str = "plain";

/// What linking the kernel with its debug information takes for each object, in bytes: vmlinux.o,
/// vmlinux and the steps between them. Half of what the base's own build takes for one, rounded up.
const LINKING_BYTES: u64 = 600_000;

/// What an object for comparison takes, in bytes: itself without debug information, which is 10 kB to
/// 90 kB, Kbuild's note on it, and its part of two copies of vmlinux.o.
const COMPARED_BYTES: u64 = 300_000;

/// What is made whatever the config is.
const FIXED_BYTES: u64 = 200_000_000;

/// The largest vmlinux.o or vmlinux, in bytes. Without debug information that of a distribution has
/// some 100 MB.
const OBJECT_BYTES: u64 = 1 << 30;

/// What is built, for people.
const SUBJECT: Subject = Subject {
    step: StepName::Compile,
    compiling: "compiling the originals of this base",
    linking: "linking the originals",
};

/// Ends with 3 when objtool was built without checksums, which it says when it is asked for help.
const HAS_CHECKSUMS: &str = r#"! "$1" klp 2>&1 | grep -q "not implemented" || exit 3"#;

/// Compares what a link of the unpatched kernel gives with what the base's own gave, and keeps its
/// symbols. Addresses decide which of several symbols of one name is meant.
const TAKE_IMAGE: &str = r#"
set -e
cmp System.map /base/System.map
readelf --relocs --wide vmlinux.o | sed -n '/\.rela\.klp\.symid/,/^$/p' | awk '{ print $5 }' > /scratch/symbols
objcopy --strip-debug vmlinux /scratch/vmlinux
"#;

/// The table of symbols with the same name that objtool puts into vmlinux.o numbers them in their
/// order there. The numbers of the two links mean the same symbols when the tables are the same.
const TAKE_OBJECT: &str = r#"
set -e
readelf --relocs --wide vmlinux.o | sed -n '/\.rela\.klp\.symid/,/^$/p' | awk '{ print $5 }' > /scratch/symbols
cp vmlinux.o /scratch/vmlinux.o
"#;

/// How far the originals are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// Nothing is certain.
    #[default]
    Empty,
    /// The image and its symbols are there, and the view for the objects; compilers have begun.
    Linked,
}

/// What is left of making them takes at its height. What the image was linked in is gone before the
/// objects are compiled.
pub(super) fn disk_need(
    input: &KpatchEngine,
    staging: &Staging<Stage>,
) -> Result<DiskNeed, Failure> {
    let objects = input.base.sources()?.units().len() as u64;
    let copy = || if input.sandbox.overlays() { 0 } else { bytes_below(&input.base.tree()) };
    let bytes = match staging.stage() {
        Stage::Empty => objects * LINKING_BYTES + copy(),
        Stage::Linked => objects * COMPARED_BYTES,
    };
    Ok(DiskNeed {
        place: staging.path().to_owned(),
        bytes: FIXED_BYTES + bytes,
        what: format!("making the originals of the base of {}", input.base.facts().release),
    })
}

pub(super) struct Maker<'a> {
    pub input: &'a KpatchEngine<'a>,
    pub staging: &'a mut Staging<Stage>,
}

impl Maker<'_> {
    /// Makes them, or goes on where an earlier attempt was interrupted.
    pub(super) fn make(&mut self) -> Result<(), Failure> {
        self.check_objtool()?;
        let view = if self.staging.stage() < Stage::Linked {
            let line =
                "making the originals of this base, once: this takes about as long as the base did";
            log(self.input, line.to_owned());
            self.make_image()?;
            let view = self.new_view(VIEW)?;
            self.staging.reached(Stage::Linked)?;
            view
        } else {
            let line = "an earlier attempt at the originals of this base was interrupted: going on";
            log(self.input, line.to_owned());
            let KpatchEngine { patched, base, sandbox, .. } = *self.input;
            patched.kept_before(self.staging.path(), VIEW, base, sandbox)?
        };
        let symbols_of_objects = self.make_objects(&view)?;
        let path = self.staging.path().join(SYMBOLS);
        let symbols_of_image =
            fs_err::read(&path).map_err(|error| failed("read", &path, &error))?;
        if symbols_of_image != symbols_of_objects {
            return Err(Failure::new(
                FailureClass::BaseFailed,
                "compiled for comparison, this kernel has other symbols of the same name than it \
                 has otherwise: livepatches could not name them",
                "use the kpatch engine for this kernel (--engine kpatch), and please report it",
            ));
        }
        fs_err::remove_file(&path).map_err(|error| failed("remove", &path, &error))
    }

    fn new_view(&self, name: &str) -> Result<Workspace, Failure> {
        let KpatchEngine { patched, base, sandbox, observer, .. } = *self.input;
        patched.make_to_keep(self.staging.path(), name, base, sandbox, observer)
    }

    fn run(&self, command: &SandboxCommand) -> Result<String, Failure> {
        let KpatchEngine { sandbox, observer, .. } = *self.input;
        let class = FailureClass::BaseFailed;
        Ok(sandbox.run_checked(command, StepName::Compile, observer, class)?.text())
    }

    fn check_objtool(&self) -> Result<(), Failure> {
        let KpatchEngine { patched, sandbox, observer, .. } = *self.input;
        let command = patched.command(["sh", "-c", HAS_CHECKSUMS, "sh", OBJTOOL]);
        if sandbox.run(&command, StepName::Compile, observer)?.succeeded() {
            return Ok(());
        }
        Err(Failure::new(
            FailureClass::BaseFailed,
            "the objtool of this base cannot make livepatches: it was built without checksums",
            "the toolchain root needs libxxhash-dev; delete the base, and it is made anew",
        ))
    }

    /// Links the plain kernel again, with a table of the symbols that share a name. Keeps these
    /// symbols in their order.
    fn make_image(&self) -> Result<(), Failure> {
        self.stage("linking the kernel once more", 0);
        let image = self.image();
        fs_err::create_dir(&image).map_err(|error| failed("make", &image, &error))?;
        let view = self.new_view(PLAIN)?;
        let make = &self.input.make;
        let command = view.command(make.words(["KLP_SYMIDS=1", "vmlinux"]));
        self.run(&same_every_time(command))?;
        let take =
            view.command(["sh", "-c", TAKE_IMAGE]).read_only(&self.input.base.tree(), "/base");
        self.run(&take)?;
        self.keep(&view, "vmlinux", &image.join("vmlinux"))?;
        self.keep(&view, SYMBOLS, &self.staging.path().join(SYMBOLS))?;
        self.remove(PLAIN, &["", ".inputs", ".layer", ".tree"])
    }

    /// Compiles all objects for comparison. Gives the symbols as [`Maker::make_image`] keeps them.
    fn make_objects(&mut self, view: &Workspace) -> Result<Vec<u8>, Failure> {
        // All objects of modules as well, and nothing that is made of them.
        let targets = ["KLP_SYMIDS=1", "KBUILD_MODULES=y", "vmlinux_o", "modules.order"];
        let make = self.input.make.words(targets);
        let with_flags = |command| same_every_time(command).environment("KCFLAGS", COMPILE_FLAGS);
        self.stage("counting objects", 1);
        let counting = with_flags(view.command(["sh", "-c", &counting_script(&make)]));
        let counted = self.run(&counting)?;
        let objects = counted.lines().last().and_then(|line| line.trim().parse().ok());
        let run = KernelRun {
            sandbox: self.input.sandbox,
            staging: self.staging,
            subject: SUBJECT,
            // What cannot be counted has no end that could be told, but is built all the same.
            objects: objects.unwrap_or_default(),
            observer: self.input.observer,
        };
        run.make(&with_flags(view.command(make)))?.map_err(|broken| {
            Failure::new(
                FailureClass::BaseFailed,
                format!("this kernel does not compile for comparison: {}", broken.reason),
                "use the kpatch engine for this kernel (--engine kpatch), and please report it",
            )
            .with_details(broken.details)
        })?;
        // As the patched objects are linked.
        self.run(&view.command(["sh", "-c", RELINK, "klp", "vmlinux.o", OBJTOOL]))?;
        self.run(&view.command(["sh", "-c", TAKE_OBJECT]))?;
        self.keep(view, "vmlinux.o", &self.image().join("vmlinux.o"))?;
        let symbols = view.take_output(SYMBOLS, OBJECT_BYTES, FailureClass::BaseFailed)?;
        // What the tools left beside the view, as large as what was taken of it.
        self.remove(VIEW, &["", ".inputs"])?;
        Ok(symbols)
    }

    fn image(&self) -> Utf8PathBuf {
        self.staging.path().join(IMAGE)
    }

    /// Copies a file that a tool left in `/scratch` to where no tool can change it.
    fn keep(&self, view: &Workspace, name: &str, path: &Utf8Path) -> Result<(), Failure> {
        let content = view.take_output(name, OBJECT_BYTES, FailureClass::BaseFailed)?;
        fs_err::write(path, content).map_err(|error| failed("write", path, &error))
    }

    fn remove(&self, name: &str, ends: &[&str]) -> Result<(), Failure> {
        for end in ends {
            let path = self.staging.path().join(format!("{name}{end}"));
            remove_work_directory(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        Ok(())
    }

    /// Tells what goes on before compilers begin.
    fn stage(&self, what: &str, done: u64) {
        self.input.observer.event(BuildEvent::Progress {
            step: StepName::Compile,
            what: what.to_owned(),
            done,
            total: 2,
            unit: "items".to_owned(),
        });
    }
}
