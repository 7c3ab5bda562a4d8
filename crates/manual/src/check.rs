use std::collections::BTreeSet;

use clap::Command;

use crate::pages::{Manual, page_names};

/// What ends the words of a command line in an example.
const AFTER_THE_COMMAND: [&str; 2] = [">", "|"];

/// What is wrong with the pages of a manual, for the tests of the programs: commands that are shown and have no page or
/// two, pages of no command, pages without examples, examples that are no command line of their command, and pages of
/// this section that are named and are not there.
pub fn problems(command: &Command, manual: &Manual) -> Vec<String> {
    let names = page_names(command.clone(), manual);
    let commands: BTreeSet<&str> = names.iter().map(|(_, words)| words.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for page in &manual.pages {
        let called = page.command;
        if !commands.contains(called) {
            problems.push(format!("“{called}” is no command that is shown"));
        }
        if !seen.insert(called) {
            problems.push(format!("“{called}” has two pages"));
        }
        if page.examples.is_empty() {
            problems.push(format!("“{called}” has no example"));
        }
        for (line, _) in page.examples {
            let words =
                line.split_whitespace().take_while(|word| !AFTER_THE_COMMAND.contains(word));
            let words: Vec<&str> = words.collect();
            let rest = words[1..].join(" ");
            if !(rest == called || called.is_empty() || rest.starts_with(&format!("{called} "))) {
                problems.push(format!("“{called}” has an example of another command: {line}"));
            }
            if let Err(error) = command.clone().try_get_matches_from(&words) {
                problems.push(format!("{line}: {error}"));
            }
        }
        let here =
            page.see_also.iter().filter(|other| other.ends_with(&format!("({})", manual.section)));
        for other in here {
            let file = other.replace('(', ".").replace(')', "");
            if !names.iter().any(|(name, _)| *name == file) {
                problems.push(format!("“{called}” names {other}, which is no page"));
            }
        }
    }
    let missing = commands.iter().filter(|command| !seen.contains(*command));
    problems.extend(missing.map(|command| format!("“{command}” has no page")));
    problems
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;
    use crate::Page;

    const GOOD: Page = Page {
        command: "sow",
        description: "",
        files: &[],
        examples: &[("farm sow --seed rye > field", "Sow.")],
        see_also: &["farm(1)", "barn(8)"],
    };

    fn found(pages: &[Page]) -> Vec<String> {
        let command = Command::new("farm")
            .subcommand(Command::new("sow").arg(Arg::new("seed").long("seed")))
            .subcommand(Command::new("sowing").hide(true));
        let root = Page { command: "", examples: &[("farm sow", "Sow.")], ..GOOD };
        let pages = [root].iter().chain(pages).copied().collect();
        problems(&command, &Manual { section: "1", environment: &[], pages })
    }

    #[test]
    fn each_thing_that_is_wrong_with_a_manual_is_told() {
        assert_eq!(found(&[GOOD]), [""; 0]);
        assert_eq!(found(&[]), ["“sow” has no page"]);
        assert_eq!(found(&[GOOD, GOOD]), ["“sow” has two pages"]);
        assert_eq!(found(&[Page { examples: &[], ..GOOD }]), ["“sow” has no example"]);
        assert_eq!(
            found(&[Page { see_also: &["farm-reap(1)"], ..GOOD }]),
            ["“sow” names farm-reap(1), which is no page"]
        );
        assert_eq!(
            found(&[GOOD, Page { command: "reap", examples: &[("farm reap", "")], ..GOOD }])[0],
            "“reap” is no command that is shown"
        );
        assert_eq!(
            found(&[Page { examples: &[("farm sowing", "")], ..GOOD }]),
            ["“sow” has an example of another command: farm sowing"]
        );
        let wrong_option = found(&[Page { examples: &[("farm sow --sed rye", "")], ..GOOD }]);
        assert!(wrong_option[0].starts_with("farm sow --sed rye: error: unexpected argument"));
    }
}
