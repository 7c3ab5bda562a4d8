//! `docs/failures.md` lists every failure class as the code has it. What a reader can do about a
//! class is written by hand, in the last column, and kept when the table is made anew:
//! `UPDATE_DOCS=1 cargo test -p elivepatch-model --test failures_document`

use std::{collections::BTreeMap, fs, path::PathBuf};

use elivepatch_model::{FailureClass, Fault};

const HEADER: &str = "| class | fault | when it happens | what you can do |\n\
    | --- | --- | --- | --- |\n";

#[test]
fn failure_classes_are_documented_as_the_code_has_them() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/failures.md");
    let document = fs::read_to_string(&path).expect("docs/failures.md");
    let start = document.find(HEADER).expect("docs/failures.md has the table's header");
    let end = document[start..].find("\n\n").map_or(document.len(), |length| start + length + 1);
    let table = &document[start..end];
    let expected = table_of(&advice_in(table));
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        let text = format!("{}{expected}{}", &document[..start], &document[end..]);
        fs::write(&path, text).expect("docs/failures.md is written");
    } else {
        assert_eq!(
            table, expected,
            "docs/failures.md is not what the code says; run \
             UPDATE_DOCS=1 cargo test -p elivepatch-model --test failures_document"
        );
    }
    for (class, advice) in advice_in(&expected) {
        assert!(!advice.is_empty(), "docs/failures.md: write what a reader can do about {class}");
    }
}

/// The last column by class.
fn advice_in(table: &str) -> BTreeMap<String, String> {
    table[HEADER.len()..]
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let class = cells.first()?.trim_matches('`').to_owned();
            Some((class, cells.get(3..).unwrap_or_default().join(" | ")))
        })
        .collect()
}

fn table_of(advice: &BTreeMap<String, String>) -> String {
    let rows = FailureClass::ALL.iter().map(|class| {
        let advice = advice.get(class.as_str()).map_or("", String::as_str);
        let description = class.description();
        format!("| `{class}` | {} | {description} | {advice} |\n", fault(class.fault()))
    });
    rows.fold(HEADER.to_owned(), |table, row| table + &row)
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Request => "request",
        Fault::Patch => "patch",
        Fault::Infrastructure => "infrastructure",
    }
}
