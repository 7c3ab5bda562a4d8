//! Fixes out of a real clone, also one whose settings are hostile.

use std::{fs, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_fixes::{CommitHash, FixSource, FixSourceError, FixSourceOptions};

struct Clone {
    directory: tempfile::TempDir,
}

impl Clone {
    fn new() -> Self {
        let clone = Self { directory: tempfile::tempdir().expect("a directory") };
        fs::create_dir(clone.path()).expect("own directory");
        clone.git(&["init", "--quiet", "--initial-branch=master"]);
        clone.commit("mm/mmap.c", "int one;\n");
        clone
    }

    fn path(&self) -> Utf8PathBuf {
        let path = Utf8Path::from_path(self.directory.path()).expect("UTF-8");
        path.join("linux")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    fn commit(&self, file: &str, text: &str) -> CommitHash {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs::write(path, text).expect("own file");
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "mm: fix it"]);
        self.head()
    }

    fn head(&self) -> CommitHash {
        self.git(&["rev-parse", "HEAD"]).parse().expect("a commit")
    }

    async fn fix(&self, commit: &CommitHash) -> Result<String, FixSourceError> {
        fix(self.path(), commit).await
    }
}

async fn fix(path: Utf8PathBuf, commit: &CommitHash) -> Result<String, FixSourceError> {
    let source = FixSource::new(&FixSourceOptions::Git { path });
    assert!(source.is_local());
    let bytes = source.fix(commit).await.expect("a clone has commits")?;
    Ok(String::from_utf8(bytes).expect("UTF-8"))
}

#[tokio::test]
async fn commit_is_given_as_a_patch_also_by_a_bare_clone() {
    let clone = Clone::new();
    let commit = clone.commit("mm/mmap.c", "int two;\n");
    let patch = clone.fix(&commit).await.expect("a patch");
    assert!(patch.starts_with(&format!("From {commit} Mon Sep 17 00:00:00 2001\n")), "{patch}");
    assert!(patch.contains("\n-int one;\n+int two;\n"), "{patch}");
    clone.git(&["clone", "--quiet", "--bare", ".", "../bare"]);
    let bare = clone.path().with_file_name("bare");
    assert_eq!(fix(bare, &commit).await.expect("a patch"), patch);
}

#[tokio::test]
async fn what_has_no_patch_of_its_own_is_told_apart() {
    let clone = Clone::new();
    let absent: CommitHash = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3".parse().expect("a commit");
    // Not even a branch of that name is taken for it.
    clone.git(&["update-ref", &format!("refs/heads/{absent}"), "HEAD"]);
    let error = clone.fix(&absent).await.expect_err("it is not there");
    assert!(matches!(error, FixSourceError::Absent), "{error}");

    clone.git(&["checkout", "--quiet", "-b", "side"]);
    clone.commit("fs/file.c", "int side;\n");
    clone.git(&["checkout", "--quiet", "master"]);
    clone.commit("mm/mmap.c", "int two;\n");
    clone.git(&["merge", "--quiet", "--no-edit", "side"]);
    let error = clone.fix(&clone.head()).await.expect_err("a merge");
    assert!(matches!(error, FixSourceError::Merge), "{error}");

    clone.git(&["commit", "--quiet", "--allow-empty", "--message", "nothing"]);
    let error = clone.fix(&clone.head()).await.expect_err("nothing");
    assert!(matches!(error, FixSourceError::NoChange), "{error}");

    let tree = clone.git(&["rev-parse", "HEAD^{tree}"]).parse().expect("a hash");
    let error = clone.fix(&tree).await.expect_err("no commit").to_string();
    assert!(error.contains("is not a commit"), "{error}");

    let large = clone.commit("mm/large.c", &"int large;\n".repeat(200_000));
    let error = clone.fix(&large).await.expect_err("too large");
    assert!(matches!(error, FixSourceError::TooLarge { .. }), "{error}");

    let none = fix(clone.path().join("mm"), &large).await.expect_err("no clone");
    assert!(matches!(none, FixSourceError::NotAClone(_)), "{none}");
}

#[tokio::test]
async fn settings_hooks_and_attributes_of_the_clone_do_nothing() {
    let clone = Clone::new();
    let commit = clone.commit("mm/mmap.c", "int two;\n");
    let patch = clone.fix(&commit).await.expect("a patch");
    let other = clone.commit("mm/mmap.c", "int three;\n");
    let mark = clone.directory.path().join("it-ran");
    let run = format!("touch {}", mark.display());
    fs::write(clone.path().join(".gitattributes"), "*.c diff=evil filter=evil\n").expect("own");
    fs::write(clone.path().join(".git/info/attributes"), "*.c diff=evil\n").expect("own file");
    for (key, value) in [
        ("diff.external", run.as_str()),
        ("diff.evil.textconv", &run),
        ("diff.evil.command", &run),
        ("core.fsmonitor", &run),
        ("core.pager", &run),
        ("pager.format-patch", "true"),
        ("alias.format-patch", &format!("!{run}")),
        ("alias.cat-file", &format!("!{run}")),
        ("diff.noprefix", "true"),
        ("format.noprefix", "true"),
        ("format.attach", "true"),
        ("format.coverLetter", "true"),
        ("format.outputDirectory", "/tmp/elivepatch-none"),
        ("diff.orderFile", "/etc/passwd"),
        ("core.repositoryFormatVersion", "99"),
    ] {
        clone.git(&["config", key, value]);
    }
    // A clone that lacks objects may be set to fetch them by running a program.
    let config = clone.path().join(".git/config");
    let text = fs::read_to_string(&config).expect("own file");
    let promisor = format!(
        "{text}[remote \"origin\"]\n\tpromisor = true\n\turl = \"ext::{run}\"\n\tuploadpack = \"{run}\"\n\
         [extensions]\n\tpartialClone = origin\n[protocol]\n\tallow = always\n"
    );
    fs::write(&config, promisor).expect("own file");
    // What git calls a replacement of an object, put there by hand: git itself would not start here any more.
    let replace = clone.path().join(".git/refs/replace");
    fs::create_dir_all(&replace).expect("own directory");
    fs::write(replace.join(commit.as_str()), format!("{other}\n")).expect("own file");

    assert_eq!(clone.fix(&commit).await.expect("a patch"), patch);
    let absent = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3".parse().expect("a commit");
    let error = clone.fix(&absent).await.expect_err("it is not there");
    assert!(matches!(error, FixSourceError::Absent), "{error}");
    assert!(!mark.exists(), "something of the clone ran");
}

#[tokio::test]
async fn clone_without_the_parent_or_with_damaged_objects_is_an_error_and_no_whole_tree() {
    let clone = Clone::new();
    let commit = clone.commit("mm/mmap.c", "int two;\n");
    let url = format!("file://{}", clone.path());
    clone.git(&["clone", "--quiet", "--bare", "--depth=1", &url, "../shallow"]);
    let shallow = clone.path().with_file_name("shallow");
    let error = fix(shallow, &commit).await.expect_err("its parent is missing");
    assert!(matches!(error, FixSourceError::Git(_)), "{error}");

    let object = clone.path().join(".git/objects").join(&commit.as_str()[..2]);
    let object = object.join(&commit.as_str()[2..]);
    fs::remove_file(&object).expect("own file");
    fs::write(&object, "garbage").expect("own file");
    clone.fix(&commit).await.expect_err("it is damaged");
}
