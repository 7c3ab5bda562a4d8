//! What several patches of one request do to one thing, by their texts alone: the build compares what
//! was before the first with what the last one leaves, and no patch shows both.

use std::collections::{HashMap, HashSet};

use super::{
    item::Key,
    report::FileReport,
    rule::{Level, Rule},
};

/// Lowers to a doubt what is refused of things that another patch changes, too: it may be new by that
/// one, or be put back. `touched` names the things of each file by its index in `files`.
pub(super) fn soften(touched: &[(usize, Vec<Key>)], files: &mut [FileReport]) {
    let mut patches: HashMap<(String, &Key), HashSet<usize>> = HashMap::new();
    for (file, keys) in touched {
        for key in keys.iter().filter(|(_, name)| !name.is_empty()) {
            patches.entry((files[*file].path.clone(), key)).or_default().insert(*file);
        }
    }
    for (file, _) in touched {
        let path = files[*file].path.clone();
        for finding in &mut files[*file].findings {
            let Some(key) = &finding.item else { continue };
            let is_shared =
                patches.get(&(path.clone(), key)).is_some_and(|patches| patches.len() > 1);
            if is_shared && finding.level == Level::Refused && hangs_on_both_sides(finding.rule) {
                finding.level = Level::Unsure;
                finding.subject += "; another patch changes it, too";
            }
        }
    }
}

/// Whether a rule is about what something was, and not only about what it is.
fn hangs_on_both_sides(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::ChangedData
            | Rule::ConstantData
            | Rule::SectionData
            | Rule::DataStructure
            | Rule::StaticLocalRemoved
            | Rule::ExportedSignature
    )
}
