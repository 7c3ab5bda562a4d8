//! Why a base may differ from its target.

use elivepatch_elf::{CodeFit, DifferenceKind};
use elivepatch_model::{Failure, FailureClass};

/// Differences that a failure lists.
const LISTED: usize = 20;

/// An object that differs.
pub(super) struct Differing {
    pub object: String,
    pub parent: String,
    pub fit: CodeFit,
    /// What the compiler of the object says of itself.
    pub compiler: Option<String>,
}

/// The failure for objects that differ; `banner` is the target's text of /proc/version, which names
/// its compiler.
pub(super) fn does_not_fit(differing: &[Differing], banner: Option<&str>) -> Failure {
    let differences = differing
        .iter()
        .flat_map(|one| one.fit.differences.iter().map(move |difference| (one, difference)));
    let mut lines: Vec<String> = differences
        .map(|(one, difference)| {
            let place = match one.parent.as_str() {
                "vmlinux" => one.object.clone(),
                module => format!("{} of the module {module}", one.object),
            };
            format!("{} in {place}: {}", difference.function, difference.kind)
        })
        .collect();
    let number = lines.len();
    let compared: usize = differing.iter().map(|one| one.fit.equal.len()).sum::<usize>() + number;
    let first = lines.first().cloned().unwrap_or_default();
    lines.truncate(LISTED);
    if number > LISTED {
        lines.push(format!("… and {} more", number - LISTED));
    }
    let cause = cause(differing, number, compared, banner);
    lines.push(format!("likely cause: {cause}"));
    Failure::new(
        FailureClass::BaseDoesNotFit,
        format!(
            "the base does not fit the target: {number} of {compared} functions differ; {first}"
        ),
        format!("likely cause: {cause}"),
    )
    .with_details(lines)
}

fn cause(differing: &[Differing], number: usize, compared: usize, banner: Option<&str>) -> String {
    let ours = differing.iter().find_map(|one| one.compiler.as_deref());
    if let (Some(ours), Some(banner)) = (ours, banner) {
        // `GCC: (Debian 12.2.0-14+deb12u1) 12.2.0`; the banner has the same without `GCC: `.
        let version = ours.split_once(": ").map_or(ours, |(_, version)| version);
        if !banner.contains(version) {
            return format!("another compiler: the base's is {ours}, and the target is {banner}");
        }
    }
    let kinds = differing.iter().flat_map(|one| &one.fit.differences);
    let missing = kinds.filter(|one| one.kind == DifferenceKind::Missing).count();
    if missing * 2 > number {
        return "a config option: the target's kernel has other functions in these files"
            .to_owned();
    }
    // What changes how all is compiled, changes most of it; small files have few functions.
    if number * 2 <= compared {
        return "a patch that the target's kernel was built with, and the base's source lacks \
                (a baseline patch), or one that it has in excess"
            .to_owned();
    }
    "an option of the config or of the compiler: most of the code differs".to_owned()
}

#[cfg(test)]
mod tests {
    use elivepatch_elf::CodeDifference;

    use super::*;

    fn differing(equal: usize, different: usize, kind: DifferenceKind) -> Vec<Differing> {
        let differences = (0..different)
            .map(|number| CodeDifference { function: format!("f{number}"), kind: kind.clone() });
        let fit = CodeFit {
            equal: vec!["same".to_owned(); equal],
            differences: differences.collect(),
            ..CodeFit::default()
        };
        let compiler = Some("GCC: (Debian 12.2.0-14+deb12u1) 12.2.0".to_owned());
        vec![Differing { object: "fs/a.o".to_owned(), parent: "vmlinux".to_owned(), fit, compiler }]
    }

    const BANNER: &str =
        "Linux version 6.1.0 (x@y) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, GNU ld 2.40) #1";

    fn byte() -> DifferenceKind {
        DifferenceKind::Byte { offset: 0x12, object: 0x74, image: 0x75 }
    }

    #[test]
    fn failure_names_function_place_number_and_a_baseline_patch() {
        let failure = does_not_fit(&differing(99, 1, byte()), Some(BANNER));
        assert_eq!(failure.class, FailureClass::BaseDoesNotFit);
        assert_eq!(
            failure.message,
            "the base does not fit the target: 1 of 100 functions differ; f0 in fs/a.o: at offset \
             0x12 it is compiled to 0x74, and the target has 0x75"
        );
        assert!(failure.hint.contains("baseline patch"), "{}", failure.hint);
    }

    #[test]
    fn other_patch_level_of_the_compiler_is_named() {
        let other = BANNER.replace("12.2.0-14+deb12u1", "12.2.0-14");
        let failure = does_not_fit(&differing(99, 1, byte()), Some(&other));
        assert!(
            failure
                .hint
                .contains("another compiler: the base's is GCC: (Debian 12.2.0-14+deb12u1)")
        );
    }

    #[test]
    fn many_differences_come_of_options_and_are_listed_up_to_a_limit() {
        let failure = does_not_fit(&differing(5, 50, byte()), Some(BANNER));
        assert!(failure.hint.contains("most of the code differs"), "{}", failure.hint);
        assert_eq!(failure.details.len(), LISTED + 2);
        assert_eq!(failure.details[LISTED], "… and 30 more");
        let failure = does_not_fit(&differing(5, 3, DifferenceKind::Missing), None);
        assert!(failure.hint.contains("a config option"), "{}", failure.hint);
    }
}
