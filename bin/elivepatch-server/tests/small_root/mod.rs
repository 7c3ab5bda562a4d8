//! A root file system of two megabytes, for tests of how a toolchain root gets into its place. Its tools are
//! busybox and its compiler, assembler and linker are scripts that say their versions: doubles, because a
//! real one takes minutes. Roots with real compilers are made in `end-to-end/tests/toolchains.rs`.

// Each of the test programs uses a part of it.
#![allow(dead_code)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The commands that are looked for in a root, beside compiler and linker.
const COMMANDS: [&str; 17] = [
    "sh", "make", "bison", "flex", "bc", "perl", "python3", "patch", "tar", "xz", "readelf",
    "objcopy", "nm", "ar", "pahole", "cpio", "kmod",
];

const COMPILER: &str = "#!/bin/sh\ncase $1 in\n-Wa,*) echo 'GNU assembler (GNU Binutils) 2.40' ;;\n\
    *) echo 'gcc (Mine) 1.0' ;;\nesac\n";

const LINKER: &str = "#!/bin/sh\necho 'GNU ld (GNU Binutils) 2.40'\n";

/// A place with the root as a tarball, a directory of recipes, and a config that names both.
pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// `config` is added to the config.
    pub fn new(config: &str) -> Self {
        let place = Self { directory: tempfile::tempdir().expect("a directory") };
        let root = place.path("tree");
        make_root(&root);
        run(Command::new("tar").arg("--create").arg("--file").arg(place.tarball()).args([
            "--owner=0".as_ref(),
            "--group=0".as_ref(),
            "--directory".as_ref(),
            root.as_os_str(),
            ".".as_ref(),
        ]));
        fs::create_dir(place.path("recipes")).expect("own directory");
        // Nothing listens there: what is made here is not fetched.
        let closed = "http://127.0.0.1:9/debian";
        let text = format!(
            "toolchain_recipes = {:?}\ndata_directory = {:?}\ncache_directory = {:?}\n{config}\
             [debian]\nmirror = {closed:?}\nsecurity_mirror = {closed:?}\n",
            place.path("recipes"),
            place.path("data"),
            place.cache(),
        );
        fs::write(place.path("server.toml"), text).expect("own file");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    pub fn tarball(&self) -> PathBuf {
        self.path("root.tar")
    }

    /// The recipe `mine`, with these lines on where its root comes from.
    pub fn recipe(&self, origin: &str) {
        let text = format!(
            "name = \"mine\"\narchitecture = \"x86_64\"\ncompiler_text_begins = \"gcc (Mine) \"\n\
             compiler = \"gcc\"\n{origin}"
        );
        fs::write(self.path("recipes/mine.toml"), text).expect("own file");
    }

    /// The recipe of the tarball.
    pub fn tarball_recipe(&self) {
        let sum = run(Command::new("sha256sum").arg(self.tarball()));
        self.recipe(&format!(
            "[tarball]\npath = {:?}\nsha256 = {:?}\n",
            self.tarball(),
            &sum[..64]
        ));
    }

    /// What was left where the root should be, but for its lock.
    pub fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache().join("toolchain-roots")) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.ends_with(".lock")).collect()
    }
}

fn make_root(root: &Path) {
    for directory in ["usr/bin", "usr/lib/kpatch", "etc"] {
        fs::create_dir_all(root.join(directory)).expect("own directory");
    }
    let busybox =
        ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox-static is installed");
    fs::copy(busybox, root.join("usr/bin/busybox")).expect("own file");
    for name in COMMANDS {
        symlink("busybox", root.join("usr/bin").join(name)).expect("own directory");
    }
    for (name, text) in [
        ("usr/bin/gcc", COMPILER),
        ("usr/bin/ld", LINKER),
        ("usr/lib/kpatch/create-diff-object", "#!/bin/sh\n"),
    ] {
        fs::write(root.join(name), text).expect("own file");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.join(name), mode).expect("own file");
    }
}

/// Runs a program that must succeed; gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    stdout(&output)
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
