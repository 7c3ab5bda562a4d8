//! Toolchain roots of a user without root's rights: the real program as such a user, in a home that nobody
//! else may enter. The tests are run by root, who becomes that user.

mod small_root;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::{Command, Output},
};

use small_root::{Place, run, stderr, stdout};

/// A user whom no machine has.
const USER: u32 = 65_123;

/// Makes namespaces impossible as `user.max_user_namespaces = 0` does, for the program that it starts only:
/// in a user namespace of its own, by the limit of that one, and without any right in it.
const WITHOUT_NAMESPACES: [&str; 7] = [
    "unshare",
    "--user",
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all \
     --bounding-set=-all \"$0\" \"$@\"",
];

/// A home, and the program where this user can run it; `None` when the tests are not run by root.
struct Home {
    place: Place,
}

impl Home {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let place = Place::new("");
        fs::copy(env!("CARGO_BIN_EXE_elivepatch-server"), place.path("program")).expect("own file");
        fs::create_dir(place.path("tmp")).expect("own directory");
        chown(place.path("tmp"), Some(USER), Some(USER)).expect("as root");
        // As homes are where they are closed to others.
        fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o700))
            .expect("own directory");
        chown(place.path(""), Some(USER), Some(USER)).expect("as root");
        Some(Self { place })
    }

    /// Runs a toolchain command as this user, behind `before`.
    fn toolchain(&self, before: &[&str], arguments: &[&str]) -> Output {
        self.run(before, &[&["toolchain"], arguments].concat())
    }

    fn run(&self, before: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new("setpriv");
        let user = USER.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]).args(before);
        command.arg(self.place.path("program")).args(arguments);
        command.arg("--config").arg(self.place.path("server.toml"));
        command.env_clear().env("HOME", self.place.path("")).env("TMPDIR", self.place.path("tmp"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir("/").output().expect("setpriv of util-linux")
    }

    /// Makes the root, looks at it in all ways, and removes it.
    fn has_a_root(&self) {
        let created = self.toolchain(&[], &["create", "mine"]);
        assert_eq!(stdout(&created), "mine is ready: gcc (Mine) 1.0\n", "{}", stderr(&created));
        let again = self.toolchain(&[], &["create", "mine"]);
        assert_eq!((stdout(&again), stderr(&again).as_str()), (stdout(&created), ""), "made twice");
        let listed: serde_json::Value =
            serde_json::from_str(&stdout(&self.toolchain(&[], &["list", "--json"]))).expect("JSON");
        let mut roots = listed.as_array().expect("a list").iter();
        let mine = roots.find(|root| root["name"] == "mine").expect("listed");
        assert_eq!(mine["state"], "ready");
        assert_eq!(mine["compiler"], "gcc (Mine) 1.0");
        let verified = self.toolchain(&[], &["verify", "mine"]);
        assert_eq!(stdout(&verified), "mine is what it was when it was made\n");
        // All of it is his: nothing is there that he could not remove.
        let mut find = Command::new("find");
        let others = ["!".to_owned(), "-uid".to_owned(), USER.to_string()];
        assert_eq!(run(find.arg(self.place.cache()).args(others)), "");
        let removed = self.toolchain(&[], &["remove", "mine"]);
        assert!(stdout(&removed).starts_with("mine is removed"), "{}", stderr(&removed));
        assert!(!self.place.cache().join("toolchain-roots/mine").exists());
    }
}

#[test]
fn user_without_roots_rights_makes_lists_verifies_and_removes_a_root_from_a_tarball() {
    let Some(home) = Home::new() else { return };
    home.place.tarball_recipe();
    home.has_a_root();
}

#[test]
fn user_without_roots_rights_makes_a_root_from_the_archive_of_an_image() {
    let Some(home) = Home::new() else { return };
    let (layout, archive) = (home.place.path("image"), home.place.path("image.tar"));
    let tagged = format!("{}:latest", layout.display());
    run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    run(Command::new("umoci").args(["new", "--image", &tagged]));
    let mut add = Command::new("umoci");
    run(add.args(["raw", "add-layer", "--image", &tagged]).arg(home.place.tarball()));
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--quiet", &format!("oci:{tagged}")]);
    run(skopeo.arg(format!("oci-archive:{}", archive.display())));
    let mut inspect = Command::new("skopeo");
    inspect.args(["inspect", "--format", "{{.Digest}}"]);
    let digest = run(inspect.arg(format!("oci-archive:{}", archive.display())));
    let digest = digest.trim().trim_start_matches("sha256:").to_owned();
    home.place.recipe(&format!("[oci]\npath = {archive:?}\ndigest = {digest:?}\n"));
    home.has_a_root();
}

#[test]
fn trying_the_sandbox_leaves_nothing_of_a_user_without_roots_rights() {
    let Some(home) = Home::new() else { return };
    let checked = home.run(&[], &["check-config"]);
    let told = stdout(&checked) + &stderr(&checked);
    assert!(told.contains("bubblewrap as the server's own user"), "{told}");
    let left: Vec<_> = fs::read_dir(home.place.path("tmp")).expect("own directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn where_namespaces_are_forbidden_it_is_said_what_forbids_them_before_anything_is_unpacked() {
    let Some(home) = Home::new() else { return };
    home.place.tarball_recipe();
    let refused = home.toolchain(&WITHOUT_NAMESPACES, &["create", "mine"]);
    assert_eq!(refused.status.code(), Some(3));
    let told = stderr(&refused);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[0],
        "error: bubblewrap can make no sandbox to look at the toolchain root mine in (toolchain-failed)"
    );
    assert!(lines[1].starts_with("caused by: bwrap: "), "{told}");
    assert_eq!(
        lines[2],
        "hint: user namespaces are forbidden; as root: sysctl user.max_user_namespaces=10000, and a file in \
         /etc/sysctl.d that keeps it so"
    );
    assert!(home.place.left().is_empty(), "{:?}", home.place.left());
    // The same user makes it where they are allowed.
    home.has_a_root();
}

#[test]
fn user_without_roots_rights_needs_no_ids_and_no_other_programs_for_a_root_from_the_archive() {
    let Some(home) = Home::new() else { return };
    home.place.recipe("suites = [\"sample\"]\npackages = [\"gcc\"]\n");
    let refused = home.toolchain(&["setpriv", "--no-new-privs", "--"], &["create", "mine"]);
    assert_eq!(refused.status.code(), Some(3));
    let told = stderr(&refused);
    // He gets as far as the archive, which has no such suite.
    assert!(told.contains("root mine: the mirror does not answer"), "{told}");
    assert!(home.place.left().is_empty(), "{:?}", home.place.left());
}
