//! What goes away in one hunk or file and comes in another one: each of them sees half of it, and
//! only both together tell that it changes on the way.

use std::collections::HashMap;

use super::{
    judge::Lonely,
    report::{FileReport, Finding},
    rule::Level,
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
