//! What the engine needs once for a base: the objects of the unpatched kernel, compiled with a
//! section for each function, their checksums, and the positions of the target's symbols.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, ElfBuildId, Failure, FailureClass, StepName};
use serde::{Deserialize, Serialize};

use super::{
    COMPILE_FLAGS, KpatchEngine, OBJTOOL,
    digests::{Digests, digests, first_damaged},
    relink::RELINK,
};
use crate::{
    Cache, Observer,
    base::{KeptView, Workspace, same_every_time},
    cache::{CacheLock, StagingDirectory},
    engine::compile::CompileProgress,
    failures::io_failure,
    sandbox::{SandboxCommand, SandboxLimits},
};

/// Changes when originals are made in another way than before: older ones are then not used.
const VERSION: u32 = 3;

/// The name of the kept view with the objects.
const VIEW: &str = "objects";

/// The file that is written last.
const RECORD: &str = "originals.json";

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

/// The record of complete originals.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The build-id of the base's vmlinux.
    build_id: ElfBuildId,
    /// What the files were when they were made.
    digests: Digests,
}

/// The originals of a base, kept from removal while this value lives.
#[derive(Debug)]
pub(super) struct Originals {
    place: Utf8PathBuf,
    view: KeptView,
    _lock: CacheLock,
}

impl Originals {
    /// The originals of the base: those that are there, or made now.
    /// `limits` are those of building a whole kernel.
    pub(super) fn ready(
        input: &KpatchEngine,
        cache: &Cache,
        limits: SandboxLimits,
    ) -> Result<Self, Failure> {
        let kind = KeptView::kind(input.sandbox);
        let directory = input.base.originals();
        fs_err::create_dir_all(&directory).map_err(|error| failed("make", &directory, &error))?;
        let place = directory.join(format!("klp-{VERSION}-{kind}"));
        loop {
            let lock = cache.share(&place, input.observer)?;
            if is_complete(&place, input) {
                let view = KeptView::new(&place, VIEW, input.sandbox);
                return Ok(Self { place, view, _lock: lock });
            }
            drop(lock);
            let _alone = cache.lock(&place, input.observer)?;
            // Someone else may have made them while we waited.
            if !is_complete(&place, input) {
                let sandbox = input.sandbox.with_limits(limits);
                make(
                    &KpatchEngine { sandbox: &sandbox, make: input.make.clone(), ..*input },
                    &place,
                )?;
            }
        }
    }

    /// vmlinux.o with its checksums, and beside it the image whose symbols say the positions.
    pub(super) fn directory(&self) -> Utf8PathBuf {
        self.place.join("image")
    }

    /// The objects, and how they were made.
    pub(super) fn view(&self) -> &KeptView {
        &self.view
    }
}

fn is_complete(place: &Utf8Path, input: &KpatchEngine) -> bool {
    let record = fs_err::read(place.join(RECORD)).ok();
    let record: Option<Record> = record.and_then(|text| serde_json::from_slice(&text).ok());
    let ours = |record: &Record| record.build_id == input.base.facts().build_id;
    let Some(record) = record.filter(ours) else { return false };
    let Some(path) = first_damaged(place, &record.digests, input.make.jobs()) else { return true };
    log(
        input,
        format!("{} changed since it was made: all originals are made anew", place.join(path)),
    );
    false
}

fn log(input: &KpatchEngine, line: String) {
    input.observer.event(BuildEvent::Log { step: StepName::Compile, line });
}

/// Makes the originals at `place`. The caller holds the lock of `place`.
fn make(input: &KpatchEngine, place: &Utf8Path) -> Result<(), Failure> {
    let directory = StagingDirectory::empty(place)?;
    let staging = directory.path().to_owned();
    let maker = Maker { input, staging: &staging };
    maker.check_objtool()?;
    let line = "making the originals of this base, once: this takes about as long as the base did";
    log(input, line.to_owned());
    let image = staging.join("image");
    fs_err::create_dir(&image).map_err(|error| failed("make", &image, &error))?;
    let symbols_of_image = maker.make_image(&image)?;
    let symbols_of_objects = maker.make_objects(&image)?;
    if symbols_of_image != symbols_of_objects {
        return Err(Failure::new(
            FailureClass::BaseFailed,
            "compiled for comparison, this kernel has other symbols of the same name than it has \
             otherwise: livepatches could not name them",
            "use the kpatch engine for this kernel (--engine kpatch), and please report it",
        ));
    }
    let digests = digests(&staging, input.make.jobs())
        .map_err(|error| failed("read what was made in", &staging, &error))?;
    let record = Record { build_id: input.base.facts().build_id.clone(), digests };
    let text = serde_json::to_vec(&record).expect("plain data has a JSON form");
    let path = staging.join(RECORD);
    fs_err::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    if place.exists() {
        // Incomplete, or of a base that was there before: nobody uses it, for we hold its lock.
        fs_err::remove_dir_all(place).map_err(|error| failed("remove", place, &error))?;
    }
    directory.publish(place)
}

struct Maker<'a> {
    input: &'a KpatchEngine<'a>,
    staging: &'a Utf8Path,
}

impl Maker<'_> {
    fn view(&self, name: &str) -> Result<Workspace, Failure> {
        let KpatchEngine { patched, base, sandbox, observer, .. } = *self.input;
        patched.make_to_keep(self.staging, name, base, sandbox, observer)
    }

    fn run(&self, command: &SandboxCommand) -> Result<(), Failure> {
        self.run_watched(command, self.input.observer)
    }

    fn run_watched(
        &self,
        command: &SandboxCommand,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        self.input
            .sandbox
            .run_checked(command, StepName::Compile, observer, FailureClass::BaseFailed)
            .map(drop)
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

    /// Links the plain kernel again, with a table of the symbols that share a name. Gives these
    /// symbols in their order.
    fn make_image(&self, image: &Utf8Path) -> Result<Vec<u8>, Failure> {
        let view = self.view("plain")?;
        let make = &self.input.make;
        let command = view.command(make.words(["KLP_SYMIDS=1", "vmlinux"]));
        self.run(&same_every_time(command))?;
        let take =
            view.command(["sh", "-c", TAKE_IMAGE]).read_only(&self.input.base.tree(), "/base");
        self.run(&take)?;
        self.keep(&view, image, "vmlinux")?;
        let symbols = view.take_output("symbols", OBJECT_BYTES, FailureClass::BaseFailed)?;
        self.remove("plain")?;
        Ok(symbols)
    }

    /// Compiles all objects for comparison. Gives the symbols as [`Maker::make_image`] does.
    fn make_objects(&self, image: &Utf8Path) -> Result<Vec<u8>, Failure> {
        let view = self.view(VIEW)?;
        // All objects of modules as well, and nothing that is made of them.
        let targets = ["KLP_SYMIDS=1", "KBUILD_MODULES=y", "vmlinux_o", "modules.order"];
        let command = view.command(self.input.make.words(targets));
        let objects = self.input.base.sources()?.units().len();
        let progress = CompileProgress::new("original", objects, self.input.observer);
        let command = same_every_time(command).environment("KCFLAGS", COMPILE_FLAGS);
        self.run_watched(&command, &progress)?;
        // As the patched objects are linked.
        self.run(&view.command(["sh", "-c", RELINK, "klp", "vmlinux.o", OBJTOOL]))?;
        self.run(&view.command(["sh", "-c", TAKE_OBJECT]))?;
        self.keep(&view, image, "vmlinux.o")?;
        let symbols = view.take_output("symbols", OBJECT_BYTES, FailureClass::BaseFailed)?;
        // What the tools left beside the view, as large as what was taken of it.
        self.remove_ends(VIEW, &["", ".inputs"])?;
        Ok(symbols)
    }

    /// Moves a file that a tool left in `/scratch` into `image`.
    fn keep(&self, view: &Workspace, image: &Utf8Path, name: &str) -> Result<(), Failure> {
        let content = view.take_output(name, OBJECT_BYTES, FailureClass::BaseFailed)?;
        let path = image.join(name);
        fs_err::write(&path, content).map_err(|error| failed("write", &path, &error))
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        self.remove_ends(name, &["", ".inputs", ".layer", ".tree"])
    }

    fn remove_ends(&self, name: &str, ends: &[&str]) -> Result<(), Failure> {
        for end in ends {
            let path = self.staging.join(format!("{name}{end}"));
            if path.exists() {
                fs_err::remove_dir_all(&path).map_err(|error| failed("remove", &path, &error))?;
            }
        }
        Ok(())
    }
}

/// The largest vmlinux.o or vmlinux, in bytes. Without debug information that of a distribution has
/// some 100 MB.
const OBJECT_BYTES: u64 = 1 << 30;

fn failed(action: &str, path: &Utf8Path, error: &std::io::Error) -> Failure {
    io_failure(FailureClass::BaseFailed, action, path, error)
}
