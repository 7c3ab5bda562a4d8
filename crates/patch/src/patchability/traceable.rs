//! What a directory's Makefile says about a file: compiled without tracing, or left out.
//!
//! Makefiles are a language of their own. Only plain lines are understood, and what they say is a
//! hint: which objects hold a file's code is asked of the base when it is built.

use elivepatch_model::{ConfigValue, KernelConfig};

use super::{
    SourceTree,
    report::Finding,
    rule::{Level, Rule},
};
use crate::{FilePatch, TreePath};

/// Files and directories that Linux 6.1 compiles without `-pg` on x86: their functions cannot be
/// redirected. Later versions differ in a few; with the source at hand its own Makefile is read.
const UNTRACED: [&str; 27] = [
    "arch/x86/coco/core.c",
    "arch/x86/entry/common.c",
    "arch/x86/kernel/cpu/common.c",
    "arch/x86/kernel/cpu/perf_event.c",
    "arch/x86/kernel/early_printk.c",
    "arch/x86/kernel/ftrace.c",
    "arch/x86/kernel/head64.c",
    "arch/x86/kernel/kvmclock.c",
    "arch/x86/kernel/paravirt-spinlocks.c",
    "arch/x86/kernel/pvclock.c",
    "arch/x86/kernel/rethook.c",
    "arch/x86/kernel/sev.c",
    "arch/x86/kernel/tsc.c",
    "arch/x86/lib/cmdline.c",
    "arch/x86/lib/delay.c",
    "arch/x86/mm/mem_encrypt.c",
    "arch/x86/mm/mem_encrypt_amd.c",
    "arch/x86/mm/mem_encrypt_identity.c",
    "arch/x86/mm/pgprot.c",
    "arch/x86/xen/irq.c",
    "arch/x86/xen/spinlock.c",
    "arch/x86/xen/time.c",
    "kernel/irq_work.c",
    "kernel/kcsan/",
    "kernel/locking/lockdep",
    "kernel/trace/",
    "mm/kasan/",
];

/// The longest Makefile that is read, in bytes; the longest of Linux 7.3 has under 60 kB.
const MAKEFILE_BYTES: usize = 1024 * 1024;

/// What the Makefile, or else our table, says about a file.
pub(super) fn findings(
    file: &FilePatch,
    tree: Option<&dyn SourceTree>,
    config: Option<&KernelConfig>,
) -> Vec<Finding> {
    let path = file.path.as_str();
    let Some(makefile) = tree.and_then(|tree| makefile(tree, path)) else {
        let listed = UNTRACED.iter().any(|prefix| path.starts_with(prefix));
        let subject = || format!("Linux 6.1 compiles {path} without tracing");
        let finding =
            || Finding::new(Rule::NotTraceable, Level::Unsure, file.patch_line, subject());
        return listed.then(finding).into_iter().collect();
    };
    let mut findings = Vec::new();
    let object = object_name(path);
    if is_untraced(&makefile, &object) {
        let subject = format!("its Makefile compiles {path} without tracing");
        findings.push(Finding::new(Rule::NotTraceable, Level::Refused, file.patch_line, subject));
    }
    if let Some((option, config)) = option_of(&makefile, &object).zip(config)
        && !matches!(config.value(&option), Some(ConfigValue::Yes | ConfigValue::Module))
    {
        let subject = format!("its Makefile builds {object} with CONFIG_{option}, which is off");
        findings.push(Finding::new(Rule::NotBuilt, Level::Unsure, file.patch_line, subject));
    }
    findings
}

fn makefile(tree: &dyn SourceTree, path: &str) -> Option<String> {
    let directory = path.rsplit_once('/').map(|(directory, _)| format!("{directory}/"));
    let directory = directory.unwrap_or_default();
    let read = |name: &str| tree.read(&TreePath::new(&format!("{directory}{name}")).ok()?);
    let bytes = read("Makefile").or_else(|| read("Kbuild"))?;
    (bytes.len() <= MAKEFILE_BYTES).then(|| String::from_utf8_lossy(&bytes).replace("\\\n", " "))
}

fn object_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    format!("{}.o", name.strip_suffix(".c").unwrap_or(name))
}

fn removes_tracing(value: &str) -> bool {
    value.contains("CC_FLAGS_FTRACE") || value.split_whitespace().any(|word| word == "-pg")
}

fn is_untraced(makefile: &str, object: &str) -> bool {
    let own = format!("CFLAGS_REMOVE_{object}");
    makefile.lines().filter_map(|line| line.split_once('=')).any(|(name, value)| {
        let name = name.trim_end_matches([' ', '\t', ':', '+', '?']).trim();
        let all = name.starts_with("ccflags-remove-")
            || (name == "KBUILD_CFLAGS"
                && (value.contains("subst") || value.contains("filter-out")));
        (name == own || all) && removes_tracing(value)
    })
}

/// The option of `obj-$(CONFIG_X) += object.o`; `None` when the object is not named so, or always
/// built.
fn option_of(makefile: &str, object: &str) -> Option<String> {
    let mut option = None;
    for line in makefile.lines() {
        let Some((name, value)) = line.split_once("+=").or_else(|| line.split_once(":=")) else {
            continue;
        };
        if !value.split_whitespace().any(|word| word == object) {
            continue;
        }
        let inner =
            name.trim().split_once("$(CONFIG_").and_then(|(_, rest)| rest.strip_suffix(')'));
        // Named twice, or without an option: then no single option decides.
        match (inner, &option) {
            (Some(inner), None) => option = Some(inner.to_owned()),
            _ => return None,
        }
    }
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makefile_tells_untraced_objects() {
        let makefile = "ifdef CONFIG_FUNCTION_TRACER\nCFLAGS_REMOVE_tsc.o = -pg\n\
            CFLAGS_REMOVE_core.o\t:= $(CC_FLAGS_FTRACE)\nendif\n";
        assert!(is_untraced(makefile, "tsc.o"));
        assert!(is_untraced(makefile, "core.o"));
        assert!(!is_untraced(makefile, "traps.o"));
        assert!(is_untraced(
            "ccflags-remove-$(CONFIG_FUNCTION_TRACER) += $(CC_FLAGS_FTRACE)",
            "a.o"
        ));
    }

    #[test]
    fn option_is_named_only_when_it_alone_decides() {
        let makefile = "obj-$(CONFIG_QNX4FS_FS) += qnx4.o\nqnx4-objs := inode.o dir.o\n\
            obj-y += open.o\nobj-$(CONFIG_A) += two.o\nobj-$(CONFIG_B) += two.o\n";
        assert_eq!(option_of(makefile, "qnx4.o").as_deref(), Some("QNX4FS_FS"));
        for object in ["inode.o", "open.o", "two.o", "other.o"] {
            assert_eq!(option_of(makefile, object), None, "{object}");
        }
    }
}
