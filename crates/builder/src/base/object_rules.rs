//! Rules of the kernel's Makefiles that compile a source file of another directory.
//!
//! Debug information tells which source file was compiled, and not to which object. Kbuild's ordinary
//! rule makes `DIRECTORY/NAME.o` of `DIRECTORY/NAME.c`, by whatever way the directory is spelled. A few
//! Makefiles have rules of their own: `kernel/bpf` compiles `tools/lib/bpf/relo_core.c`, and the `xe`
//! driver files of `i915`.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::{unit::goal_beside, untrusted_file::read_untrusted_below};

/// The largest Makefile that is looked into, in bytes. The largest of a kernel has 80 kB.
const MAKEFILE_BYTES: u64 = 1024 * 1024;

/// The most Makefiles that are looked into; a kernel has some 3,000.
const MAKEFILES: usize = 50_000;

/// Directories at the top of a tree whose Makefiles make no code of the kernel.
const OUTSIDE: [&str; 4] = ["Documentation", "tools", "samples", "scripts"];

/// The rules of a tree, by the source file or pattern that they are for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectRules {
    /// The source as the compiler is given it, to the object; both with at most one `%`.
    rules: BTreeMap<String, String>,
}

impl ObjectRules {
    /// Reads the Makefiles of a tree. What cannot be read has no rules.
    pub(super) fn read(tree: &Utf8Path) -> Self {
        let mut rules = Self::default();
        let entries = walkdir::WalkDir::new(tree).follow_links(false).into_iter();
        let entries = entries.filter_entry(|entry| {
            entry.depth() != 1 || !entry.file_name().to_str().is_some_and(|n| OUTSIDE.contains(&n))
        });
        let is_makefile = |name: &str| name.starts_with("Makefile") || name.starts_with("Kbuild");
        let makefiles = entries.flatten().filter(|entry| {
            entry.file_type().is_file() && entry.file_name().to_str().is_some_and(is_makefile)
        });
        for entry in makefiles.take(MAKEFILES) {
            let path = entry.path().strip_prefix(tree).ok().and_then(|path| path.to_str());
            let Some(path) = path else { continue };
            let text = read_untrusted_below(tree, path, MAKEFILE_BYTES).unwrap_or_default();
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            rules.add(directory, &String::from_utf8_lossy(&text));
        }
        rules
    }

    /// Adds the rules of the Makefile in `directory` whose source lies elsewhere.
    fn add(&mut self, directory: &str, makefile: &str) {
        for line in makefile.replace("\\\n", " ").lines() {
            let Some((target, needs)) = line.split_once(':') else { continue };
            let (target, Some(source)) = (target.trim(), needs.split_ascii_whitespace().next())
            else {
                continue;
            };
            let Some(object) = target.strip_prefix("$(obj)/").filter(|name| name.ends_with(".o"))
            else {
                continue;
            };
            let source = match (source.strip_prefix("$(srctree)/"), source.strip_prefix("$(src)/"))
            {
                (Some(of_tree), _) => of_tree.to_owned(),
                (_, Some(beside)) => format!("{directory}/{beside}"),
                _ => continue,
            };
            let is_plain = |path: &str| !path.contains('$') && path.matches('%').count() <= 1;
            let is_code = source.ends_with(".c") || source.ends_with(".S");
            let object = format!("{directory}/{object}");
            if is_code && is_plain(&source) && is_plain(&object) && goal_beside(&source) != object {
                self.rules.insert(source, object);
            }
        }
    }

    /// What Kbuild calls the object of a source file, which is spelled as the compiler was given it.
    ///
    /// A rule of its own counts only for a file that Kbuild's ordinary rule does not reach: one in
    /// `tools/`, or one whose directory is spelled with `..`. Others may be compiled once more for
    /// another purpose (`lib/` for the boot loader stub), and that object is none of the kernel's.
    pub(super) fn goal(&self, spelled: &str) -> String {
        let is_reached = !spelled.starts_with("tools/") && !spelled.contains("/../");
        let by_rule =
            || self.rules.iter().find_map(|(source, object)| filled(source, object, spelled));
        match is_reached {
            true => goal_beside(spelled),
            false => by_rule().unwrap_or_else(|| goal_beside(spelled)),
        }
    }
}

/// The object that a rule makes of a file; `None` when it is not for that file.
fn filled(source: &str, object: &str, file: &str) -> Option<String> {
    let Some((begin, end)) = source.split_once('%') else {
        return (source == file).then(|| object.to_owned());
    };
    let stem = file.strip_prefix(begin)?.strip_suffix(end)?;
    (!stem.is_empty()).then(|| object.replacen('%', stem, 1))
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn rules(makefiles: &[(&str, &str)]) -> ObjectRules {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        for (path, text) in makefiles {
            let path = tree.join(path);
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("own directory");
            fs_err::write(path, text).expect("own file");
        }
        ObjectRules::read(&tree)
    }

    /// Lines as Linux 6.1, 6.12 and 7.3 have them.
    fn kernel() -> ObjectRules {
        rules(&[
            (
                "kernel/bpf/Makefile",
                "$(obj)/relo_core.o: $(srctree)/tools/lib/bpf/relo_core.c FORCE\n\
              \t$(call if_changed_rule,cc_o_c)\n",
            ),
            (
                "drivers/gpu/drm/xe/Makefile",
                "$(obj)/i915-display/%.o: \\\n\
              \t$(src)/../i915/display/%.c FORCE\n",
            ),
            ("drivers/firmware/efi/libstub/Makefile", "$(obj)/lib-%.o: $(srctree)/lib/%.c FORCE\n"),
            ("arch/x86/lib/Makefile", "$(obj)/inat.o: $(obj)/inat-tables.c\n"),
            ("tools/lib/Makefile", "$(obj)/x.o: $(srctree)/tools/lib/bpf/relo_core.c\n"),
        ])
    }

    #[test]
    fn file_that_a_makefile_of_another_directory_compiles_has_its_object_there() {
        let rules = kernel();
        assert_eq!(rules.goal("tools/lib/bpf/relo_core.c"), "kernel/bpf/relo_core.o");
        assert_eq!(
            rules.goal("drivers/gpu/drm/xe/../i915/display/intel_fb.c"),
            "drivers/gpu/drm/xe/i915-display/intel_fb.o"
        );
    }

    #[test]
    fn file_that_kbuilds_ordinary_rule_reaches_has_its_object_beside_it() {
        let rules = kernel();
        assert_eq!(rules.goal("lib/ctype.c"), "lib/ctype.o");
        assert_eq!(
            rules.goal("drivers/gpu/drm/i915/display/intel_fb.c"),
            "drivers/gpu/drm/i915/display/intel_fb.o"
        );
        assert_eq!(
            rules.goal("arch/x86/kvm/../../../virt/kvm/kvm_main.c"),
            "arch/x86/kvm/../../../virt/kvm/kvm_main.o"
        );
    }
}
