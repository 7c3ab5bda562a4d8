//! Caches of tests that change what is in a cache.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{RELEASE, cache_directory, make_base_ready};

/// A cache that shares some directories with all other tests and has all else for itself.
#[derive(Debug)]
pub struct OwnCache {
    place: tempfile::TempDir,
}

impl OwnCache {
    /// One that shares these directories.
    ///
    /// # Panics
    /// When the cache of all tests cannot be written.
    pub fn sharing(names: &[&str]) -> Self {
        let all = cache_directory();
        let servers = all.join("test/servers");
        fs::create_dir_all(&servers).expect("the cache can be written");
        let place = tempfile::tempdir_in(&servers).expect("the cache can be written");
        for name in names {
            symlink(all.join(name), place.path().join(name)).expect("own directory");
        }
        Self { place }
    }

    /// One that shares all but the bases, with copies of the stock kernel's, made of hard links:
    /// whoever removes or replaces something takes nothing from the other tests.
    ///
    /// # Panics
    /// When the base cannot be prepared or copied.
    pub fn with_own_bases() -> Self {
        make_base_ready();
        let cache = Self::sharing(&["apt", "packages", "toolchain-roots"]);
        fs::create_dir(cache.place.path().join("bases")).expect("own directory");
        for base in bases_in(&cache_directory()) {
            let name = base.file_name().expect("it has a name");
            copy_base(&base, &cache.place.path().join("bases").join(name));
        }
        cache
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The complete bases of the stock kernel in it.
    pub fn bases(&self) -> Vec<PathBuf> {
        bases_in(self.path())
    }
}

fn bases_in(cache: &Path) -> Vec<PathBuf> {
    let is_whole = |base: &PathBuf| {
        let name = base.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{RELEASE}-")) && base.join("base.json").is_file()
    };
    let entries = fs::read_dir(cache.join("bases")).expect("the bases").flatten();
    entries.map(|entry| entry.path()).filter(is_whole).collect()
}

/// Copies a base without what builds add to it, which changes meanwhile.
fn copy_base(base: &Path, copy: &Path) {
    fs::create_dir(copy).expect("own directory");
    for entry in fs::read_dir(base).expect("the base").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_added = |part: &&str| name.starts_with(part);
        if ["fit", "originals", "includes-", ".tmp"].iter().any(is_added) {
            continue;
        }
        let mut copied = Command::new("cp");
        copied.args(["--archive", "--link"]).args([entry.path(), copy.join(&name)]);
        assert!(copied.status().expect("cp").success(), "{name} cannot be copied");
    }
}
