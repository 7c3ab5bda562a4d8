//! The command by which Kbuild made an object, from its record of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{base::COMPILE_FLAGS, kbuild_record::Compiled};

/// How Kbuild made an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct SavedCommand {
    /// The shell command: the compiler, and where this kernel runs it on single objects, objtool.
    pub shell: String,
    /// The files that the compiler read, by their paths in the tree or absolute.
    pub dependencies: BTreeSet<String>,
}

impl SavedCommand {
    /// Reads a record; `None` when it is not one of a plain compilation of `source`, a path in the
    /// tree, to `goal`, which is what Kbuild calls the object: then only make knows how it comes
    /// about.
    pub(in crate::engine) fn parse(record: &str, goal: &str, source: &str) -> Option<Self> {
        let compiled = Compiled::parse(record).filter(|compiled| compiled.source == source)?;
        let source = compiled.spelled_source.as_str();
        // `savedcmd_` from Linux 6.3 on.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+,-".contains(&byte);
        if !source.bytes().all(plain) {
            return None;
        }
        let names = [format!("cmd_{goal} := "), format!("savedcmd_{goal} := ")];
        let first = record.lines().next()?;
        let text = names.iter().find_map(|name| first.strip_prefix(name.as_str()))?;
        let shell = unescape(text)?;
        let compiles = ["-c", "-S"].into_iter().any(|option| {
            let words = format!(" {option} -o {goal} {source}");
            shell.ends_with(&words) || shell.contains(&format!("{words} "))
        });
        if !compiles {
            return None;
        }
        Some(Self { shell, dependencies: compiled.files })
    }

    /// The command with the flags of livepatches, where it was saved without.
    pub(in crate::engine) fn with_livepatch_flags(mut self) -> Option<Self> {
        if !self.shell.contains(COMPILE_FLAGS) {
            self.shell = with_flags(&self.shell, COMPILE_FLAGS)?;
        }
        Some(self)
    }
}

/// A command with more flags, in the place where `KCFLAGS` puts them: behind all flags that are not
/// the file's own. `None` for one that Kbuild does not compile the kernel's code with.
pub(in crate::engine) fn with_flags(shell: &str, flags: &str) -> Option<String> {
    let place = shell.find(" -DKBUILD_MODFILE=")?;
    Some(format!("{} {flags}{}", &shell[..place], &shell[place..]))
}

/// Takes away what `make-cmd` (`scripts/Kbuild.include`) did so that make can read the command
/// back; `None` when something is left that only make could expand.
fn unescape(text: &str) -> Option<String> {
    let mut shell = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('$') {
        shell.push_str(&rest[..place]);
        rest = &rest[place..];
        if let Some(behind) = rest.strip_prefix("$$") {
            shell.push('$');
            rest = behind;
        } else {
            rest = rest.strip_prefix("$(pound)")?;
            shell.push('#');
        }
    }
    shell.push_str(rest);
    Some(shell)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "cmd_fs/a.o := gcc-12 -Wp,-MMD,fs/.a.o.d -g -DX='\"$(pound)$$1\"'    \
        -DKBUILD_MODFILE='\"fs/a\"' -c -o fs/a.o fs/a.c   ; ./tools/objtool/objtool --orc   fs/a.o\n\n\
        source_fs/a.o := fs/a.c\n\n\
        deps_fs/a.o := \\\n  include/linux/kconfig.h \\\n    $(wildcard include/config/FOO) \\\n  \
        ./fs/../block/b.h \\\n  /usr/lib/gcc/stdarg.h \\\n\n\
        fs/a.o: $(deps_fs/a.o)\n\n$(deps_fs/a.o):\n";

    #[test]
    fn record_of_a_compilation_gives_command_and_files() {
        let saved = SavedCommand::parse(RECORD, "fs/a.o", "fs/a.c").expect("a compilation");
        assert_eq!(
            saved.shell,
            "gcc-12 -Wp,-MMD,fs/.a.o.d -g -DX='\"#$1\"'    -DKBUILD_MODFILE='\"fs/a\"' -c -o fs/a.o \
             fs/a.c   ; ./tools/objtool/objtool --orc   fs/a.o"
        );
        assert_eq!(
            saved.dependencies.into_iter().collect::<Vec<_>>(),
            ["/usr/lib/gcc/stdarg.h", "block/b.h", "fs/a.c", "include/linux/kconfig.h"]
        );
        let newer = RECORD.replacen("cmd_", "savedcmd_", 1);
        assert!(SavedCommand::parse(&newer, "fs/a.o", "fs/a.c").is_some());
    }

    #[test]
    fn object_that_kbuild_reaches_through_another_directory_is_known_by_that_name() {
        let spelled = "arch/x86/kvm/../../../virt/kvm/a";
        let record = RECORD.replace("block/b.h", "b.h").replace("fs/a", spelled);
        let (goal, source) = (format!("{spelled}.o"), "virt/kvm/a.c");
        let saved = SavedCommand::parse(&record, &goal, source).expect("a compilation");
        assert!(saved.shell.contains(&format!("-c -o {spelled}.o {spelled}.c")));
        assert!(saved.dependencies.contains(source), "{saved:?}");
        // Another object of the same file is another matter.
        assert_eq!(SavedCommand::parse(&record, "virt/kvm/a.o", source), None);
    }

    #[test]
    fn record_of_something_else_is_left_to_make() {
        assert_eq!(SavedCommand::parse(RECORD, "fs/b.o", "fs/b.c"), None);
        assert_eq!(SavedCommand::parse(RECORD, "fs/a.o", "fs/other.c"), None);
        assert_eq!(SavedCommand::parse("", "fs/a.o", "fs/a.c"), None);
        let linked = "cmd_fs/a.o := ld -r -o fs/a.o fs/b.o\n";
        assert_eq!(SavedCommand::parse(linked, "fs/a.o", "fs/a.c"), None);
        let unexpanded = RECORD.replacen("-g", "-g $(FLAGS)", 1);
        assert_eq!(SavedCommand::parse(&unexpanded, "fs/a.o", "fs/a.c"), None);
    }

    #[test]
    fn livepatch_flags_are_added_once_and_before_the_files_own() {
        let saved = SavedCommand::parse(RECORD, "fs/a.o", "fs/a.c").expect("a compilation");
        let once = saved.with_livepatch_flags().expect("a command of Kbuild");
        assert!(once.shell.contains(&format!("    {COMPILE_FLAGS} -DKBUILD_MODFILE=")));
        assert_eq!(once.clone().with_livepatch_flags(), Some(once));
    }
}
