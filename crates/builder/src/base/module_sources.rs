//! Which loadable modules hold the code of a source file.

use std::io::{self, Read};

use elivepatch_elf::module_sources;

/// The largest module with debug information that is read, in bytes. amdgpu has some 250 MB.
const MODULE_BYTES: u64 = 1 << 30;

/// The modules of a kernel with the source files of each, as a text: a line `SOURCE<TAB>MODULE`.
#[derive(Debug, Default)]
pub(super) struct ModuleSources {
    lines: Vec<String>,
}

impl ModuleSources {
    /// Adds a file of the debug package, when it is a module.
    pub(super) fn add(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()> {
        let Some(module) = path.rsplit('/').next().and_then(|file| file.strip_suffix(".ko")) else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        content.take(MODULE_BYTES).read_to_end(&mut bytes)?;
        let sources =
            module_sources(&bytes).map_err(|error| io::Error::other(format!("{path}: {error}")))?;
        self.lines.extend(sources.into_iter().map(|source| format!("{source}\t{module}\n")));
        Ok(())
    }

    /// The text.
    pub(super) fn to_text(&self) -> String {
        self.lines.concat()
    }
}

/// The modules that hold code of `source`, from the text. A module that includes the file from
/// another one is known by the file's bare name only: those are asked for with `by_name`.
pub(super) fn modules_with(text: &str, source: &str, by_name: bool) -> Vec<String> {
    let name = source.rsplit('/').next().unwrap_or(source);
    let of_source = |line: &str| {
        let (found, module) = line.split_once('\t')?;
        (found == source || (by_name && found == name)).then(|| module.to_owned())
    };
    text.lines().filter_map(of_source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_by_path_and_by_the_name_of_an_included_file() {
        let text = "virt/kvm/kvm_main.c\tkvm\nfs/xfs/libxfs/xfs_ag.c\txfs\ntmpl.c\tdriver\n";
        assert_eq!(modules_with(text, "virt/kvm/kvm_main.c", false), ["kvm"]);
        assert_eq!(modules_with(text, "drivers/a/tmpl.c", true), ["driver"]);
        assert_eq!(modules_with(text, "drivers/a/tmpl.c", false), Vec::<String>::new());
    }
}
