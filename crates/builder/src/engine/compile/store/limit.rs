//! Keeping a base's originals small: one patch to a header may add thousands of objects, and nothing
//! else removes any.

use std::{
    collections::BTreeMap,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Store, names};

/// How much is removed at least once the limit is passed, as a part of it: a store at its limit would
/// else lose a few objects after each build.
const SLACK: u64 = 10;

/// What is kept of one object.
#[derive(Debug, Default)]
struct Kept {
    files: Vec<Utf8PathBuf>,
    bytes: u64,
    /// When a build asked for it last; `None` when it has no record.
    used: Option<SystemTime>,
}

/// Removes the stores of other versions from a base's originals, and from the others the objects that
/// were not asked for the longest, until the rest takes no more than `limit_bytes`. Gives the number
/// of removed objects.
///
/// Nobody else may use the base meanwhile. Builds look an object up, and tools read it by its path
/// until the build ends; what is put there has its record a moment later.
///
/// # Errors
/// When something cannot be looked at or removed.
pub(crate) fn limit_originals(originals: &Utf8Path, limit_bytes: u64) -> io::Result<usize> {
    let names = names();
    let mut kept = BTreeMap::new();
    for entry in entries(originals)? {
        let (name, path) = (entry.file_name(), entry.path());
        if names.iter().any(|ours| ours == name) {
            Store { directory: path.to_owned() }.look(&mut kept)?;
        } else if is_store(name) {
            crate::remove_work_directory(path)?;
        }
    }
    // Files of a build that was killed while it put an object there.
    let (whole, halves): (Vec<Kept>, Vec<Kept>) =
        kept.into_values().partition(|kept| kept.used.is_some());
    for half in &halves {
        half.remove()?;
    }
    let mut bytes: u64 = whole.iter().map(|kept| kept.bytes).sum();
    if bytes <= limit_bytes {
        return Ok(0);
    }
    let mut by_age = whole;
    by_age.sort_by_key(|kept| kept.used);
    let mut removed = 0;
    for kept in &by_age {
        if bytes <= limit_bytes - limit_bytes / SLACK {
            break;
        }
        kept.remove()?;
        bytes -= kept.bytes;
        removed += 1;
    }
    Ok(removed)
}

impl Store {
    /// Adds what the store holds, by the paths of the objects.
    fn look(&self, kept: &mut BTreeMap<Utf8PathBuf, Kept>) -> io::Result<()> {
        let records = self.directory.join("records");
        for (directory, is_record) in [(self.objects(), false), (records, true)] {
            if !directory.exists() {
                continue;
            }
            for entry in walkdir::WalkDir::new(&directory) {
                let entry = entry?;
                let metadata = entry.metadata()?;
                let path = Utf8Path::from_path(entry.path());
                // Our own names are UTF-8.
                let Some(path) = path.filter(|_| !metadata.is_dir()) else { continue };
                let name = path.strip_prefix(&directory).unwrap_or(path).as_str();
                // All else there was to become one.
                let record = name.strip_suffix(".json").filter(|_| is_record);
                let object = record.unwrap_or(name);
                let kept = kept.entry(self.objects().join(object)).or_default();
                kept.files.push(path.to_owned());
                kept.bytes += metadata.blocks() * 512;
                if record.is_some() {
                    kept.used = Some(used(&metadata));
                }
            }
        }
        Ok(())
    }
}

impl Kept {
    fn remove(&self) -> io::Result<()> {
        // The record first: an object without one counts as absent.
        self.files.iter().rev().try_for_each(fs_err::remove_file)
    }
}

/// [`Store::get`] sets it.
fn used(record: &Metadata) -> SystemTime {
    record.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whether it is the name of a store, of whatever version: a short digest.
fn is_store(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn entries(directory: &Utf8Path) -> io::Result<Vec<camino::Utf8DirEntry>> {
    match directory.read_dir_utf8() {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Notes that a build asked for an object.
pub(super) fn note_use(record: &std::fs::File) {
    // Without it the object is removed earlier than it need be, no more. A look at the time of the
    // file costs less than setting it: a build asks several times.
    let now = SystemTime::now();
    let is_noted = record.metadata().is_ok_and(|metadata| {
        now.duration_since(used(&metadata)).is_ok_and(|age| age < Duration::from_secs(60))
    });
    if !is_noted {
        let _ = record.set_modified(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: [u8; 8192] = [7; 8192];

    struct Bench {
        _temporary: tempfile::TempDir,
        originals: Utf8PathBuf,
        store: Store,
    }

    impl Bench {
        fn new() -> Self {
            let temporary = tempfile::tempdir().expect("a directory");
            let originals = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
            let store = Store { directory: originals.join(&names()[0]) };
            Self { _temporary: temporary, originals, store }
        }

        /// Puts an object that was asked for so long ago.
        fn put(&self, object: &str, hours: u64) {
            self.store.put(object, &OBJECT, None).expect("a writable directory");
            let record = fs_err::File::open(self.store.record(object)).expect("own file");
            let used = SystemTime::now() - Duration::from_secs(hours * 3600);
            record.file().set_modified(used).expect("own file");
        }

        fn limit(&self, bytes: u64) -> usize {
            limit_originals(&self.originals, bytes).expect("own directory")
        }

        fn there(&self) -> Vec<&'static str> {
            let objects = ["a.o", "fs/b.o", "fs/c.o", "d.o"];
            objects
                .into_iter()
                .filter(|object| self.store.objects().join(object).exists())
                .collect()
        }
    }

    #[test]
    fn objects_not_asked_for_the_longest_go_when_the_limit_is_passed() {
        let bench = Bench::new();
        for (object, hours) in [("a.o", 1), ("fs/b.o", 4), ("fs/c.o", 3), ("d.o", 2)] {
            bench.put(object, hours);
        }
        assert_eq!(bench.limit(1 << 30), 0);
        assert_eq!(bench.there().len(), 4);
        // Each takes 8 KiB, and 4 KiB for its record.
        assert!(bench.store.get("fs/b.o").is_some(), "asked for again");
        assert_eq!(bench.limit(30_000), 2);
        assert_eq!(bench.there(), ["a.o", "fs/b.o"]);
        assert!(bench.store.get("fs/b.o").is_some());
        assert_eq!(bench.store.get("fs/c.o"), None);
        assert!(!bench.store.record("fs/c.o").exists());
        assert_eq!(bench.limit(0), 2);
        assert_eq!(bench.limit(0), 0);
    }

    #[test]
    fn stores_of_other_versions_and_halves_go_and_all_else_stays() {
        let bench = Bench::new();
        bench.put("a.o", 1);
        bench.put("d.o", 1);
        fs_err::remove_file(bench.store.record("d.o")).expect("own file");
        let half = bench.store.record("d.o").with_file_name(".tmp123456");
        fs_err::write(&half, "{").expect("own file");
        for name in ["0123456789ab/objects", "klp-3-layer/image", "notes"] {
            fs_err::create_dir_all(bench.originals.join(name)).expect("own directory");
        }
        assert_eq!(bench.limit(1 << 30), 0);
        assert_eq!(bench.there(), ["a.o"]);
        assert!(!bench.originals.join("0123456789ab").exists());
        assert!(!half.exists());
        for name in ["klp-3-layer/image", "notes"] {
            assert!(bench.originals.join(name).exists(), "{name}");
        }
        let none = bench.originals.join("no-base/originals");
        assert_eq!(limit_originals(&none, 0).expect("nothing is there"), 0);
    }
}
