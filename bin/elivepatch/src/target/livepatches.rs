//! What `/sys` tells of the livepatches that are loaded.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use elivepatch_model::{
    ElfBuildId, LoadedLivepatch,
    limits::{LOADED_LIVEPATCHES, MODULE_NAME_BYTES},
};

use super::{elf_notes, machine::read_text};

/// The most that is read of a module's notes, in bytes: a build-id's has 36.
const NOTE_BYTES: u64 = 4096;

/// The livepatches below `root`, sorted by name. A kernel without livepatching has none.
///
/// # Errors
/// When they cannot be read, or are more than can be told.
pub fn read(root: &Path) -> io::Result<Vec<LoadedLivepatch>> {
    let directory = root.join("sys/kernel/livepatch");
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| is_name(name)) else {
            return Err(io::Error::other(format!("{name:?} is no module's name")));
        };
        let flag = |file: &str| Ok(read_text(&directory.join(name).join(file))?.trim() == "1");
        let active = match (flag("enabled"), flag("transition")) {
            (Ok(enabled), Ok(in_transition)) => enabled && !in_transition,
            // It went while it was looked at.
            (Err(error), _) | (_, Err(error)) if is_gone(&error) => continue,
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let build_id = build_id(root, name)?;
        found.push(LoadedLivepatch { name: name.to_owned(), build_id, active });
        if found.len() > LOADED_LIVEPATCHES {
            return Err(io::Error::other(format!("they are more than {LOADED_LIVEPATCHES}")));
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn is_name(name: &str) -> bool {
    (1..=MODULE_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn is_gone(error: &io::Error) -> bool {
    // The kernel says ENODEV of an attribute whose object went.
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn build_id(root: &Path, name: &str) -> io::Result<Option<ElfBuildId>> {
    let path = root.join("sys/module").join(name).join("notes/.note.gnu.build-id");
    let mut notes = Vec::new();
    match File::open(path).and_then(|file| file.take(NOTE_BYTES).read_to_end(&mut notes)) {
        Ok(_) => Ok(elf_notes::build_id(&notes)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A livepatch below `root` as the kernel shows it.
    fn load(root: &Path, name: &str, enabled: &str, transition: &str, id: Option<&[u8; 20]>) {
        let directory = root.join("sys/kernel/livepatch").join(name);
        fs::create_dir_all(&directory).expect("own directory");
        fs::write(directory.join("enabled"), enabled).expect("own file");
        fs::write(directory.join("transition"), transition).expect("own file");
        let Some(id) = id else { return };
        let notes = root.join("sys/module").join(name).join("notes");
        fs::create_dir_all(&notes).expect("own directory");
        let mut note = Vec::new();
        for word in [4_u32, 20, 3] {
            note.extend(word.to_ne_bytes());
        }
        note.extend(b"GNU\0");
        note.extend(id);
        fs::write(notes.join(".note.gnu.build-id"), note).expect("own file");
    }

    #[test]
    fn each_is_told_with_its_identity_and_whether_it_acts() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(read(root.path()).expect("nothing there"), []);
        load(root.path(), "kpatch_b", "1\n", "1\n", None);
        load(root.path(), "elivepatch_a", "1\n", "0\n", Some(&[0xab; 20]));
        load(root.path(), "kpatch_c", "0\n", "0\n", None);
        let found = read(root.path()).expect("three");
        let told: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.active)).collect();
        assert_eq!(told, [("elivepatch_a", true), ("kpatch_b", false), ("kpatch_c", false)]);
        let id = found[0].build_id.as_ref().map(ElfBuildId::as_str);
        assert_eq!(id, Some("ab".repeat(20).as_str()));
        assert_eq!(found[1].build_id, None);
    }

    #[test]
    fn what_goes_meanwhile_is_passed_over_and_a_name_that_is_none_is_told() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("sys/kernel/livepatch/gone")).expect("own directory");
        assert_eq!(read(root.path()).expect("nothing there"), []);
        load(root.path(), "a b", "1\n", "0\n", None);
        let error = read(root.path()).expect_err("no name").to_string();
        assert!(error.contains("a b"), "{error}");
    }
}
