use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

/// What a kernel is linked from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BuiltFiles {
    /// For each compiled file what it is linked into: vmlinux (the empty text) or modules, by their names
    /// with `_`.
    pub compiled: BTreeMap<String, BTreeSet<String>>,
    /// Compiled files that hold the code of others, as `#include "other.c"` brings it: by the files that
    /// are included.
    pub included_by: BTreeMap<String, BTreeSet<String>>,
}

impl BuiltFiles {
    /// What a file is linked into, by itself or as a part of others, each once; vmlinux is the empty text.
    pub fn parents(&self, file: &str) -> BTreeSet<&str> {
        let own = self.compiled.get(file).into_iter();
        let units = self.included_by.get(file).into_iter().flatten();
        let others = units.filter_map(|unit| self.compiled.get(unit));
        own.chain(others).flatten().map(String::as_str).collect()
    }

    /// Whether a file is compiled by itself.
    pub fn is_compiled(&self, file: &str) -> bool {
        self.compiled.contains_key(file)
    }
}

/// Why a file is not in a kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// The file.
    pub file: String,
    /// The options of which one would have to be set, and none is, such as `CONFIG_SMB_SERVER`. Empty when the
    /// source's Makefiles do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The object that would be made of it.
    pub object: String,
}

/// For people, without the file's name: "CONFIG_SMB_SERVER is not set".
impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.options.as_slice() {
            [] => write!(formatter, "no list of objects brings in {}", self.object),
            [option] => write!(formatter, "{option} is not set"),
            options => write!(formatter, "none of {} is set", options.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_a_file_out_is_told_in_words() {
        let told = |options: &[&str]| {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            let (file, object) = ("fs/aio.c".to_owned(), "fs/aio.o".to_owned());
            LeftOut { file, options, object }.to_string()
        };
        assert_eq!(told(&["CONFIG_AIO"]), "CONFIG_AIO is not set");
        assert_eq!(told(&["CONFIG_A", "CONFIG_B"]), "none of CONFIG_A, CONFIG_B is set");
        assert_eq!(told(&[]), "no list of objects brings in fs/aio.o");
    }

    #[test]
    fn file_is_linked_where_it_is_compiled_and_where_it_is_included() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let built = BuiltFiles {
            compiled: [
                ("fs/compat_binfmt_elf.c".to_owned(), set(&[""])),
                ("fs/binfmt_elf.c".to_owned(), set(&["elf"])),
            ]
            .into(),
            included_by: [("fs/binfmt_elf.c".to_owned(), set(&["fs/compat_binfmt_elf.c"]))].into(),
        };
        assert_eq!(built.parents("fs/binfmt_elf.c"), ["", "elf"].into());
        assert_eq!(built.parents("fs/none.c"), [].into());
        assert!(built.is_compiled("fs/binfmt_elf.c") && !built.is_compiled("fs/none.c"));
    }
}
