//! Toolchain roots that are made in other ways than a server of root's does from Debian's archive: of a
//! tarball and an OCI image of a root with the stock kernel's compiler, each made with the field's own
//! tools, and by a user without root's rights. That takes minutes, so these tests are for `make test-full`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use elivepatch_end_to_end::{OwnCache, ServerOptions, TestServer, cache_directory, patch, program};

/// The root that the others are made of; it is there when the base is.
const SHIPPED: &str = "debian-12-gcc-12";

/// A cache with packages and no roots or bases, and a directory of recipes.
struct Place {
    cache: OwnCache,
    recipes: PathBuf,
}

impl Place {
    fn new() -> Self {
        let cache = OwnCache::sharing(&["apt", "packages"]);
        let recipes = cache.path().join("recipes");
        fs::create_dir(&recipes).expect("own directory");
        Self { cache, recipes }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cache.path().join(name)
    }

    /// The config of a server that has the recipe.
    fn config(&self) -> String {
        format!("toolchain_recipes = {:?}\n", self.recipes)
    }

    /// Makes the root of a recipe with these lines, looks whether it is whole, and builds a livepatch
    /// with it.
    fn livepatch_with(&self, origin: &str) {
        let recipe = format!(
            "name = \"mine\"\narchitecture = \"x86_64\"\n\
             compiler_text_begins = \"gcc-12 (Debian 12.2.0-\"\ncompiler = \"gcc-12\"\n{origin}"
        );
        fs::write(self.recipes.join("mine.toml"), recipe).expect("own directory");
        fs::write(self.path("server.toml"), self.config()).expect("own directory");
        for command in ["create", "verify"] {
            let mut server = Command::new(program("elivepatch-server"));
            server.args(["toolchain", command, "mine", "--config"]).arg(self.path("server.toml"));
            run(server.arg("--cache-directory").arg(self.cache.path()));
        }
        let config = self.config();
        let shared_cache = Some(self.cache.path().to_owned());
        let options = ServerOptions { config, shared_cache, ..ServerOptions::default() };
        let server = TestServer::start(options);
        let ran = server.build().patch(&patch("demo/meminfo-label")).run().succeeds();
        let (_, manifest) = ran.livepatch();
        assert_eq!(manifest.toolchain.name, "mine");
        assert!(manifest.fit.as_ref().is_some_and(|fit| fit.is_proven()), "{:?}", manifest.fit);
    }
}

/// The file system of the shipped root.
fn shipped_root() -> PathBuf {
    // It is there after this.
    let server = TestServer::start(ServerOptions::default());
    let _ = server.build().patch(&patch("demo/meminfo-label")).run().succeeds();
    cache_directory().join("toolchain-roots").join(SHIPPED).join("root")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tar(root: &Path, tarball: &Path) {
    let mut tar = Command::new("tar");
    run(tar.arg("--create").arg("--file").arg(tarball).arg("--directory").arg(root).arg("."));
}

#[test]
#[ignore = "makes roots and bases: make test-full"]
fn livepatch_is_built_with_the_compiler_of_a_tarball() {
    let place = Place::new();
    let tarball = place.path("root.tar");
    tar(&shipped_root(), &tarball);
    let sum = run(Command::new("sha256sum").arg(&tarball));
    place.livepatch_with(&format!("[tarball]\npath = {tarball:?}\nsha256 = {:?}\n", &sum[..64]));
}

#[test]
#[ignore = "makes roots and bases: make test-full"]
fn livepatch_is_built_with_the_compiler_of_an_oci_image() {
    let place = Place::new();
    let (image, tarball) = (place.path("image"), place.path("root.tar"));
    tar(&shipped_root(), &tarball);
    let tagged = format!("{}:latest", image.display());
    run(Command::new("umoci").args(["init", "--layout"]).arg(&image));
    run(Command::new("umoci").args(["new", "--image", &tagged]));
    let mut add = Command::new("umoci");
    run(add.args(["raw", "add-layer", "--image", &tagged]).arg(&tarball));
    let inspected = run(Command::new("skopeo").args(["inspect", &format!("oci:{tagged}")]));
    let inspected: serde_json::Value = serde_json::from_str(&inspected).expect("JSON");
    let digest = inspected["Digest"].as_str().and_then(|text| text.strip_prefix("sha256:"));
    let digest = digest.expect("a digest");
    place.livepatch_with(&format!(
        "[oci]\npath = {image:?}\ndigest = {digest:?}\nreference = \"latest\"\n"
    ));
}

/// A user whom no machine has: he has no name, and no subordinate ids.
const USER: &str = "65123";

/// A home of this user.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a directory"));
        fs::copy(program("elivepatch-server"), home.path("program")).expect("own file");
        let mut chown = Command::new("chown");
        run(chown.args(["--recursive", &format!("{USER}:{USER}")]).arg(home.path("")));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a program as the user, who gets no other rights by it.
    fn run(&self, words: &[&str]) -> String {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs", "--"]);
        run(setpriv.args(words).env("HOME", self.path("")).current_dir("/"))
    }
}

#[test]
#[ignore = "installs a root from Debian's archive: make test-full"]
fn user_without_roots_rights_makes_a_root_by_mmdebstrap_and_compiles_with_it() {
    let home = Home::new();
    let server = home.path("program");
    let server = server.to_str().expect("UTF-8");
    let created = home.run(&[server, "toolchain", "create", SHIPPED]);
    assert!(created.contains(&format!("{SHIPPED} is ready: gcc-12 (Debian 12.")), "{created}");
    let verified = home.run(&[server, "toolchain", "verify", SHIPPED]);
    assert_eq!(verified, format!("{SHIPPED} is what it was when it was made\n"));
    let listed = home.run(&[server, "toolchain", "list"]);
    let line = listed.lines().find(|line| line.starts_with(&format!("{SHIPPED} ")));
    assert!(line.is_some_and(|line| line.contains(" ready ")), "{listed}");
    // A server of his has sandboxes; what a tool in such a one does is to compile.
    let checked = home.run(&[server, "check-config"]);
    assert!(checked.contains("bubblewrap as the server's own user"), "{checked}");
    let root = home.path(".cache/elivepatch/toolchain-roots").join(SHIPPED).join("root");
    let (usr, source) = (root.join("usr"), "printf 'int f(void) { return 1; }' | ");
    let compile = format!("{source} gcc-12 -x c -c - -o /tmp/f.o && nm /tmp/f.o");
    let symbols = home.run(&[
        "bwrap",
        "--unshare-all",
        "--ro-bind",
        usr.to_str().expect("UTF-8"),
        "/usr",
        "--symlink",
        "usr/bin",
        "/bin",
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
        "--tmpfs",
        "/tmp",
        "--dev",
        "/dev",
        "sh",
        "-c",
        &compile,
    ]);
    assert!(symbols.contains(" T f"), "{symbols}");
    // All of it is his, so that he can remove it again.
    let mut find = Command::new("find");
    assert_eq!(run(find.arg(home.path(".cache")).args(["!", "-uid", USER])), "");
    home.run(&[server, "toolchain", "remove", SHIPPED]);
    assert!(!root.exists());
}
