use std::fmt;

/// The longest path in a source tree that is accepted, in bytes. The longest of Linux 7.3 has 111.
pub const PATH_BYTES: usize = 512;

/// The longest component of a path, in bytes: `NAME_MAX` of Linux.
const COMPONENT_BYTES: usize = 255;

/// The path of a file in a kernel source tree: relative, and sure to stay inside the tree as far
/// as names can tell (symbolic links in the tree are the builder's matter).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TreePath(String);

/// Why a text is not the path of a file in a source tree. The texts complete "the path …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreePathError {
    /// The path begins with a slash.
    #[error("is absolute")]
    Absolute,
    /// A component is `..`.
    #[error("leaves the source tree with \"..\"")]
    LeavesTree,
    /// The path is empty, or a component is empty or `.`.
    #[error("has an empty component")]
    EmptyComponent,
    /// The path or a component of it is longer than any in a kernel tree.
    #[error("is longer than {PATH_BYTES} bytes")]
    TooLong,
    /// The path has a control character or a backslash, or begins with a hyphen, which programs
    /// would take for an option.
    #[error("has a character that no kernel path has")]
    Character,
}

impl TreePathError {
    /// Whether the path points, or tries to point, outside the source tree.
    pub fn is_outside_tree(self) -> bool {
        matches!(self, Self::Absolute | Self::LeavesTree | Self::EmptyComponent)
    }
}

impl TreePath {
    /// Checks a path that is relative to the root of the source tree.
    ///
    /// # Errors
    /// See [`TreePathError`]; the path is never cleaned up.
    pub fn new(path: &str) -> Result<Self, TreePathError> {
        if path.len() > PATH_BYTES {
            return Err(TreePathError::TooLong);
        }
        if path.starts_with('/') {
            return Err(TreePathError::Absolute);
        }
        if path.starts_with('-') || path.chars().any(|c| c.is_control() || c == '\\') {
            return Err(TreePathError::Character);
        }
        for component in path.split('/') {
            match component {
                ".." => return Err(TreePathError::LeavesTree),
                "" | "." => return Err(TreePathError::EmptyComponent),
                long if long.len() > COMPONENT_BYTES => return Err(TreePathError::TooLong),
                _ => {}
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// The path, relative to the root of the source tree.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// What follows the last dot of the file name; empty when there is none.
    pub fn extension(&self) -> &str {
        self.file_name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for TreePath {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        for (path, error) in [
            ("/etc/passwd", TreePathError::Absolute),
            ("../etc/passwd", TreePathError::LeavesTree),
            ("fs/../../etc/passwd", TreePathError::LeavesTree),
            ("fs//exec.c", TreePathError::EmptyComponent),
            ("fs/./exec.c", TreePathError::EmptyComponent),
            ("fs/", TreePathError::EmptyComponent),
            ("", TreePathError::EmptyComponent),
            ("fs/a\nb.c", TreePathError::Character),
            ("fs\\..\\exec.c", TreePathError::Character),
            ("--output=x", TreePathError::Character),
        ] {
            assert_eq!(TreePath::new(path), Err(error), "{path:?}");
        }
        assert_eq!(TreePath::new(&"a/".repeat(PATH_BYTES)), Err(TreePathError::TooLong));
        assert_eq!(TreePath::new(&"a".repeat(300)), Err(TreePathError::TooLong));
    }

    #[test]
    fn kernel_path_has_name_and_extension() {
        let path = TreePath::new("arch/x86/kernel/vmlinux.lds.S").expect("a kernel path");
        assert_eq!(path.file_name(), "vmlinux.lds.S");
        assert_eq!(path.extension(), "S");
        assert_eq!(TreePath::new("fs/Makefile").expect("a kernel path").extension(), "");
    }

    proptest! {
        #[test]
        fn accepted_path_stays_below_any_root(path in "[a./\\\\-]{0,12}") {
            if let Ok(accepted) = TreePath::new(&path) {
                let joined = std::path::Path::new("/root").join(&accepted);
                prop_assert!(joined.starts_with("/root"));
                prop_assert!(joined.components().all(|c| c.as_os_str() != ".."));
            }
        }
    }
}
