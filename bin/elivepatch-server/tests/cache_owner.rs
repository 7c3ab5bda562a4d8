//! Root's commands on the cache of a server of another user: all that they make is his, and they do it with his rights.
//! The tests are run by root.

mod small_root;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Output},
};

use small_root::{Place, run, stderr, stdout};

/// A user whom no machine has.
const USER: u32 = 65_123;

/// A server's place whose cache is that user's, and a directory that root alone may enter; `None` when the tests are not
/// run by root.
fn place_of_another_user() -> Option<Place> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let place = Place::new("");
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).expect("own directory");
    fs::create_dir(place.path("of-root")).expect("own directory");
    fs::set_permissions(place.path("of-root"), fs::Permissions::from_mode(0o700))
        .expect("own directory");
    Some(place)
}

/// Makes a directory for that user.
fn give_him(directory: &Path) {
    fs::create_dir(directory).expect("own directory");
    chown(directory, Some(USER), Some(USER)).expect("as root");
}

/// Runs the program as root does it: from a directory of root's, with a mask of root's.
fn as_root(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_elivepatch-server")]);
    command.args(arguments).arg("--config").arg(place.path("server.toml"));
    command.current_dir(place.path("of-root")).env_remove("RUST_LOG");
    command.output().expect("a shell")
}

/// What in the cache is not his.
fn others_in(cache: &Path) -> String {
    let others = ["!".to_owned(), "-uid".to_owned(), USER.to_string()];
    run(Command::new("find").arg(cache).args(others))
}

#[test]
fn toolchain_roots_that_root_makes_are_the_owners_of_the_cache() {
    let Some(place) = place_of_another_user() else { return };
    place.tarball_recipe();
    give_him(&place.cache());
    let created = as_root(&place, &["toolchain", "create", "mine"]);
    assert_eq!(stdout(&created), "mine is ready: gcc (Mine) 1.0\n", "{}", stderr(&created));
    let expected = format!("going on as the user {USER}, to whom ");
    assert!(stderr(&created).starts_with(&expected), "{}", stderr(&created));
    assert_eq!(others_in(&place.cache()), "");
    for (arguments, expected) in [
        (&["toolchain", "verify", "mine"][..], "mine is what it was when it was made\n"),
        (&["toolchain", "list"][..], "TOOLCHAIN ROOT"),
        (&["gc"][..], " freed, "),
        (&["toolchain", "remove", "mine"][..], "mine is removed"),
    ] {
        let ran = as_root(&place, arguments);
        assert!(stdout(&ran).contains(expected), "{arguments:?}: {}{}", stdout(&ran), stderr(&ran));
        assert_eq!(others_in(&place.cache()), "", "{arguments:?}");
    }
    assert!(place.left().is_empty(), "{:?}", place.left());
}

#[test]
fn what_root_says_of_bases_is_written_down_by_the_owner_of_the_cache() {
    let Some(place) = place_of_another_user() else { return };
    for name in ["", "bases", "bases/6.1-a"] {
        give_him(&place.cache().join(name));
    }
    for command in ["pin", "unpin", "list", "remove"] {
        let arguments = ["base", command, "6.1-a"];
        let count = if command == "list" { 2 } else { 3 };
        let ran = as_root(&place, &arguments[..count]);
        assert!(ran.status.success(), "{command}: {}", stderr(&ran));
        assert_eq!(others_in(&place.cache()), "", "{command}");
    }
    assert!(!place.cache().join("bases/6.1-a").exists());
}

#[test]
fn cache_that_root_makes_belongs_to_the_owner_of_the_data() {
    let Some(place) = place_of_another_user() else { return };
    place.tarball_recipe();
    give_him(&place.path("data"));
    let created = as_root(&place, &["toolchain", "create", "mine"]);
    assert_eq!(stdout(&created), "mine is ready: gcc (Mine) 1.0\n", "{}", stderr(&created));
    assert_eq!(others_in(&place.cache()), "");
    let mode = fs::metadata(place.cache()).expect("made").mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn looking_at_the_config_leaves_nothing_of_roots_in_the_cache() {
    let Some(place) = place_of_another_user() else { return };
    give_him(&place.cache());
    give_him(&place.path("data"));
    let checked = as_root(&place, &["check-config"]);
    let told = stdout(&checked) + &stderr(&checked);
    assert!(told.contains("bubblewrap as the server's own user"), "{told}");
    assert_eq!(others_in(&place.cache()), "");
}

#[test]
fn files_that_only_root_may_read_are_read_before_its_rights_are_gone() {
    let Some(place) = place_of_another_user() else { return };
    give_him(&place.cache());
    let config = place.path("of-root/config");
    fs::write(&config, "no config of a kernel\n").expect("own file");
    let config = config.to_str().expect("UTF-8");
    let ran = as_root(&place, &["base", "warm", "6.1.176-mine", "--kernel-config", config]);
    let told = stderr(&ran);
    assert!(!ran.status.success() && !told.contains("cannot read the config"), "{told}");
    assert!(told.contains("going on as the user"), "{told}");
    assert_eq!(others_in(&place.cache()), "");
}
