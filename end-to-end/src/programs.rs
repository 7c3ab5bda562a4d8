use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The path of one of the two programs.
///
/// # Panics
/// When it is not there: the tests run what was built, they do not build it.
pub fn program(name: &str) -> PathBuf {
    let directory = env::var_os("ELIVEPATCH_TEST_PROGRAMS").map_or_else(beside_test, PathBuf::from);
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} is not there; run `make test`, or `cargo build --bin elivepatch --bin \
         elivepatch-server`, or name the directory in ELIVEPATCH_TEST_PROGRAMS",
        path.display()
    );
    path
}

/// The path of the client as one file that needs no library. `make test` builds it, and names it in
/// `ELIVEPATCH_TEST_STATIC_CLIENT`.
pub fn static_client_path() -> PathBuf {
    env::var_os("ELIVEPATCH_TEST_STATIC_CLIENT").map_or_else(
        || {
            let beside = program("elivepatch");
            let target = beside.parent().and_then(Path::parent).expect("target/PROFILE");
            target.join("x86_64-unknown-linux-gnu/debug/elivepatch")
        },
        PathBuf::from,
    )
}

/// Cargo puts programs into `target/PROFILE` and tests into `target/PROFILE/deps`.
fn beside_test() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own executable");
    test.parent().and_then(Path::parent).expect("cargo runs tests in target/PROFILE/deps").into()
}

/// A command that is killed when the test ends, however it ends: nobody has to look for processes
/// afterwards. It is the thread that counts, so start it in the test's own.
pub(crate) fn bound_to_this_test(path: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(path);
    // Nothing of whoever runs the tests may decide what the programs do.
    for name in ["ELIVEPATCH_URL", "RUST_LOG", "http_proxy", "HTTP_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command
}
