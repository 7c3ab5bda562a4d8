//! The form of the documentation: blocks, marks, links, and the book's table of contents.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use elivepatch_docs::{Mark, Page, Place, anchors, links, pages, repository};

/// What may stand behind an opening fence.
const LANGUAGES: [&str; 10] =
    ["c", "console", "crontab", "ini", "json", "nginx", "sh", "text", "toml", "diff"];

const HOW_TO_MARK: &str = "put <!-- run: server|host|client|package --> before it, or <!-- not run: REASON -->; \
     crates/docs/src/lib.rs has the marks";

#[test]
fn every_block_says_what_it_is_and_every_command_where_it_is_run() {
    let mut wrong = Vec::new();
    let mut not_run = Vec::new();
    for block in pages().iter().flat_map(|page| &page.blocks) {
        if !LANGUAGES.contains(&block.language.as_str()) {
            wrong.push(format!(
                "{block}: the language is {:?}, not one of {LANGUAGES:?}",
                block.language
            ));
        }
        match &block.mark {
            Some(Mark::Unknown(mark)) => {
                wrong.push(format!("{block}: {mark:?} is no mark; {HOW_TO_MARK}"))
            }
            Some(Mark::NotRun(reason)) if reason.split_whitespace().count() < 3 => {
                wrong.push(format!("{block}: why is it not run? {reason:?} does not say it"));
            }
            Some(Mark::NotRun(reason)) => not_run.push(format!("{block}: {reason}")),
            Some(Mark::Run { .. }) if !block.is_commands() => {
                wrong.push(format!("{block}: {:?} is not run", block.language));
            }
            Some(Mark::Run { place: Place::Package, .. }) if block.page != "docs/install.md" => {
                wrong.push(format!("{block}: scripts/install-guide.sh reads docs/install.md only"));
            }
            None if block.is_commands() => {
                wrong.push(format!("{block}: commands without a mark; {HOW_TO_MARK}"))
            }
            _ => {}
        }
    }
    println!("not run ({}):\n{}", not_run.len(), not_run.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_shown_by_indentation() {
    let mut wrong = Vec::new();
    for page in pages() {
        // A list goes on until a line that begins at the left.
        let (mut in_list, mut after_blank) = (false, true);
        for (number, line) in page.prose().lines().enumerate() {
            let is_item = |text: &str| {
                let text = text.trim_start();
                let digits = text.trim_start_matches(|first: char| first.is_ascii_digit());
                text.starts_with("- ") || digits.len() < text.len() && digits.starts_with(". ")
            };
            if line.starts_with("    ") && after_blank && !in_list {
                wrong.push(format!("{}:{}: fence this block", page.path, number + 1));
            }
            after_blank = line.trim().is_empty();
            in_list = is_item(line) || in_list && (after_blank || line.starts_with(' '));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let pages = pages();
    let headings: BTreeMap<String, Vec<String>> =
        pages.iter().map(|page| (page.path.clone(), anchors(page))).collect();
    let mut wrong = Vec::new();
    for page in &pages {
        for (line, target) in links(page) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let directory = Path::new(&page.path).parent().expect("it has one");
            let path =
                if file.is_empty() { page.path.clone() } else { resolved(&directory.join(file)) };
            if !repository().join(&path).exists() {
                wrong.push(format!("{}:{line}: there is no {path}", page.path));
            } else if !anchor.is_empty()
                && !headings.get(&path).is_some_and(|there| there.iter().any(|own| own == anchor))
            {
                wrong.push(format!("{}:{line}: {path} has no heading for #{anchor}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_docs_is_once_in_the_table_of_contents() {
    let summary = Page::read("docs/SUMMARY.md");
    let mut listed: Vec<String> =
        links(&summary).into_iter().map(|(_, target)| format!("docs/{target}")).collect();
    listed.sort();
    let mut there: Vec<String> = pages().into_iter().map(|page| page.path).collect();
    there.retain(|path| path.starts_with("docs/") && path != "docs/SUMMARY.md");
    assert_eq!(listed, there, "left: docs/SUMMARY.md; right: the pages");
}

/// The path without `..`.
fn resolved(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.to_str().expect("UTF-8").to_owned()
}
