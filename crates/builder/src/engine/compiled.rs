//! Objects for tests, made by gcc.

use std::process::Command;

/// Compiles a source text; gives the object's bytes.
pub(super) fn compile(source: &str, options: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, object) = (directory.path().join("a.c"), directory.path().join("a.o"));
    fs_err::write(&path, source).expect("own directory");
    let output = Command::new("gcc")
        .current_dir(directory.path())
        .args([
            "-fno-pic",
            "-fno-stack-protector",
            "-fcf-protection=none",
            "-c",
            "a.c",
            "-o",
            "a.o",
        ])
        .args(options)
        .output()
        .expect("gcc is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs_err::read(object).expect("an object")
}
