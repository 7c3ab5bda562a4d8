//! Getting the tree of a commit out of a repository, and making sure that it is that.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    io::{self, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, GitRecord, StepName};

use super::{
    damaged, git_command,
    object::{ObjectHasher, copy_batch_content, is_id, read_batch_head},
    unreadable,
};
use crate::{
    base::WORK,
    failures::io_failure,
    source::{
        Unpacking,
        baseline::temporary_file,
        directory,
        rules::{fault_of_link, fault_of_path},
        unpack::UNPACKED_BYTES,
        walk::{ENTRIES, refuse},
    },
    untrusted_file::{open_untrusted, read_untrusted},
};

/// The longest list of a tree's entries, in bytes: that of Linux 7.3 has 9 MB.
const LIST_BYTES: u64 = 256 << 20;

/// The longest target of a symbolic link, in bytes: `PATH_MAX`.
const LINK_BYTES: u64 = 4096;

/// An entry of a tree.
struct Entry {
    mode: String,
    id: String,
    path: String,
}

/// Writes the tree of a commit into the empty directory of `unpacking`. Each of its objects is hashed
/// on the way, so that what is there is what the commit means, whatever the repository is.
///
/// # Errors
/// `source-unusable` when objects are missing or wrong, or something is in the tree that must not be in
/// a kernel's source; those of the sandbox.
pub(in crate::source) fn export(
    repository: &Utf8Path,
    record: &GitRecord,
    unpacking: &Unpacking,
) -> Result<(), Failure> {
    let script =
        format!("exec \"$@\" ls-tree -r -t -z --full-tree {} > {WORK}/entries", record.tree);
    if !is_id(&record.tree) {
        return Err(damaged(repository, "its commit names no tree"));
    }
    run(repository, &script, None, unpacking)?;
    let list = unpacking.scratch.join("entries");
    let text = read_untrusted(&list, LIST_BYTES)
        .map_err(|error| damaged(repository, &format!("the list of its files: {error}")))?;
    let entries = read_entries(repository, &text)?;
    check_trees(repository, &entries, &record.tree)?;
    let files: Vec<&Entry> = entries.iter().filter(|entry| entry.is_blob()).collect();
    let names: String = files.iter().map(|entry| format!("{}\n", entry.id)).collect();
    // `head` ends what does not end.
    let script = format!(
        "{{ \"$@\" cat-file --batch --buffer < /inputs/names || echo $? > {WORK}/failed; }} | \
         head --bytes={UNPACKED_BYTES} > {WORK}/blobs"
    );
    run(repository, &script, Some(&names), unpacking)?;
    write_tree(repository, &entries, unpacking)?;
    for name in ["entries", "blobs"] {
        let file = unpacking.scratch.join(name);
        fs_err::remove_file(&file)
            .map_err(|error| io_failure(FailureClass::SourceUnusable, "remove", &file, &error))?;
    }
    directory::check(unpacking.tree)
}

fn run(
    repository: &Utf8Path,
    script: &str,
    names: Option<&str>,
    unpacking: &Unpacking,
) -> Result<(), Failure> {
    let command = git_command(repository, script)?.writable(unpacking.scratch, WORK);
    let names =
        names.map(|names| temporary_file(names.as_bytes(), unpacking.sandbox)).transpose()?;
    let command = match names.as_ref().and_then(|file| Utf8Path::from_path(file.path())) {
        Some(path) => command.read_only(path, "/inputs/names"),
        None => command,
    };
    let finished = unpacking.sandbox.run(&command, StepName::Base, unpacking.observer)?;
    let failed = unpacking.scratch.join("failed").symlink_metadata().is_ok();
    if finished.succeeded() && !failed { Ok(()) } else { Err(unreadable(repository, &finished)) }
}

impl Entry {
    fn is_tree(&self) -> bool {
        self.mode == "040000"
    }

    /// A file or a symbolic link; a submodule is neither, and is left out.
    fn is_blob(&self) -> bool {
        self.mode.starts_with("10") || self.mode == "120000"
    }

    fn parent(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

fn read_entries(repository: &Utf8Path, text: &[u8]) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for line in text.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let shown = String::from_utf8_lossy(line).into_owned();
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(refuse(repository, &shown, "has a name that is not UTF-8"));
        };
        let (head, path) = line.split_once('\t').unwrap_or((line, ""));
        let words: Vec<&str> = head.split(' ').collect();
        let (mode, id) = match words.as_slice() {
            [mode, "tree" | "blob" | "commit", id] if is_id(id) => (*mode, *id),
            _ => return Err(damaged(repository, "the list of its files cannot be read")),
        };
        if let Some(fault) = fault_of_path(path) {
            return Err(refuse(repository, path, fault));
        }
        if path.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
            return Err(refuse(repository, path, "has the name of git's own directory"));
        }
        if entries.len() >= ENTRIES {
            return Err(refuse(repository, path, "is one entry too many for a kernel tree"));
        }
        let [mode, id, path] = [mode, id, path].map(str::to_owned);
        entries.push(Entry { mode, id, path });
    }
    Ok(entries)
}

/// Makes the names of all trees anew, from what the list says is in them: the list is then complete and
/// right.
fn check_trees(repository: &Utf8Path, entries: &[Entry], root: &str) -> Result<(), Failure> {
    let mut trees: BTreeMap<&str, (&str, Vec<u8>)> = BTreeMap::new();
    trees.insert("", (root, Vec::new()));
    for entry in entries {
        if entry.is_tree() && trees.insert(&entry.path, (&entry.id, Vec::new())).is_some() {
            return Err(refuse(repository, &entry.path, "is there twice"));
        }
        let Some((_, content)) = trees.get_mut(entry.parent()) else {
            return Err(refuse(repository, &entry.path, "is in no directory"));
        };
        let mode = entry.mode.trim_start_matches('0');
        content.extend_from_slice(format!("{mode} {}\0", entry.name()).as_bytes());
        content.extend(hex::decode(&entry.id).unwrap_or_default());
    }
    for (path, (id, content)) in trees {
        let mut hasher = ObjectHasher::new("tree", content.len() as u64, id);
        hasher.update(&content);
        if hasher.finish() != id {
            let what = format!("what it has in /{path} is not what the commit means");
            return Err(damaged(repository, &what));
        }
    }
    Ok(())
}

fn write_tree(
    repository: &Utf8Path,
    entries: &[Entry],
    unpacking: &Unpacking,
) -> Result<(), Failure> {
    let blobs = unpacking.scratch.join("blobs");
    let blobs = open_untrusted(&blobs)
        .map_err(|error| io_failure(FailureClass::SourceUnusable, "read", &blobs, &error))?;
    let mut reader = BufReader::with_capacity(1 << 20, blobs);
    for entry in entries {
        let place = unpacking.tree.join(&entry.path);
        let failed =
            |error: io::Error| io_failure(FailureClass::SourceUnusable, "write", &place, &error);
        if entry.is_tree() {
            fs_err::create_dir(&place).map_err(failed)?;
            unpacking.sandbox.hand_over(&place).map_err(failed)?;
            continue;
        }
        if !entry.is_blob() {
            continue;
        }
        let missing = || damaged(repository, &format!("{} of {} is missing", entry.id, entry.path));
        let head = read_batch_head(&mut reader)
            .map_err(|error| damaged(repository, &format!("{} {error}", entry.path)))?;
        let (id, kind, size) = head.ok_or_else(missing)?;
        let is_link = entry.mode == "120000";
        if id != entry.id || kind != "blob" || (is_link && size > LINK_BYTES) {
            return Err(damaged(repository, &format!("{} is not what it should be", entry.path)));
        }
        let found = if is_link {
            let mut target = Vec::new();
            let found = copy_batch_content(&mut reader, &mut target, "blob", size, &id);
            let target = String::from_utf8(target).unwrap_or_default();
            if let Some(fault) = fault_of_link(&entry.path, &target) {
                return Err(refuse(repository, &entry.path, fault));
            }
            symlink(&target, &place).map_err(failed)?;
            found
        } else {
            let mut file = fs_err::File::create_new(&place).map_err(failed)?;
            let found = copy_batch_content(&mut reader, &mut file, "blob", size, &id);
            let mode = if entry.mode == "100755" { 0o755 } else { 0o644 };
            fs_err::set_permissions(&place, Permissions::from_mode(mode)).map_err(failed)?;
            unpacking.sandbox.hand_over(&place).map_err(failed)?;
            found
        };
        let found = found.map_err(failed)?;
        if found != entry.id {
            let what = format!("{} holds something else than {}", entry.path, entry.id);
            return Err(damaged(repository, &what));
        }
    }
    Ok(())
}
