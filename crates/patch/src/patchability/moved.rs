//! What goes away in one hunk or file and comes in another one: each of them sees half of it, and
//! only both together tell that it changes on the way.

use std::collections::HashMap;

use super::{
    judge::Lonely,
    report::{FileReport, Finding},
    rule::{Level, Rule},
};

/// How many things of one name are compared: under `#ifdef` there may be several, and no real patch
/// takes away more than a few.
const SAME_NAME: usize = 32;

/// Adds a doubt for each thing that is not the same where it comes. `alone` names the file of each
/// by its index in `files`.
pub(super) fn judge(alone: &[(usize, Lonely)], files: &mut [FileReport]) {
    let mut gone: HashMap<_, Vec<&(usize, Lonely)>> = HashMap::new();
    for entry in alone.iter().filter(|(_, lonely)| !lonely.is_added) {
        gone.entry(&entry.1.key).or_default().push(entry);
    }
    for (file, added) in alone.iter().filter(|(_, lonely)| lonely.is_added) {
        let mut of_name = gone.get(&added.key).into_iter().flatten().take(SAME_NAME);
        let differs = of_name.any(|(from, removed)| {
            (!added.is_of_file || files[*from].path == files[*file].path)
                && removed.essence != added.essence
        });
        if differs {
            let subject =
                format!("{} goes away in one place and comes changed in another", added.what);
            let finding = Finding::new(added.rule, Level::Unsure, added.patch_line, subject);
            let findings = &mut files[*file].findings;
            findings.push(finding);
            findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.patch_line));
        }
    }
}

/// Adds a doubt for each structure that goes away where others come: one of them may be the same
/// under another name, with another layout, and the build compares layouts by name.
pub(super) fn judge_renamed(alone: &[(usize, Lonely)], files: &mut [FileReport]) {
    let structures = |is_added: bool| {
        let of_side = alone.iter().filter(move |(_, lonely)| lonely.is_added == is_added);
        of_side.filter(|(_, lonely)| lonely.rule == Rule::DataStructure)
    };
    let added: HashMap<_, _> = structures(true).map(|(_, lonely)| (&lonely.key, lonely)).collect();
    let gone: HashMap<_, _> = structures(false).map(|(_, lonely)| (&lonely.key, lonely)).collect();
    let Some(new) =
        added.values().filter(|new| !gone.contains_key(&new.key)).map(|new| &new.what).min()
    else {
        return;
    };
    for (file, old) in structures(false).filter(|(_, old)| !added.contains_key(&old.key)) {
        let subject = format!(
            "{} goes away and {new} is new: if it takes its place, objects that exist keep the old \
             layout",
            old.what
        );
        let finding = Finding::new(Rule::DataStructure, Level::Unsure, old.patch_line, subject);
        let findings = &mut files[*file].findings;
        findings.push(Finding { noticed_by_build: false, ..finding });
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.patch_line));
    }
}
