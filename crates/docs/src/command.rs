//! Finds the command lines of the two programs in shell scripts and in sentences. It knows as much of the shell as the
//! documentation uses.

use clap::{Command, error::ErrorKind};

use crate::{link::codes, page::pages};

/// How one of the two programs is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// `elivepatch` or `elivepatch-server`.
    pub program: String,
    /// What it is given, without redirections and comments.
    pub arguments: Vec<String>,
    /// Page and line.
    pub place: String,
}

/// The two programs.
const PROGRAMS: [&str; 2] = ["elivepatch", "elivepatch-server"];
/// What runs another program that it is given.
const RUNNERS: [&str; 7] =
    ["runuser", "sudo", "ssh", "podman-compose", "nohup", "timeout", "setsid"];

/// The command lines that the documentation shows of a program and that it does not read, each with its page, its line
/// and what the program says.
///
/// # Panics
/// When the documentation shows hardly any, or a page cannot be read.
pub fn unread(program: &Command) -> Vec<String> {
    let [whole, begun] = all_invocations(program.get_name());
    let mut unread = Vec::new();
    for call in whole {
        if let Err(error) = program.clone().try_get_matches_from(call.words()) {
            unread.push(format!("{}: {error}", call.place));
        }
    }
    for call in begun {
        // What it would ask for is missing; what is there must be right.
        let words = call.words().into_iter().chain(["--help".to_owned()]);
        let error = program.clone().try_get_matches_from(words).expect_err("it asks for help");
        if error.kind() != ErrorKind::DisplayHelp {
            unread.push(format!("{}: {error}", call.place));
        }
    }
    unread
}

/// All calls of a program in the documentation: those of blocks, whole, and those within sentences, which are often
/// but the beginning of one.
fn all_invocations(program: &str) -> [Vec<Invocation>; 2] {
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| &page.blocks).filter(|block| block.is_commands());
    let whole = blocks.flat_map(|block| invocations(&block.script(), &block.to_string()));
    let begun = pages.iter().flat_map(|page| {
        let codes = codes(page).into_iter();
        codes.flat_map(|(line, code)| invocations(&code, &format!("{}:{line}", page.path)))
    });
    let of_program = |mut found: Vec<Invocation>| {
        found.retain(|call| call.program == program);
        assert!(found.len() > 10, "the documentation shows {} calls of {program}", found.len());
        found
    };
    [of_program(whole.collect()), of_program(begun.collect())]
}

/// All calls of the two programs in a script.
pub fn invocations(script: &str, place: &str) -> Vec<Invocation> {
    let joined = script.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        for words in simple_commands(line) {
            found.extend(invocation(&words, place));
        }
    }
    found
}

/// The program that a simple command calls, behind variables and what runs it.
fn invocation(words: &[String], place: &str) -> Option<Invocation> {
    let is_variable = |word: &&String| {
        let name = word.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
    };
    let words = &words[words.iter().take_while(is_variable).count()..];
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = name(words.first()?);
    let at = if RUNNERS.contains(&first.as_str()) {
        // Before `--` there are the runner's own options: a user may have the program's name.
        let own = words.iter().position(|word| word == "--").unwrap_or_default();
        own + words[own..].iter().position(|word| PROGRAMS.contains(&name(word).as_str()))?
    } else {
        0
    };
    let program = name(&words[at]);
    PROGRAMS.contains(&program.as_str()).then(|| Invocation {
        program,
        arguments: words[at + 1..].to_vec(),
        place: place.to_owned(),
    })
}

/// Splits a line into simple commands and these into words. Redirections and comments are left out; what is within
/// `$(…)` is a command of its own, and the word in which it stands keeps it as it is.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut inner = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut redirects = false;
    let mut rest = line.chars().peekable();
    let end_word =
        |word: &mut Option<String>, redirects: &mut bool, commands: &mut Vec<Vec<String>>| {
            if let Some(word) = word.take()
                && !std::mem::take(redirects)
            {
                commands.last_mut().expect("there is one").push(word);
            }
        };
    while let Some(character) = rest.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (_, '$') if rest.peek() == Some(&'(') => {
                let mut text = String::from("$");
                let mut depth = 0;
                for next in rest.by_ref() {
                    text.push(next);
                    depth += i32::from(next == '(') - i32::from(next == ')');
                    if depth == 0 {
                        break;
                    }
                }
                inner.extend(simple_commands(&text[2..text.len() - 1]));
                word.get_or_insert_default().push_str(&text);
            }
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\t') => end_word(&mut word, &mut redirects, &mut commands),
            (None, '>' | '<') => {
                // A number before it is that of a file descriptor.
                if word.as_ref().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
                {
                    word = None;
                }
                end_word(&mut word, &mut redirects, &mut commands);
                redirects = true;
            }
            (None, '&') if redirects && word.is_none() => word = Some(String::from("&")),
            (None, '|' | '&' | ';' | '(' | ')') => {
                end_word(&mut word, &mut redirects, &mut commands);
                redirects = false;
                commands.push(Vec::new());
            }
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    end_word(&mut word, &mut redirects, &mut commands);
    commands.extend(inner);
    commands.retain(|words| !words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(script: &str) -> Vec<String> {
        let line = |found: Invocation| format!("{} {}", found.program, found.arguments.join("|"));
        invocations(script, "p.md:1").into_iter().map(line).collect()
    }

    #[test]
    fn calls_are_found_behind_variables_runners_and_operators() {
        assert_eq!(
            called("elivepatch build --patch 'a b' # elivepatch x"),
            ["elivepatch build|--patch|a b"]
        );
        assert_eq!(
            called("A=1 elivepatch status 2>&1 > file && /usr/bin/elivepatch-server init"),
            ["elivepatch status", "elivepatch-server init"]
        );
        assert_eq!(
            called("runuser -u elivepatch -- elivepatch-server check-config"),
            ["elivepatch-server check-config"]
        );
        assert_eq!(
            called("install target/release/elivepatch /usr/bin; chown elivepatch x"),
            [""; 0]
        );
        assert_eq!(
            called("a | elivepatch enrol --token-file - \\\n  --url x &"),
            ["elivepatch enrol|--token-file|-|--url|x"]
        );
        assert_eq!(
            called("echo \"$(elivepatch-server certificate)\""),
            ["elivepatch-server certificate"]
        );
        assert_eq!(
            called("elivepatch x --kernel-version \"$(uname -v)\""),
            ["elivepatch x|--kernel-version|$(uname -v)"]
        );
    }
}
