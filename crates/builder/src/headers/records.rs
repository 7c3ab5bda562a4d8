//! Which compiled files of a built base include a header, as Kbuild wrote it down.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use super::missed::last_name;
use crate::{
    base::SourceIndex,
    kbuild_record::{Compiled, RECORD_BYTES, record_path},
    unit::Unit,
    untrusted_file::read_untrusted_below,
};

/// For each of the `headers` the compiled files that were compiled with it: exact, for the compiler
/// listed what it read when the base was built.
///
/// # Errors
/// `base-failed` when a record is missing or cannot be read: a file that includes the header might be
/// missed.
pub(crate) fn units_by_records(
    headers: &BTreeSet<&str>,
    tree: &Utf8Path,
    sources: &SourceIndex,
) -> Result<BTreeMap<String, BTreeSet<Unit>>, Failure> {
    let mut found: BTreeMap<String, BTreeSet<Unit>> = BTreeMap::new();
    for unit in sources.units() {
        let path = record_path(&unit.object());
        let failed = |reason: String| {
            Failure::new(
                FailureClass::BaseFailed,
                format!("Kbuild's record {path} of what {} includes {reason}", unit.source),
                "delete the base's directory in the cache: the next build makes it anew",
            )
        };
        let record = read_untrusted_below(tree, &path, RECORD_BYTES)
            .map_err(|error| failed(format!("cannot be read: {error}")))?;
        let record = String::from_utf8_lossy(&record);
        // Most records name none of them: parsing those would take most of the time.
        if !headers.iter().any(|header| record.contains(last_name(header))) {
            continue;
        }
        let compiled =
            Compiled::parse(&record).ok_or_else(|| failed("names no source".to_owned()))?;
        for header in headers.iter().filter(|header| compiled.files.contains(**header)) {
            found.entry((*header).to_owned()).or_default().insert(unit.clone());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::unit::Parent;

    fn tree(records: &[(&str, &[&str])]) -> (tempfile::TempDir, Utf8PathBuf, SourceIndex) {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        let mut index = SourceIndex::default();
        for (source, includes) in records {
            let unit = Unit::beside(source, Parent::Vmlinux);
            let object = unit.object();
            let path = tree.join(record_path(&object));
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("own directory");
            let list: String = includes.iter().map(|name| format!("  {name} \\\n")).collect();
            let text = format!("source_{object} := {source}\n\ndeps_{object} := \\\n{list}\n");
            fs_err::write(&path, text).expect("own file");
            index.add((*source).to_owned(), unit);
        }
        (temporary, tree, index)
    }

    #[test]
    fn header_reaches_what_was_compiled_with_it_and_nothing_else() {
        let (_temporary, tree, index) = tree(&[
            ("fs/a.c", &["fs/../block/blk.h"]),
            ("fs/b.c", &["fs/blk.h"]),
            ("block/c.c", &["block/blk.h", "include/linux/fs.h"]),
            ("lib/d.S", &["include/linux/fs.h"]),
        ]);
        let headers = BTreeSet::from(["block/blk.h", "include/linux/fs.h", "include/unused.h"]);
        let found = units_by_records(&headers, &tree, &index).expect("records are there");
        let sources = |header: &str| -> Vec<&str> {
            found.get(header).into_iter().flatten().map(|unit| unit.source.as_str()).collect()
        };
        assert_eq!(sources("block/blk.h"), ["block/c.c", "fs/a.c"]);
        assert_eq!(sources("include/linux/fs.h"), ["block/c.c", "lib/d.S"]);
        assert!(sources("include/unused.h").is_empty());
    }

    #[test]
    fn missing_record_is_an_error_and_no_missed_object() {
        let (_temporary, tree, index) = tree(&[("fs/a.c", &["fs/x.h"])]);
        fs_err::remove_file(tree.join("fs/.a.o.cmd")).expect("own file");
        let failure = units_by_records(&BTreeSet::from(["fs/x.h"]), &tree, &index);
        let failure = failure.expect_err("nothing is known of fs/a.c");
        assert_eq!(failure.class, FailureClass::BaseFailed);
        assert!(failure.message.contains("fs/.a.o.cmd"), "{}", failure.message);
    }
}
