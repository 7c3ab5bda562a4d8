//! Which objects of a base were found equal to the kernel's code: an object is compared once for a
//! base.

use camino::Utf8PathBuf;
use elivepatch_model::{Failure, FailureClass, Sha256Digest};
use serde::{Deserialize, Serialize};

use crate::{
    base::{Base, KernelMake},
    failures::io_failure,
    shared_file::{Flush, write_shared},
    unit::Unit,
    untrusted_file::read_untrusted,
};

/// Changes when objects are compared in another way than before: older results are then not used.
const VERSION: u32 = 2;

/// The largest result that is read, in bytes: names of functions.
const RESULT_BYTES: u64 = 16 * 1024 * 1024;

/// What was found of one object: all its functions are those of the kernel, but for weak ones that
/// have no part in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectFit {
    /// The object, by its path in the tree.
    pub object: String,
    /// `vmlinux` or a module's name.
    pub parent: String,
    /// The functions that are equal, sorted.
    pub functions: Vec<String>,
    /// Weak functions that another file's took the place of.
    pub overridden: Vec<String>,
    /// Fields that were compared by where they lead.
    pub fields: u64,
    /// The digest of the bootable image or module that it was compared with.
    pub compared_with: Sha256Digest,
}

/// The results of one base. A file's first line is the digest of the rest.
#[derive(Debug)]
pub(super) struct Results {
    directory: Utf8PathBuf,
}

impl Results {
    pub(super) fn of(base: &Base, make: &KernelMake) -> Self {
        let kind = if make.runs_objtool_for_kpatch() { "single" } else { "plain" };
        Self { directory: base.fit().join(format!("objects-{VERSION}-{kind}")) }
    }

    fn path(&self, unit: &Unit) -> Utf8PathBuf {
        self.directory.join(unit.parent.name()).join(format!("{}.json", unit.object()))
    }

    /// The result for an object; `None` when there is none, when it is damaged, or of another image.
    pub(super) fn get(&self, unit: &Unit, compared_with: Sha256Digest) -> Option<ObjectFit> {
        let content = read_untrusted(&self.path(unit), RESULT_BYTES).ok()?;
        let content = String::from_utf8(content).ok()?;
        let (digest, json) = content.split_once('\n')?;
        let is_whole = Sha256Digest::of(json.as_bytes()).to_string() == digest;
        let fit: ObjectFit = serde_json::from_str(json).ok().filter(|_| is_whole)?;
        let is_of_unit = fit.object == unit.object() && fit.parent == unit.parent.name();
        (is_of_unit && fit.compared_with == compared_with).then_some(fit)
    }

    /// Adds a result. One that is there already stays: to replace a file costs more than to compare an object,
    /// where a file system discards what is freed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, unit: &Unit, fit: &ObjectFit) -> Result<(), Failure> {
        if self.get(unit, fit.compared_with).as_ref() == Some(fit) {
            return Ok(());
        }
        let json = serde_json::to_string(fit).expect("plain data has a JSON form");
        let content = format!("{}\n{json}", Sha256Digest::of(json.as_bytes()));
        let path = self.path(unit);
        write_shared(&path, content.as_bytes(), Flush::Unneeded)
            .map_err(|error| io_failure(FailureClass::Internal, "write", &path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Parent;

    #[test]
    fn result_serves_only_whole_and_for_the_same_image() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        let results = Results { directory };
        let unit = Unit::beside("fs/exec.c", Parent::Vmlinux);
        let image = Sha256Digest::of(b"image");
        assert_eq!(results.get(&unit, image), None);
        let fit = ObjectFit {
            object: "fs/exec.o".to_owned(),
            parent: "vmlinux".to_owned(),
            functions: vec!["open_exec".to_owned()],
            overridden: Vec::new(),
            fields: 3,
            compared_with: image,
        };
        results.put(&unit, &fit).expect("own directory");
        assert_eq!(results.get(&unit, image), Some(fit));
        assert_eq!(results.get(&unit, Sha256Digest::of(b"other")), None);
        let in_module = Unit::beside("fs/exec.c", Parent::Module("exec".to_owned()));
        assert_eq!(results.get(&in_module, image), None);

        let path = results.path(&unit);
        let text = fs_err::read_to_string(&path).expect("own file");
        fs_err::write(&path, text.replace("open_exec", "open_Exec")).expect("own file");
        assert_eq!(results.get(&unit, image), None, "damaged");
    }
}
