//! From the names in debug information to paths in the kernel tree.
//!
//! A unit is named as the compiler was called: relative to the build directory in a build inside
//! the tree (`fs/exec.c`, `./fs/exec.c`), through `../` or by an absolute path in a build outside
//! it, and Debian's kernels have both kinds, since prefixes are mapped away for C but not for
//! assembly.

use std::collections::BTreeSet;

/// Directories at the top of a kernel tree that hold compiled code. `usr` is left out: it holds
/// hardly any, and it is also where trees lie (`/usr/src/linux`).
const TOP_DIRECTORIES: [&str; 19] = [
    "arch", "block", "certs", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc",
    "kernel", "lib", "mm", "net", "rust", "scripts", "security", "sound", "virt",
];

/// The name of a unit and the directory that the compiler ran in.
pub(crate) struct UnitPath {
    name: Vec<String>,
    /// The name with inner `..` as the compiler was given it: the same as `name` where it has none.
    spelled: Vec<String>,
    directory: Vec<String>,
    is_absolute: bool,
}

impl UnitPath {
    pub(crate) fn new(name: &[u8], directory: &[u8]) -> Self {
        let directory = components(&String::from_utf8_lossy(directory));
        let name = String::from_utf8_lossy(name);
        let is_absolute = name.starts_with('/');
        let (mut name, mut spelled) = (components(&name), spelled_components(&name));
        if !is_absolute {
            name.drain(..featureset_tree(&name));
            spelled.drain(..featureset_tree(&spelled));
        }
        // In the directory of the build: then relative to it, whatever it is called.
        let inside = is_absolute && !directory.is_empty() && name.starts_with(&directory);
        if !inside {
            return Self { name, spelled, directory, is_absolute };
        }
        let name = name[directory.len()..].to_vec();
        spelled = match spelled.starts_with(&directory) {
            true => spelled[directory.len()..].to_vec(),
            false => name.clone(),
        };
        Self { name, spelled, directory, is_absolute: false }
    }
}

/// The paths relative to the root of the tree, which is worked out from all of them.
pub(crate) fn relative_to_tree(paths: &[UnitPath]) -> BTreeSet<String> {
    let tree = Tree::of(paths.iter());
    paths.iter().map(|path| tree.relative(path)).filter(|path| !path.is_empty()).collect()
}

/// The root of the kernel tree that names lie in.
pub(crate) struct Tree {
    /// How many components of an absolute name are the root.
    root: usize,
}

impl Tree {
    /// Works out the root from the names of units.
    pub(crate) fn of<'a>(paths: impl Iterator<Item = &'a UnitPath>) -> Self {
        let absolute: Vec<&UnitPath> = paths.filter(|path| path.is_absolute).collect();
        Self { root: tree_root(&absolute) }
    }

    /// The path relative to the root; empty for a name that is none.
    pub(crate) fn relative(&self, path: &UnitPath) -> String {
        let root = if path.is_absolute { self.root.min(path.name.len()) } else { 0 };
        let name = &path.name[root..];
        // A build directory inside the tree or beside it: `../../fs/exec.c`.
        let up = name.iter().take_while(|component| *component == "..").count();
        name[up..].join("/")
    }

    /// The path relative to the root as the compiler was given it: an inner `..` stays, for Kbuild
    /// knows the object by that name (`arch/x86/kvm/../../../virt/kvm/kvm_main.c`). Resolved where
    /// the spelling does not show where the root is.
    pub(crate) fn spelled(&self, path: &UnitPath) -> String {
        let root = if path.is_absolute { self.root.min(path.spelled.len()) } else { 0 };
        let (above, below) = path.spelled.split_at(root);
        let leads_out = |components: &[String]| components.first().is_some_and(|c| c == "..");
        let plain = above.iter().all(|component| component != "..") && !leads_out(below);
        if plain { below.join("/") } else { self.relative(path) }
    }
}

/// How many components all absolute names share as the root of the tree.
///
/// The root is an ancestor of all of them below which each begins with a known directory. When
/// only files deep in the tree have absolute names there may be several: the directory of the
/// build, which mostly lies in the tree, then tells the right one.
fn tree_root(paths: &[&UnitPath]) -> usize {
    let Some(first) = paths.first() else { return 0 };
    let shared = |names: &mut dyn Iterator<Item = &Vec<String>>| {
        names.fold(first.name.len().saturating_sub(1), |shared, name| {
            let same = first.name.iter().zip(name).take_while(|(a, b)| a == b).count();
            shared.min(same)
        })
    };
    let of_names = shared(&mut paths.iter().map(|path| &path.name));
    let of_all = shared(&mut paths.iter().map(|path| &path.directory)).min(of_names);
    let fits = |root: &usize| {
        paths.iter().all(|path| {
            path.name.get(*root).is_some_and(|top| TOP_DIRECTORIES.contains(&top.as_str()))
        })
    };
    (0..=of_all).rev().find(fits).or_else(|| (0..=of_names).rev().find(fits)).unwrap_or(of_names)
}

/// How many components at the beginning of a relative name are the tree of a Debian featureset: that of
/// `rt` is patched in `debian/build/source_rt`, and built from there.
fn featureset_tree(name: &[String]) -> usize {
    match name {
        [debian, build, tree, _, ..]
            if debian == "debian" && build == "build" && tree.starts_with("source_") =>
        {
            3
        }
        _ => 0,
    }
}

/// The components of a path with `.` and inner `..` resolved by name; leading `..` stay.
fn components(path: &str) -> Vec<String> {
    let mut components: Vec<String> = Vec::new();
    for component in path.split('/').filter(|component| !matches!(*component, "" | ".")) {
        match components.last() {
            Some(last) if component == ".." && last != ".." => {
                components.pop();
            }
            _ => components.push(component.to_owned()),
        }
    }
    components
}

/// The components of a path without `.`; every `..` stays.
fn spelled_components(path: &str) -> Vec<String> {
    let components = path.split('/').filter(|component| !matches!(*component, "" | "."));
    components.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_kept_where_it_shows_the_root() {
        let spelled = |names: &[(&str, &str)]| -> Vec<String> {
            let paths: Vec<UnitPath> = names
                .iter()
                .map(|(name, directory)| UnitPath::new(name.as_bytes(), directory.as_bytes()))
                .collect();
            let tree = Tree::of(paths.iter());
            paths.iter().map(|path| tree.spelled(path)).collect()
        };
        let kvm = "arch/x86/kvm/../../../virt/kvm/kvm_main.c";
        assert_eq!(spelled(&[(kvm, "/usr/src/linux")]), [kvm]);
        let absolute = format!("/home/kernel/linux/{kvm}");
        let found = spelled(&[(&absolute, "/var/build"), ("/home/kernel/linux/fs/a.c", "/var/b")]);
        assert_eq!(found, [kvm, "fs/a.c"]);
        assert_eq!(spelled(&[(&absolute, "/home/kernel/linux")]), [kvm]);
        // Where it leads out of the tree first, the name alone says nothing of the root.
        assert_eq!(spelled(&[("../linux/../fs/exec.c", "/var/build")]), ["fs/exec.c"]);
        assert_eq!(spelled(&[("./fs/exec.c", "/usr/src/linux")]), ["fs/exec.c"]);
    }

    fn paths(units: &[(&str, &str)]) -> Vec<String> {
        let units: Vec<UnitPath> = units
            .iter()
            .map(|(name, directory)| UnitPath::new(name.as_bytes(), directory.as_bytes()))
            .collect();
        relative_to_tree(&units).into_iter().collect()
    }

    #[test]
    fn build_inside_the_tree_gives_paths_as_they_are() {
        let found = paths(&[("fs/exec.c", "/usr/src/linux"), ("./mm/slub.c", "/usr/src/linux")]);
        assert_eq!(found, ["fs/exec.c", "mm/slub.c"]);
        assert_eq!(paths(&[("/usr/src/linux/fs/exec.c", "/usr/src/linux")]), ["fs/exec.c"]);
    }

    #[test]
    fn debian_maps_prefixes_of_c_but_not_of_assembly() {
        let build = "/build/path/linux-6.1.176/debian/build/build_amd64_none_cloud-amd64";
        let found = paths(&[
            ("fs/exec.c", "debian/build/build_amd64_none_cloud-amd64"),
            ("/build/path/linux-6.1.176/arch/x86/lib/memcpy_64.S", build),
            ("/build/path/linux-6.1.176/arch/x86/kernel/head_64.S", build),
        ]);
        assert_eq!(found, ["arch/x86/kernel/head_64.S", "arch/x86/lib/memcpy_64.S", "fs/exec.c"]);
    }

    #[test]
    fn tree_of_a_debian_featureset_is_a_tree() {
        let build = "/build/path/linux-6.1.176/debian/build/build_amd64_rt_amd64";
        let found = paths(&[
            ("debian/build/source_rt/fs/exec.c", "debian/build/build_amd64_rt_amd64"),
            ("init/generated.c", "debian/build/build_amd64_rt_amd64"),
            ("/build/path/linux-6.1.176/debian/build/source_rt/arch/x86/lib/memcpy_64.S", build),
            ("/build/path/linux-6.1.176/debian/build/source_rt/arch/x86/entry/entry_64.S", build),
        ]);
        let expected = [
            "arch/x86/entry/entry_64.S",
            "arch/x86/lib/memcpy_64.S",
            "fs/exec.c",
            "init/generated.c",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn build_outside_the_tree_is_found_by_its_directories() {
        let found = paths(&[
            ("/home/kernel/linux/fs/exec.c", "/var/build"),
            ("/home/kernel/linux/arch/x86/mm/fault.c", "/var/build"),
            ("/var/build/init/generated.c", "/var/build"),
        ]);
        assert_eq!(found, ["arch/x86/mm/fault.c", "fs/exec.c", "init/generated.c"]);
        assert_eq!(paths(&[("../linux/../fs/exec.c", "/var/build")]), ["fs/exec.c"]);
    }
}
