//! `docs/failures.md` lists every failure class as the code has it; the table is made anew with
//! `UPDATE_DOCS=1 cargo test -p elivepatch-model --test failures_document`

use std::{fs, path::PathBuf};

use elivepatch_model::{FailureClass, Fault};

const HEADER: &str = "| class | fault | when it happens | what you can do |\n\
    | --- | --- | --- | --- |\n";

#[test]
fn failure_classes_are_documented_as_the_code_has_them() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/failures.md");
    let document = fs::read_to_string(&path).expect("docs/failures.md");
    let start = document.find(HEADER).expect("docs/failures.md has the table's header");
    let end = document[start..].find("\n\n").map_or(document.len(), |length| start + length + 1);
    let expected = table();
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        let text = format!("{}{expected}{}", &document[..start], &document[end..]);
        fs::write(&path, text).expect("docs/failures.md is written");
    } else {
        assert_eq!(
            &document[start..end],
            expected,
            "docs/failures.md is not what the code says; run \
             UPDATE_DOCS=1 cargo test -p elivepatch-model --test failures_document"
        );
    }
}

fn table() -> String {
    let rows = FailureClass::ALL.iter().map(|class| {
        let (description, advice) = (class.description(), class.advice());
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

#[test]
fn every_place_that_the_advice_points_to_exists() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");
    // As the anchors of headings are made: small letters, words joined by dashes.
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
    };
    let mut places = 0;
    for class in FailureClass::ALL {
        for link in class.advice().split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let text = fs::read_to_string(format!("{docs}{file}"))
                .unwrap_or_else(|error| panic!("{class}: {file}: {error}"));
            let headings = text.lines().filter(|line| line.starts_with('#'));
            let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
            assert!(place.is_empty() || anchors.any(|found| found == place), "{class}: {target}");
            places += 1;
        }
    }
    assert!(places > 10, "only {places} were looked at");
}
