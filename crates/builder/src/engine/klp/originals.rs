//! What the engine needs once for a base: the objects of the unpatched kernel, compiled with a
//! section for each function, their checksums, and the positions of the target's symbols.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, ElfBuildId, Failure, FailureClass, Sha256Digest, StepName};
use serde::{Deserialize, Serialize};

use super::{
    COMPILE_FLAGS, KpatchEngine,
    digests::{Digests, digests, first_damaged},
    make_originals::{IMAGE, Maker, Stage, disk_need},
};
use crate::{
    Cache, base::KeptView, cache::CacheLock, failures::io_failure, kernel_build::Staging,
    remove_work_directory, sandbox::SandboxLimits,
};

/// Changes when originals are made in another way than before: older ones are then not used.
const VERSION: u32 = 3;

/// The name of the kept view with the objects.
pub(super) const VIEW: &str = "objects";

/// The file that is written last.
const RECORD: &str = "originals.json";

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
        self.place.join(IMAGE)
    }

    /// The objects, and how they were made.
    pub(super) fn view(&self) -> &KeptView {
        &self.view
    }
}

/// Removes what older versions left in a base's originals, each as large as a kernel. Nobody else may
/// use the base meanwhile. What a newer version made stays: it takes as long as the base did.
///
/// # Errors
/// When something cannot be removed.
pub(crate) fn remove_older_originals(directory: &Utf8Path) -> io::Result<()> {
    for entry in directory.read_dir_utf8().into_iter().flatten() {
        let entry = entry?;
        let parts = entry.file_name().strip_prefix("klp-").and_then(|name| name.split_once('-'));
        let version = parts.and_then(|(version, _)| version.parse::<u32>().ok());
        if version.is_none_or(|version| version >= VERSION) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_work_directory(entry.path())?;
        } else {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
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

pub(super) fn log(input: &KpatchEngine, line: String) {
    input.observer.event(BuildEvent::Log { step: StepName::Compile, line });
}

/// Makes the originals at `place`, or goes on with an earlier attempt. The caller holds the lock of
/// `place`.
fn make(input: &KpatchEngine, place: &Utf8Path) -> Result<(), Failure> {
    let built_in = KeptView::made_in(VIEW, input.sandbox);
    let mut staging = Staging::open(place, identity(input), built_in.as_str())?;
    match disk_need(input, &staging)?.fits(|| complete(input, &mut staging)) {
        Ok(()) => staging.publish(place),
        Err(failure) => {
            staging.give_up(&failure);
            Err(failure)
        }
    }
}

/// A digest of what they are made from, and how.
fn identity(input: &KpatchEngine) -> Sha256Digest {
    let build_id = &input.base.facts().build_id;
    Sha256Digest::of(format!("{VERSION}\n{build_id}\n{COMPILE_FLAGS}").as_bytes())
}

fn complete(input: &KpatchEngine, staging: &mut Staging<Stage>) -> Result<(), Failure> {
    Maker { input, staging }.make()?;
    let digests = digests(staging.path(), input.make.jobs())
        .map_err(|error| failed("read what was made in", staging.path(), &error))?;
    let record = Record { build_id: input.base.facts().build_id.clone(), digests };
    let text = serde_json::to_vec(&record).expect("plain data has a JSON form");
    let path = staging.path().join(RECORD);
    fs_err::write(&path, text).map_err(|error| failed("write", &path, &error))
}

pub(super) fn failed(action: &str, path: &Utf8Path, error: &std::io::Error) -> Failure {
    io_failure(FailureClass::BaseFailed, action, path, error)
}

#[cfg(test)]
mod tests;
