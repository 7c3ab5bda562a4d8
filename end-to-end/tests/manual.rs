//! The manual's pages, read by the programs that show them, and completions in the shells themselves.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use elivepatch_end_to_end::program;

/// Both programs, with the section of their pages.
const PROGRAMS: [(&str, &str); 2] = [("elivepatch", "1"), ("elivepatch-server", "8")];

/// 2026-02-03.
const DAY: &str = "1770076800";

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {said}");
    said
}

/// Has both programs write their pages below a directory.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for (name, section) in PROGRAMS {
        let mut command = Command::new(program(name));
        run(command.arg("man").arg("--output").arg(directory).env("SOURCE_DATE_EPOCH", DAY));
        let directory = fs::read_dir(directory.join(format!("man{section}"))).expect("pages");
        pages.extend(directory.map(|entry| entry.expect("a page").path()));
    }
    assert!(pages.len() > 60, "{} pages", pages.len());
    pages
}

/// A page as it is shown, without what makes letters bold: they are written twice, with a step back between.
fn shown(page: &Path) -> String {
    let mut plain = String::new();
    for letter in run(Command::new("mandoc").args(["-T", "utf8"]).arg(page)).chars() {
        match letter {
            '\u{8}' => drop(plain.pop()),
            letter => plain.push(letter),
        }
    }
    plain
}

/// The completions of a program for a shell, in a file.
fn completions(directory: &Path, program_name: &str, shell: &str, file: &str) -> PathBuf {
    let text = run(Command::new(program(program_name)).args(["completions", shell]));
    let path = directory.join(file);
    fs::write(&path, text).expect("written");
    path
}

#[test]
fn pages_are_read_without_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    for page in pages(directory.path()) {
        let said = run(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&page));
        assert_eq!(said, "", "mandoc");
        // As lintian has it.
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(&page);
        let Output { status, stderr, .. } =
            man.env("MANWIDTH", "80").env("MANROFFSEQ", "").output().expect("man runs");
        assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    }
}

#[test]
fn pages_say_more_than_the_options_and_name_only_pages_that_are_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let pages = pages(directory.path());
    let names: BTreeSet<String> = pages
        .iter()
        .map(|page| page.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    for page in &pages {
        let plain = shown(page);
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES"]
        {
            assert!(
                plain.lines().any(|line| line == heading),
                "{page:?} has no {heading}: {plain}"
            );
        }
        assert!(plain.contains("February 3, 2026") || plain.contains("2026-02-03"), "{plain}");
        let others = plain.split("\nSEE ALSO\n").nth(1).unwrap_or_default();
        let words = others.split(|letter: char| letter.is_whitespace() || letter == ',');
        for word in words.filter(|word| word.starts_with("elivepatch") && word.ends_with(')')) {
            let name = word.replace('(', ".").replace(')', "");
            assert!(names.contains(&name), "{page:?} names {word}, which is not there");
        }
    }
    let build = shown(&directory.path().join("man1/elivepatch-build.1"));
    for wanted in ["ELIVEPATCH_URL", "ELIVEPATCH_TOKEN", "/proc/config.gz", "130"] {
        assert!(build.contains(wanted), "{wanted}: {build}");
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let directory = tempfile::tempdir().expect("a directory");
    let complete = |program_name: &str, words: &[&str]| {
        let file = completions(directory.path(), program_name, "bash", program_name);
        run(Command::new("bash").arg("-n").arg(&file));
        // What readline does: it asks for the function, and calls it.
        let script = r#"source "$1"; shift
            [[ $(complete -p "$1") =~ -F\ ([^ ]+) ]] || exit 1
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            "${BASH_REMATCH[1]}" "$1" "${@: -1}" "${@: -2:1}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", script, "bash"]).arg(&file).arg(program_name).args(words);
        run(&mut command).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("elivepatch", &["--pat"]), ["--patch"]);
    assert_eq!(complete("elivepatch", &["build", "--pat"]), ["--patch"]);
    assert_eq!(complete("elivepatch", &["build", "--engine", "klp"]), ["klp-build"]);
    assert_eq!(complete("elivepatch", &["rev"]), ["revert"]);
    assert_eq!(complete("elivepatch", &["gua"]), [""], "hidden commands are not offered");
    assert_eq!(complete("elivepatch-server", &["host", "assignm"]), ["assignments"]);
    assert_eq!(complete("elivepatch-server", &["token", "create", "--ro"]), ["--role"]);
}

#[test]
fn fish_completes_commands_and_options() {
    let directory = tempfile::tempdir().expect("a directory");
    let complete = |program_name: &str, line: &str| {
        let file = completions(directory.path(), program_name, "fish", "completions.fish");
        run(Command::new("fish").arg("--no-execute").arg(&file));
        let mut command = Command::new("fish");
        command.args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"]);
        run(command.arg(&file).arg(line).env("HOME", directory.path()))
    };
    assert!(complete("elivepatch", "elivepatch build --pat").starts_with("--patch\t"));
    assert!(complete("elivepatch", "elivepatch rev").starts_with("revert\t"));
    assert!(
        complete("elivepatch-server", "elivepatch-server host assignm")
            .starts_with("assignments\t")
    );
}

#[test]
fn zsh_completes_commands_and_options() {
    let directory = tempfile::tempdir().expect("a directory");
    // zsh completes only what somebody types: a terminal of its own, and what stands on it in the end.
    let script = r#"zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell "PS1= PS2= RPS1=; unset zle_bracketed_paste; stty -echo"
        zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; print rea''dy"
        zpty -r -m shell seen '*ready*' || exit 1
        zpty -n -w shell $2$'\t'
        zpty -r -m shell seen "*$3*" || exit 1
        print -r -- $seen"#;
    for (program_name, _) in PROGRAMS {
        let file = completions(directory.path(), program_name, "zsh", &format!("_{program_name}"));
        run(Command::new("zsh").args(["-f", "-n"]).arg(&file));
    }
    for (typed, wanted) in [
        ("elivepatch build --pat", "--patch"),
        ("elivepatch rev", "revert"),
        ("elivepatch-server host assignm", "assignments"),
    ] {
        let mut command = Command::new("timeout");
        command.args(["60", "zsh", "-f", "-c", script, "zsh"]).arg(directory.path());
        let seen =
            run(command.args([typed, wanted]).env("HOME", directory.path()).env("TERM", "dumb"));
        assert!(seen.contains(wanted), "{seen}");
    }
}
