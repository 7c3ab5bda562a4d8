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
    directory: Vec<String>,
    is_absolute: bool,
}

impl UnitPath {
    pub(crate) fn new(name: &[u8], directory: &[u8]) -> Self {
        let directory = components(&String::from_utf8_lossy(directory));
        let name = String::from_utf8_lossy(name);
        let is_absolute = name.starts_with('/');
        let name = components(&name);
        // In the directory of the build: then relative to it, whatever it is called.
        let inside = is_absolute && !directory.is_empty() && name.starts_with(&directory);
        match inside {
            true => Self { name: name[directory.len()..].to_vec(), directory, is_absolute: false },
            false => Self { name, directory, is_absolute },
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
