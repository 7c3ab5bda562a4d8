//! Toolchain roots that do not come from Debian's archive: a tarball and an OCI image of a root with
//! the stock kernel's compiler, each made with the field's own tools. A livepatch is built with each,
//! which takes minutes, so these tests are for `make test-full`.

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
