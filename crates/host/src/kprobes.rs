//! The kprobes that may keep a livepatch out.
//!
//! A kprobe at the beginning of a function goes through ftrace, as a livepatch does. One with a post handler, such as
//! fail_function's, redirects the function, and a second redirection is refused (EBUSY). The list does not say which
//! have one.

use std::collections::BTreeSet;

use crate::{Machine, ModuleFile, PatchedFunction};

/// Where the kernel lists them, for root, and where debugfs is mounted (`kernel/kprobes.c`).
const LIST: &str = "sys/kernel/debug/kprobes/list";

/// The functions of a livepatch that have a kprobe at their beginning, in words. Empty also where the kernel's list
/// cannot be read.
pub fn probed(machine: &Machine, module: &ModuleFile) -> Vec<String> {
    let list = machine.text(LIST).unwrap_or_default();
    let probes: BTreeSet<(&str, &str)> = list.lines().filter_map(at_beginning).collect();
    let has_probe = |function: &&PatchedFunction| {
        probes.contains(&(function.object.as_str(), function.name.as_str()))
    };
    module.functions.iter().filter(has_probe).map(ToString::to_string).collect()
}

/// Object and function of a line such as
/// `ffffffff81234560  k  meminfo_proc_show+0x0    [FTRACE]`, where a module's name may stand before the flags.
fn at_beginning(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace().skip(2);
    let (name, _offset) = words.next()?.rsplit_once('+')?;
    let rest: Vec<&str> = words.collect();
    let has = |flag: &str| rest.iter().any(|word| word.contains(flag));
    if !has("[FTRACE]") || has("[DISABLED]") || has("[GONE]") {
        return None;
    }
    let object = rest.first().filter(|word| !word.starts_with('[')).copied();
    Some((object.unwrap_or("vmlinux"), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_that_go_through_ftrace_and_are_armed_count() {
        for (line, expected) in [
            (
                "ffffffff8134a1c0  k  meminfo_proc_show+0x0    [FTRACE]",
                Some(("vmlinux", "meminfo_proc_show")),
            ),
            ("ffffffffc01ab004  r  ext4_open+0x4  ext4 [FTRACE]", Some(("ext4", "ext4_open"))),
            ("ffffffff8134a1c0  k  meminfo_proc_show+0x0    [DISABLED][FTRACE]", None),
            ("ffffffff8134a1d5  k  meminfo_proc_show+0x15    [OPTIMIZED]", None),
            ("ffffffffc01ab004  k  gone+0x0  ext4 [GONE][FTRACE]", None),
            ("", None),
            ("no line of the kernel's", None),
        ] {
            assert_eq!(at_beginning(line), expected, "{line}");
        }
    }
}
