//! Programs that run while the kernel is built, and may generate code of it.

use std::collections::BTreeSet;

use camino::Utf8Path;

use crate::untrusted_file::read_untrusted_below;

/// The largest Makefile that is read, in bytes; the largest of Linux 7.3 has some 80 kB.
const MAKEFILE_BYTES: u64 = 1024 * 1024;

/// Whether the Makefile beside a file makes programs at all; they may include it.
pub(super) fn has_host_programs(tree: &Utf8Path, path: &str) -> bool {
    makefiles(tree, path).any(|text| mentions_host_programs(&text))
}

/// Whether the Makefile beside a C file makes a program of it.
pub(super) fn is_part_of_a_host_program(tree: &Utf8Path, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    makefiles(tree, path).any(|text| mentions_host_programs(&text) && makes_program_of(&text, stem))
}

fn makefiles(tree: &Utf8Path, path: &str) -> impl Iterator<Item = String> {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    ["Makefile", "Kbuild"].into_iter().filter_map(move |name| {
        let text = read_untrusted_below(tree, &format!("{directory}/{name}"), MAKEFILE_BYTES);
        Some(String::from_utf8_lossy(&text.ok()?).replace("\\\n", " "))
    })
}

fn mentions_host_programs(text: &str) -> bool {
    text.contains("hostprogs") || text.contains("userprogs")
}

/// Whether `stem` is a program or one of its parts. Where a variable is among the names of these,
/// every word of the Makefile may be.
fn makes_program_of(text: &str, stem: &str) -> bool {
    let assignments: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim_end_matches([':', '+', '?']).trim(), value))
        .collect();
    let of = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<&str> {
        let wanted = assignments.iter().filter(|(name, _)| is_wanted(name));
        wanted.flat_map(|(_, value)| value.split_whitespace()).collect()
    };
    let programs = of(&|name| name.starts_with("hostprogs") || name.starts_with("userprogs"));
    let parts = of(&|name| {
        let program = name.rsplit_once('-').map(|(program, _)| program);
        program.is_some_and(|program| programs.contains(&program))
    });
    let named: BTreeSet<&str> = programs.iter().chain(&parts).copied().collect();
    // Programs that no line lists by itself, or that a variable stands for.
    if programs.is_empty() || named.iter().any(|word| word.contains('$')) {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c));
        return words.any(|word| word == stem);
    }
    named.iter().any(|word| *word == stem || word.strip_suffix(".o") == Some(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_their_parts_are_told_from_the_kernel_s_own_objects() {
        let text = "hostprogs := mktables\nhostprogs-always-$(CONFIG_X) += mkmap\n\
            mkmap-objs := map.o \\\n\treader.o\nobj-$(CONFIG_R) += radeon.o\n"
            .replace("\\\n", " ");
        for stem in ["mktables", "mkmap", "map", "reader"] {
            assert!(makes_program_of(&text, stem), "{stem}");
        }
        assert!(!makes_program_of(&text, "radeon"));
        // What a variable stands for nobody knows.
        assert!(makes_program_of("hostprogs := $(progs)\nprogs := one\n", "one"));
    }
}
