//! What the messages of the engines' tools mean: kpatch's create-diff-object and create-klp-module
//! (0.9.10 and 0.9.11), and the kernel's `objtool klp` (7.3).
//!
//! Names of symbols and sections within a message are the patch author's, so a message decides
//! about words and class, and about nothing else.

use elivepatch_model::{Failure, FailureClass};

use super::message_rules::{Meaning, RULES, is_verdict, section_class};
use crate::process::Finished;

/// How many lines of a tool are kept as evidence.
const LINES_KEPT: usize = 20;

/// What a tool's successful lines hold, which say nothing of why it refuses.
const PROGRESS: [&str; 3] = [": changed function: ", ": new function: ", ": found callback: "];

/// The failure of a tool that makes the module of what was extracted: what its output means when it
/// is understood, else `link-failed`.
pub(crate) fn link_failure(tool: &str, module: &str, finished: &Finished) -> Failure {
    let text = finished.text();
    if explain(&text).is_some() {
        return tool_failure(tool, module, finished);
    }
    let how = match finished.code() {
        Some(code) => format!("with code {code}"),
        None => "by a signal".to_owned(),
    };
    let class = FailureClass::LinkFailed;
    Failure::new(class, format!("{tool} ended {how} on {module}"), class.hint())
        .with_details(evidence(&text))
}

/// The failure that a tool's output means. `tool` is what ran, `object` what it worked on.
pub(crate) fn tool_failure(tool: &str, object: &str, finished: &Finished) -> Failure {
    let text = finished.text();
    let how = match finished.code() {
        Some(code) => format!("ended with code {code}"),
        None => "crashed".to_owned(),
    };
    let failure = match explain(&text) {
        Some(found) => {
            let message = format!("{} in {object}", found.words);
            let mut failure = Failure::new(found.class, message, found.class.hint());
            if found.class == FailureClass::FunctionNotTraceable {
                failure.functions = found.names;
            }
            failure
        }
        // A tool that stops over what it cannot read must not make the author look for a mistake.
        None if finished.code().is_some() && text.lines().any(is_verdict) => Failure::new(
            FailureClass::NotPatchable,
            format!("{tool} cannot express the change in {object}: it {how}"),
            FailureClass::NotPatchable.hint(),
        ),
        None => Failure::new(
            FailureClass::EngineFailed,
            format!("{tool} {how} on {object}"),
            FailureClass::EngineFailed.hint(),
        ),
    };
    failure.with_details(evidence(&text))
}

/// A message that was understood.
#[derive(Debug, PartialEq, Eq)]
struct Explained {
    class: FailureClass,
    words: String,
    /// What it is about: symbols or sections.
    names: Vec<String>,
}

/// What a tool's output means: of all its messages the one whose rule comes first, with the names of
/// all that are alike.
fn explain(text: &str) -> Option<Explained> {
    let mut found: Vec<(usize, FailureClass, &str, String)> = Vec::new();
    for line in text.lines() {
        let matching = RULES.iter().enumerate().find_map(|(rank, rule)| {
            let names = captures(line, rule.pattern)?;
            let name = names.first().copied().unwrap_or_default().trim();
            let (name, (class, words)) = match rule.meaning {
                Meaning::Class(class, words) => (name, (class, words)),
                Meaning::Section => {
                    let section = name.strip_prefix(".rela").unwrap_or(name);
                    (section, section_class(section))
                }
            };
            Some((rank, class, words, name.to_owned()))
        });
        found.extend(matching.filter(|one| !found.contains(one)));
    }
    let (_, class, words, _) =
        *found.iter().min_by_key(|(rank, class, ..)| (weight(*class), *rank))?;
    let mut names: Vec<&str> = found
        .iter()
        .filter(|(_, other, other_words, _)| (*other, *other_words) == (class, words))
        .map(|(.., name)| name.as_str())
        .collect();
    names.dedup();
    let all = names.iter().map(|name| (*name).to_owned()).collect();
    let more = names.len().saturating_sub(3);
    names.truncate(3);
    let mut name = names.join(", ");
    if more > 0 {
        name.push_str(&format!(" and {more} more"));
    }
    Some(Explained { class, words: words.replace("{}", &name), names: all })
}

/// Of several reasons, the one that is told first: data before code, since leaving out an `__init`
/// hunk is easy and losing data is not.
fn weight(class: FailureClass) -> usize {
    const ORDER: [FailureClass; 4] = [
        FailureClass::DataChanged,
        FailureClass::StaticLocalRemoved,
        FailureClass::InitCode,
        FailureClass::FunctionNotTraceable,
    ];
    ORDER.iter().position(|one| *one == class).unwrap_or(ORDER.len())
}

/// The texts at the `{}` of a pattern, when the line holds all of its other parts in their order.
fn captures<'a>(line: &'a str, pattern: &str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split("{}");
    let first = parts.next()?;
    let mut rest = &line[line.find(first)? + first.len()..];
    let mut names = Vec::new();
    for part in parts {
        let end = if part.is_empty() { rest.len() } else { rest.find(part)? };
        names.push(&rest[..end]);
        rest = &rest[end + part.len()..];
    }
    Some(names)
}

/// The tool's own words, without what it lists as done.
fn evidence(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| !PROGRESS.iter().any(|part| line.contains(part)))
        .collect();
    lines[lines.len().saturating_sub(LINES_KEPT)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
