//! Reads what is sent beside the config: patches and behaviour checks.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use elivepatch_api::{RunCheck, client::NamedPatch};
use elivepatch_model::{
    BehaviourCheck, FailureClass,
    limits::{BEHAVIOUR_CHECK_BYTES, BEHAVIOUR_CHECKS, PATCH_BYTES, PATCHES, REQUEST_BYTES},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::problem::Problem;

/// Reads the patches in their order.
pub fn read_patches(paths: &[PathBuf]) -> Result<Vec<NamedPatch>, Problem> {
    check_number(paths)?;
    paths.iter().map(|path| read_patch(path, read_at_most(path, PATCH_BYTES))).collect()
}

/// The same for patches that stay here; `-` is standard input.
pub fn read_patches_or_input(paths: &[PathBuf]) -> Result<Vec<NamedPatch>, Problem> {
    check_number(paths)?;
    if paths.iter().filter(|path| is_input(path)).count() > 1 {
        return Err(Problem::usage("standard input (-) is named twice, and can be read once"));
    }
    let read = |path: &Path| match is_input(path) {
        true => read_input(PATCH_BYTES),
        false => read_at_most(path, PATCH_BYTES),
    };
    paths.iter().map(|path| read_patch(path, read(path))).collect()
}

fn check_number(paths: &[PathBuf]) -> Result<(), Problem> {
    if paths.len() > PATCHES {
        return Err(Problem::input(format!(
            "{} patches are given, and a livepatch holds at most {PATCHES}",
            paths.len()
        )));
    }
    Ok(())
}

fn is_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read_patch(path: &Path, content: io::Result<Vec<u8>>) -> Result<NamedPatch, Problem> {
    let shown = path.display();
    let content = content.map_err(|error| {
        Problem::input(format!("cannot read the patch {shown}"))
            .caused_by(&error)
            .hint("give a unified diff, as git format-patch or diff -u write it")
    })?;
    if content.len() as u64 > PATCH_BYTES {
        let class = FailureClass::PatchTooLarge;
        return Err(Problem::input(format!(
            "the patch {shown} has more than {PATCH_BYTES} bytes ({class})"
        ))
        .hint("give one fix, not a whole kernel update"));
    }
    if content.trim_ascii().is_empty() {
        let class = FailureClass::PatchEmpty;
        return Err(Problem::input(format!("the patch {shown} is empty ({class})"))
            .hint("look at how it was made: git format-patch -1 COMMIT writes one for a commit"));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(NamedPatch { name, content: content.into() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChecksFile<T> {
    #[serde(default = "Vec::new")]
    check: Vec<T>,
}

/// Reads behaviour checks from a TOML file of `[[check]]` tables.
pub fn read_checks(path: &Path) -> Result<Vec<BehaviourCheck>, Problem> {
    read_checks_of(path, BehaviourCheck::clone)
}

/// The same for a CVE run: a check may name the CVE that it is about.
pub fn read_run_checks(path: &Path) -> Result<Vec<RunCheck>, Problem> {
    read_checks_of(path, RunCheck::check)
}

fn read_checks_of<T: DeserializeOwned>(
    path: &Path,
    as_made: impl Fn(&T) -> BehaviourCheck,
) -> Result<Vec<T>, Problem> {
    let shown = path.display();
    let hint = "a check is written so: [[check]] command = \"…\" before = \"…\" after = \"…\", \
                each on a line of its own";
    let problem = |error: &dyn std::error::Error| {
        Problem::input(format!("cannot read the checks {shown}")).caused_by(error).hint(hint)
    };
    let bytes = read_at_most(path, REQUEST_BYTES).map_err(|error| problem(&error))?;
    if bytes.len() as u64 > REQUEST_BYTES {
        let message = format!("the checks {shown} have more than {REQUEST_BYTES} bytes");
        return Err(Problem::input(message).hint("keep commands and expected texts short"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| problem(&error))?;
    let file: ChecksFile<T> = toml::from_str(text).map_err(|error| problem(&error))?;
    if file.check.is_empty() {
        return Err(Problem::input(format!("there is no check in {shown}")).hint(hint));
    }
    if file.check.len() > BEHAVIOUR_CHECKS {
        let count = file.check.len();
        let message = format!("{shown} has {count} checks, and at most {BEHAVIOUR_CHECKS} are run");
        return Err(Problem::input(message).hint("join commands: COMMAND; COMMAND"));
    }
    for (index, check) in file.check.iter().map(as_made).enumerate() {
        let number = index + 1;
        if check.command.trim().is_empty() {
            return Err(Problem::input(format!("check {number} in {shown} has no command")));
        }
        for (key, text) in
            [("command", &check.command), ("before", &check.before), ("after", &check.after)]
        {
            if text.len() > BEHAVIOUR_CHECK_BYTES {
                return Err(Problem::input(format!(
                    "{key} of check {number} in {shown} has more than {BEHAVIOUR_CHECK_BYTES} bytes"
                )));
            }
        }
    }
    Ok(file.check)
}

/// Reads one byte more than the limit at most, so that the caller can tell.
pub fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_input(limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(text: &str) -> Result<Vec<BehaviourCheck>, Problem> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("checks.toml");
        std::fs::write(&path, text).expect("a file");
        read_checks(&path)
    }

    const CHECK: &str = "[[check]]\ncommand = 'cat /proc/meminfo'\nbefore = 'a'\nafter = 'b'\n";

    #[test]
    fn checks_are_read_in_their_order() {
        let two = format!("{CHECK}{}", CHECK.replace("meminfo", "stat"));
        let checks = checks(&two).expect("checks");
        assert_eq!(checks.len(), 2);
        assert_eq!(checks[1].command, "cat /proc/stat");
    }

    #[test]
    fn faulty_checks_are_refused_with_the_reason() {
        let long = CHECK.replace("'a'", &format!("'{}'", "a".repeat(5000)));
        for (text, part) in [
            (CHECK.replace("after", "afterwards"), "afterwards"),
            (CHECK.replace("'cat /proc/meminfo'", "' '"), "check 1 in"),
            (CHECK.repeat(17), "17 checks"),
            (String::new(), "no check"),
            (long, "before of check 1"),
        ] {
            let problem = format!("{:?}", checks(&text).expect_err(part));
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn checks_of_a_cve_run_may_name_a_cve_and_others_may_not() {
        let of_cve = format!("{CHECK}cve = 'CVE-2026-1001'\n");
        let problem = format!("{:?}", checks(&of_cve).expect_err("a build is about no CVE"));
        assert!(problem.contains("unknown field `cve`"), "{problem}");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("checks.toml");
        std::fs::write(&path, format!("{of_cve}{CHECK}")).expect("a file");
        let checks = read_run_checks(&path).expect("checks");
        let cves: Vec<_> =
            checks.iter().map(|check| check.cve.map(|cve| cve.to_string())).collect();
        assert_eq!(cves, [Some("CVE-2026-1001".to_owned()), None]);
        std::fs::write(&path, of_cve.replace("CVE-2026-1001", "1001")).expect("a file");
        let problem = format!("{:?}", read_run_checks(&path).expect_err("no CVE"));
        assert!(problem.contains("1001"), "{problem}");
    }

    #[test]
    fn patches_are_bounded_and_keep_only_their_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("fix.patch");
        for (content, part) in [
            (b" \n".to_vec(), Some("patch-empty")),
            (vec![b'x'; PATCH_BYTES as usize + 1], Some("patch-too-large")),
            (vec![b'x'; PATCH_BYTES as usize], None),
        ] {
            std::fs::write(&path, &content).expect("a file");
            match (read_patches(std::slice::from_ref(&path)), part) {
                (Err(problem), Some(part)) => {
                    assert!(format!("{problem:?}").contains(part), "{problem:?}");
                }
                (Ok(patches), None) => assert_eq!(patches[0].name, "fix.patch"),
                (outcome, part) => panic!("{part:?}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn more_patches_than_a_livepatch_holds_are_refused_before_one_is_read() {
        let paths = vec![PathBuf::from("nothing.patch"); PATCHES + 1];
        for read in [read_patches, read_patches_or_input] {
            let problem = read(&paths).expect_err("too many");
            assert!(format!("{problem:?}").contains("holds at most 64"), "{problem:?}");
        }
    }
}
