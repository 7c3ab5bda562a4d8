//! Every dependency must be usable in a program under GPL-2.0-or-later. CONTRIBUTING.md has the
//! rule and its reason.

use std::process::Command;

use serde_json::Value;

/// Licences that go with the GPL, version 3 at the latest: Apache-2.0 does not go with version 2.
const COMPATIBLE: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "GPL-2.0-or-later",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The only platform that is built for; crates for others are neither compiled nor shipped.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

#[test]
fn every_dependency_has_a_licence_that_goes_with_ours() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", PLATFORM])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    assert!(packages.len() > 50, "cargo lists only {} packages", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_compatible))
        .map(|package| {
            format!("{} {}: {}", package["name"], package["version"], package["license"])
        })
        .collect();
    assert!(refused.is_empty(), "see CONTRIBUTING.md, Dependencies:\n{}", refused.join("\n"));
}

/// Whether an SPDX expression leaves a choice that is compatible. `/` is the older way to say OR.
fn is_compatible(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) == Some(true) && rest.is_empty()
}

/// `ALL OR ALL …`; AND binds closer. `None` when it cannot be read.
fn any_of(words: &mut &[&str]) -> Option<bool> {
    let mut compatible = all_of(words)?;
    while take(words, "OR") {
        compatible |= all_of(words)?;
    }
    Some(compatible)
}

fn all_of(words: &mut &[&str]) -> Option<bool> {
    let mut compatible = licence(words)?;
    while take(words, "AND") {
        compatible &= licence(words)?;
    }
    Some(compatible)
}

fn licence(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let compatible = any_of(words)?;
        return take(words, ")").then_some(compatible);
    }
    let name = next(words)?;
    if !take(words, "WITH") {
        return Some(COMPATIBLE.contains(&name));
    }
    let exception = next(words)?;
    Some(COMPATIBLE.contains(&format!("{name} WITH {exception}").as_str()))
}

fn next<'a>(words: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    Some(first)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let found = words.first() == Some(&word);
    if found {
        *words = &words[1..];
    }
    found
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for compatible in ["MIT", "MIT/Apache-2.0", "(MIT OR X) AND ISC", "X OR MIT AND ISC"] {
        assert!(is_compatible(compatible), "{compatible}");
    }
    for other in ["X", "", "MIT AND X", "MIT OR X AND", "(MIT", "MIT WITH X", "MIT ISC"] {
        assert!(!is_compatible(other), "{other}");
    }
}
