use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use crate::{destination::Destination, problem::Problem};

/// How far into a file its mark is looked for, in bytes.
const MARK_WITHIN_BYTES: u64 = 4096;

/// A report that is written to a file: whole or not at all, and over nothing but an earlier one.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    destination: Destination,
}

impl ReportFile {
    /// Looks whether a report may be written to `path`: where nothing is, where a file has `mark` near its
    /// beginning, as elivepatch writes it, or by force over another file.
    pub fn open(path: &Path, mark: &str, force: bool) -> Result<Self, Problem> {
        let shown = path.display();
        // Behind a symbolic link is the file that is meant.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => {
                return Err(Problem::input(format!("{shown} is there, and is no file"))
                    .hint("give the name of a file for the report"));
            }
            Ok(_) if !force && !has_mark(&path, mark)? => {
                return Err(Problem::input(format!(
                    "{shown} is there already, and is no report of elivepatch"
                ))
                .hint("give another name for the report, or replace the file with --force"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Problem::input(format!("cannot look at {shown}")).caused_by(&error));
            }
        }
        let destination = Destination::open(Some(&path), true).map_err(other_place)?;
        Ok(Self { path, destination })
    }

    /// Writes the report.
    pub fn write(&self, text: &str) -> Result<(), Problem> {
        let file = self.destination.text_file(text.as_bytes(), &self.path);
        file.and_then(|file| self.destination.put(file, &self.path)).map_err(other_place)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn other_place(problem: Problem) -> Problem {
    problem.hint("choose another place for the report")
}

fn has_mark(path: &Path, mark: &str) -> Result<bool, Problem> {
    let mut begin = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MARK_WITHIN_BYTES).read_to_end(&mut begin))
        .map_err(|error| {
            Problem::input(format!("cannot read {}", path.display())).caused_by(&error)
        })?;
    Ok(begin.windows(mark.len()).any(|window| window == mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_own_report_is_replaced_without_force() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.html");
        let write = |text: &str, force| {
            ReportFile::open(&path, "made by elivepatch", force).and_then(|file| file.write(text))
        };
        write("one, made by elivepatch", false).expect("nothing is there");
        write("two, made by elivepatch", false).expect("an own one is there");
        assert_eq!(fs::read_to_string(&path).expect("text"), "two, made by elivepatch");
        fs::write(&path, "my letters").expect("written");
        let refused = format!("{:?}", write("three", false).expect_err("a foreign one"));
        assert!(refused.contains("no report of elivepatch"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("text"), "my letters");
        write("four", true).expect("forced");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        ReportFile::open(directory.path(), "m", true).expect_err("a directory");
        ReportFile::open(Path::new("/dev/null"), "m", true).expect_err("a device");
        ReportFile::open(&directory.path().join("no/such"), "m", true).expect_err("no directory");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        ReportFile::open(&link, "m", true).and_then(|f| f.write("five")).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("text"), "five");
        assert!(link.is_symlink());
    }
}
