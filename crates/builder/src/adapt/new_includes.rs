//! Files that the fixes themselves begin to include: the kernel as it is says nothing of them.

use std::collections::BTreeSet;

use elivepatch_patch::{LineKind, SourcePatch};

use crate::{FixText, headers::included_names};

/// What the `#include` lines ask for that fixes add.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NewIncludes {
    /// The last parts of the names.
    names: BTreeSet<String>,
    /// Whether a macro names one of them, so that it may be any file.
    is_any: bool,
}

impl NewIncludes {
    /// Reads them from all fixes of an order: one may include what another one changes. A text that is
    /// no patch has none; it is refused elsewhere.
    pub(crate) fn of(fixes: &[FixText]) -> Self {
        let mut found = Self::default();
        for patch in fixes.iter().filter_map(|fix| SourcePatch::parse(&fix.text).ok()) {
            let lines =
                patch.files.iter().flat_map(|file| &file.hunks).flat_map(|hunk| &hunk.lines);
            for line in lines.filter(|line| line.kind == LineKind::Added) {
                let (names, is_any) = included_names(&line.content);
                found.names.extend(names);
                found.is_any |= is_any;
            }
        }
        found
    }

    /// Whether one of them may mean the file.
    pub(crate) fn may_mean(&self, path: &str) -> bool {
        self.is_any || self.names.contains(path.rsplit('/').next().unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use elivepatch_model::{Fix, Sha256Digest};

    use super::*;

    fn of(lines: &str) -> NewIncludes {
        let text = format!("--- a/fs/a.c\n+++ b/fs/a.c\n@@ -1,1 +1,2 @@\n {lines}\n");
        let digest = Sha256Digest::of(text.as_bytes());
        let fix = Fix { name: "a.patch".to_owned(), digest };
        NewIncludes::of(&[FixText { fix, text: text.into_bytes() }])
    }

    #[test]
    fn added_includes_are_found_by_their_last_names() {
        let found = of("#include <linux/old.h>\n+#include <linux/units.h>");
        assert!(found.may_mean("include/linux/units.h"));
        assert!(!found.may_mean("include/linux/old.h"));
        assert!(!found.may_mean("include/linux/my_units.h"));
        assert!(of("int a;\n+# include \"part.c\"").may_mean("fs/part.c"));
    }

    #[test]
    fn include_that_a_macro_names_may_be_any_file() {
        assert!(of("int a;\n+#include TRACE_FILE").may_mean("include/linux/units.h"));
        assert!(!of("int a;\n+int b;").may_mean("include/linux/units.h"));
    }
}
