use clap::CommandFactory;

use super::*;
use crate::cli::Cli;

fn settings(text: &str) -> Result<Vec<(String, String)>, String> {
    parse(text.to_owned()).map_err(|(what, _)| what)
}

/// The arguments that a file adds to a command line, and the keys that are passed over.
fn added(file: &str, line: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
    let command = Cli::command();
    let given =
        Cli::command().try_get_matches_from([&["elivepatch", "--color", "auto"], line].concat());
    let given = given.expect("a command line");
    let settings = settings(&format!("[Defaults]\n{file}\n"))?;
    let (arguments, unknown) =
        arguments(&settings, &command, &given).map_err(|problem| problem.message().to_owned())?;
    let arguments = arguments.into_iter().map(|text| text.into_string().expect("text")).collect();
    Ok((arguments, unknown))
}

fn arguments_of(file: &str, line: &[&str]) -> Vec<String> {
    added(file, line).expect("a file that can be used").0
}

#[test]
fn file_is_read_as_python_reads_it() {
    let text = "# a comment\n; and one\n[Other]\nurl = http://other\n[DEFAULT]\ndebug=info\n\
                config: /boot/none\n[Defaults]\nURL = http://127.0.0.1:5000/#x ; y\n\
                Kernel_Version : 5.1.6\nconfig = /boot/config\n  \nlog_output=/var/log/e.log\n";
    let expected = [
        ("config", "/boot/config"),
        ("debug", "info"),
        ("kernel-version", "5.1.6"),
        ("log-output", "/var/log/e.log"),
        ("url", "http://127.0.0.1:5000/#x ; y"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(settings(text), Ok(expected.to_vec()));
}

#[test]
fn file_that_python_refuses_is_refused() {
    for (text, part) in [
        ("", "no section [Defaults]"),
        ("[defaults]\nurl = a\n", "no section [Defaults]"),
        ("url = a\n[Defaults]\n", "before its first section"),
        ("[Defaults\nurl = a\n", "line 1"),
        ("[Defaults]\nurl = %(host)s:5000\nhost = a\n", "url refers to another key"),
        ("[Defaults]\ncve\n", "cve has no value"),
        ("[Defaults]\nlog-output = a\nLog_Output = b\n", "stands there twice"),
        ("[Defaults]\nurl = a\nurl = b\n", "url stands there twice"),
        ("[Defaults]\nurl = a\nurl: a\n", "url stands there twice"),
        ("[Defaults]\n url = a\n url = b\n", "url stands there twice"),
        ("[DEFAULT]\nurl = a\n[Defaults]\n[DEFAULT]\nurl = b\n", "url stands there twice"),
        ("[Defaults]\nurl = a\n[x]\n[Defaults]\ndebug = b\n", "[Defaults] stands there twice"),
    ] {
        let fault = settings(text).expect_err(text);
        assert!(fault.contains(part), "{text:?}: {fault}");
    }
}

#[test]
fn key_may_stand_in_other_sections_and_in_a_value_too() {
    let text = "[x]\nurl = b\n[Defaults]\nurl = a\npatch = c\n  patch = d\n# url = e\n";
    let expected = [("patch", "c\npatch = d"), ("url", "a")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(settings(text), Ok(expected.to_vec()));
    let in_two_places = "[DEFAULT]\nurl = a\n[Defaults]\n[DEFAULT]\npatch = c\n";
    assert_eq!(settings(in_two_places).map(|settings| settings.len()), Ok(2));
}

#[test]
fn every_old_option_may_stand_in_the_file() {
    let file = "patch = a.patch\nconfig = c\nkernel_version = 5.1.6\nurl = http://h:5000\n\
                debug = info\nlog_output = l";
    let expected = [
        "--config=c",
        "--debug=info",
        "--kernel=5.1.6",
        "--log_output=l",
        "--patch=a.patch",
        "--url=http://h:5000",
    ];
    assert_eq!(arguments_of(file, &[]), expected);
    assert_eq!(arguments_of("cve = yes\nclear = On", &[]), ["--cve", "--clear"]);
    assert_eq!(arguments_of("cve = no\nclear = false\nurl =", &[]), [""; 0]);
}

#[test]
fn options_that_are_new_may_stand_in_it_too() {
    let file = "token_file = /etc/elivepatch/token\nno-baseline = true\nbaseline-x = 1";
    let (arguments, unknown) = added(file, &[]).expect("a file");
    assert_eq!(arguments, ["--no-baseline", "--token-file=/etc/elivepatch/token"]);
    assert_eq!(unknown, ["baseline-x"]);
    let (arguments, unknown) = added("version = true\nconf_file = x", &[]).expect("a file");
    assert_eq!((arguments.len(), unknown.len()), (0, 2), "these end or begin it all");
}

#[test]
fn command_line_wins_over_the_file() {
    let file = "patch = a.patch\nurl = http://h:5000\nkernel = 5.1.6\nconfig = c\ncve = true";
    assert_eq!(arguments_of(file, &["-p", "b", "-u", "x", "-a", "6.1", "-k", "d"]), [""; 0]);
    let expected = ["--config=c", "--kernel=5.1.6", "--url=http://h:5000"];
    assert_eq!(arguments_of(file, &["--cve"]), expected, "a patch goes with no --cve");
    let expected = ["--cve", "--config=c", "--kernel=5.1.6", "--url=http://h:5000"];
    assert_eq!(arguments_of(file, &[]), expected, "CVE mode came first");
    assert_eq!(arguments_of(file, &["--follow", "3"]), ["--url=http://h:5000"]);
    assert_eq!(arguments_of("facts = f\nkernel = 5.1.6", &["-k", "c"]), ["--kernel=5.1.6"]);
}

#[test]
fn several_patches_stand_on_lines_of_their_own() {
    let file = "patch = a.patch\n  b.patch\n  c.patch";
    assert_eq!(arguments_of(file, &[]), ["--patch=a.patch", "--patch=b.patch", "--patch=c.patch"]);
    let problem = added("url = a\n  config = c", &[]).expect_err("Python takes both for the url");
    assert!(problem.contains("url has several lines"), "{problem}");
}

#[test]
fn what_can_mean_two_things_is_refused() {
    let problem = added("kernel = 1.2.3\nkernel_version = 1.2.3", &[]).expect_err("one option");
    assert!(problem.contains("kernel and kernel-version are the same option"), "{problem}");
    let problem = added("cve = maybe", &[]).expect_err("maybe");
    assert!(problem.contains("cve is neither on nor off: maybe"), "{problem}");
}
