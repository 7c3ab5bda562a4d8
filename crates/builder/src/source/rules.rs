//! What may be in a source tree, whether it comes as a directory or as a tarball.

/// The longest path in a tree, in bytes: `PATH_MAX`.
const PATH_BYTES: usize = 4096;

/// Says what is wrong with the path of an entry, relative to the tree; `None` when it may be there.
pub(super) fn fault_of_path(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        Some("has an absolute name")
    } else if path.len() > PATH_BYTES {
        Some("has a name that is too long")
    } else if path.chars().any(char::is_control) {
        Some("has a control character in its name")
    } else if path.split('/').any(|part| part == "..") {
        Some("leaves the tree by its name")
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        Some("has an empty part in its name")
    } else {
        None
    }
}

/// Says what is wrong with the target of the symbolic link at `path`; `None` when it stays in the
/// tree, whatever other links that keep this rule it leads through.
///
/// `..` is allowed at the beginning only: no entry's own directory is reached through a link, so
/// that each `..` there goes one directory up for certain. Behind another name it would not:
/// `x -> .` makes of `x/..` the directory above the tree.
pub(super) fn fault_of_link(path: &str, target: &str) -> Option<&'static str> {
    if target.starts_with('/') {
        return Some("is a symbolic link to an absolute path");
    }
    if target.is_empty() || target.len() > PATH_BYTES || target.chars().any(char::is_control) {
        return Some("is a symbolic link to something that is no path");
    }
    let depth = path.split('/').count() - 1;
    let parts = || target.split('/').filter(|part| !part.is_empty() && *part != ".");
    let up = parts().take_while(|part| *part == "..").count();
    if up > depth {
        Some("is a symbolic link out of the tree")
    } else if parts().skip(up).any(|part| part == "..") {
        Some("is a symbolic link that goes down and up again")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_tree_are_told() {
        assert_eq!(fault_of_path("fs/proc/meminfo.c"), None);
        assert_eq!(fault_of_path("Documentation/..."), None);
        for bad in ["/etc/passwd", "../x", "a/../../x", "a/..", "a//b", "a/./b", "", "a\nb"] {
            assert!(fault_of_path(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn links_as_kernel_trees_have_them_are_fine() {
        for (path, target) in [
            ("scripts/dtc/include-prefixes/arm", "../../../arch/arm/boot/dts"),
            ("tools/lib/api/x", "./y"),
            ("a", "b/c"),
            ("a/b", ".."),
        ] {
            assert_eq!(fault_of_link(path, target), None, "{path} -> {target}");
        }
    }

    #[test]
    fn links_out_of_the_tree_are_told() {
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a/b", "../../etc"),
            // With `x -> .` beside it, this would be the directory above the tree.
            ("y", "x/x/../.."),
            ("a", ""),
            ("a", "b\nc"),
        ] {
            assert!(fault_of_link(path, target).is_some(), "{path} -> {target}");
        }
    }
}
