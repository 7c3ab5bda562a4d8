//! The config file of the first elivepatch: `--conf_file FILE`, in the form of Python's `configparser`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use configparser::ini::{Ini, IniDefault};

use crate::{inputs::read_at_most, problem::Problem, text::printable};

/// The section that is read; others are left to other programs, as before.
const SECTION: &str = "Defaults";

/// What holds for every section, as Python has it.
const FOR_ALL: &str = "DEFAULT";

/// What the parser calls that which stands before every section: nobody's file has such one.
const NO_SECTION: &str = "\n";

/// The largest file, in bytes: a few lines.
const FILE_BYTES: u64 = 64 << 10;

/// What stands below `[Defaults]`, by the names of the keys: with dashes, in small letters.
pub type Settings = Vec<(String, String)>;

/// Reads a config file.
pub fn read(path: &Path) -> Result<Settings, Problem> {
    let shown = path.display();
    let problem = |error: &dyn std::error::Error| {
        Problem::input(format!("cannot read the config file {shown}"))
            .caused_by(error)
            .hint("name one with --conf_file FILE: [Defaults], and below it lines such as url = HOST:PORT")
    };
    let bytes = read_at_most(path, FILE_BYTES).map_err(|error| problem(&error))?;
    if bytes.len() as u64 > FILE_BYTES {
        let message = format!("the config file {shown} has more than {FILE_BYTES} bytes");
        return Err(Problem::input(message).hint("it holds a few options only"));
    }
    let text = String::from_utf8(bytes).map_err(|error| problem(&error))?;
    parse(text).map_err(|(what, hint)| {
        Problem::input(format!("the config file {shown} cannot be used: {what}")).hint(hint)
    })
}

/// What is wrong, and what can be done.
type Fault = (String, &'static str);

fn parse(text: String) -> Result<Settings, Fault> {
    refuse_repeated(&text)?;
    let mut form = IniDefault::default();
    form.default_section = NO_SECTION.to_owned();
    form.comment_symbols = vec!['#', ';'];
    // Python has none: there is a # in addresses.
    form.inline_comment_symbols = Some(Vec::new());
    form.delimiters = vec!['=', ':'];
    form.case_sensitive = true;
    form.multiline = true;
    let sections = Ini::new_from_defaults(form).read(text);
    let mut sections = sections.map_err(|error| {
        (printable(&error), "write [Defaults], and below it lines such as url = HOST:PORT")
    })?;
    if sections.remove(NO_SECTION).is_some_and(|keys| !keys.is_empty()) {
        let what = "there are lines before its first section".to_owned();
        return Err((what, "begin it with the line [Defaults]"));
    }
    let for_all = sections.remove(FOR_ALL);
    let Some(keys) = sections.remove(SECTION) else {
        let what = format!("it has no section [{SECTION}]");
        return Err((what, "begin it with the line [Defaults]"));
    };
    let mut settings = settings_of(for_all.into_iter().flatten())?;
    settings.extend(settings_of(keys)?);
    Ok(settings.into_iter().collect())
}

/// Refuses a section or a key that stands there twice, as Python does: the parser takes the last one.
fn refuse_repeated(text: &str) -> Result<(), Fault> {
    let (mut sections, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut section = NO_SECTION;
    // How far the key is indented whose value goes on: with lines that are indented further.
    let mut key_indent = None;
    for line in text.lines() {
        let shown = line.trim_start();
        if shown.is_empty() || shown.starts_with(['#', ';']) {
            continue;
        }
        let indent = line.len() - shown.len();
        if key_indent.is_some_and(|key| indent > key) {
            continue;
        }
        if let Some(rest) = shown.strip_prefix('[') {
            section = rest.split(']').next().unwrap_or_default();
            key_indent = None;
            // What holds for every section may be said in several places.
            if !sections.insert(section) && section != FOR_ALL {
                return Err(twice(&format!("[{}]", printable(section))));
            }
            continue;
        }
        let key = shown.split(['=', ':']).next().unwrap_or_default().trim_end();
        if !keys.insert((section, key)) {
            return Err(twice(&printable(key)));
        }
        key_indent = Some(indent);
    }
    Ok(())
}

fn twice(shown: &str) -> Fault {
    (format!("{shown} stands there twice"), "leave one of them")
}

/// The settings of one section.
fn settings_of(
    keys: impl IntoIterator<Item = (String, Option<String>)>,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut settings = BTreeMap::new();
    for (key, value) in keys {
        let shown = printable(&key);
        let Some(value) = value else {
            return Err((format!("{shown} has no value"), "write a switch as cve = true"));
        };
        if value.replace("%%", "").contains("%(") {
            return Err((format!("{shown} refers to another key"), "write the value in full"));
        }
        let name = key.to_lowercase().replace('_', "-");
        if settings.insert(name, value.replace("%%", "%")).is_some() {
            return Err(twice(&shown));
        }
    }
    Ok(settings)
}

/// The settings as arguments behind those of the command line, which win: without those that are given there, or go
/// with nothing that is. The second list has keys that are no options.
///
/// # Errors
/// When a switch is neither on nor off, or an option has several values that takes one.
pub fn arguments(
    settings: &Settings,
    command: &Command,
    given: &ArgMatches,
) -> Result<(Vec<OsString>, Vec<String>), Problem> {
    let is_given = |option: &&Arg| {
        given.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let mut winning: Vec<&Arg> = command.get_arguments().filter(is_given).collect();
    let (mut arguments, mut unknown) = (Vec::new(), Vec::new());
    // CVE mode came before patches.
    let (cve, others): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| name == "cve");
    for (name, value) in cve.into_iter().chain(others) {
        let option = command.get_arguments().find(|option| is_called(option, name));
        let Some(option) = option.filter(|option| may_stand_in_a_file(option)) else {
            unknown.push(printable(name));
            continue;
        };
        let id = option.get_id().as_str();
        if let Some((other, _)) = seen.iter().find(|(_, seen)| *seen == id) {
            let message = format!("{other} and {name} are the same option");
            return Err(Problem::input(message).hint("leave one of them"));
        }
        seen.push((name, id));
        if value.is_empty() || is_given(&option) || goes_with_none_of(option, &winning, command) {
            continue;
        }
        let long = option.get_long().expect("options of a config file have names");
        let is_switch = matches!(option.get_action(), ArgAction::SetTrue);
        if is_switch {
            if is_on(name, value)? {
                arguments.push(format!("--{long}").into());
                winning.extend((name == "cve").then_some(option));
            }
            continue;
        }
        let takes_several = matches!(option.get_action(), ArgAction::Append);
        if value.lines().count() > 1 && !takes_several {
            let message = format!("{name} has several lines, and takes one value");
            return Err(Problem::input(message).hint("begin each key at the start of its line"));
        }
        let values = value.lines().map(str::trim).filter(|value| !value.is_empty());
        arguments.extend(values.map(|value| format!("--{long}={value}").into()));
    }
    Ok((arguments, unknown))
}

fn is_called(option: &Arg, name: &str) -> bool {
    let names = option.get_long().into_iter();
    let aliases = option.get_all_aliases().unwrap_or_default();
    names.chain(aliases).any(|other| other.replace('_', "-") == name)
}

fn may_stand_in_a_file(option: &Arg) -> bool {
    let is_an_end = matches!(
        option.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    !is_an_end && option.get_id() != "conf_file"
}

/// Whether an option cannot be given together with one that wins over it.
fn goes_with_none_of(option: &Arg, winning: &[&Arg], command: &Command) -> bool {
    winning.iter().any(|other| {
        let conflict = |one: &Arg, two: &Arg| {
            command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == two.get_id())
        };
        conflict(option, other) || conflict(other, option)
    })
}

/// The words that Python's `getboolean` knows.
fn is_on(name: &str, value: &str) -> Result<bool, Problem> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Ok(true),
        "0" | "no" | "false" | "off" => Ok(false),
        other => {
            let message = format!("{name} is neither on nor off: {}", printable(other));
            Err(Problem::input(message).hint(format!("write {name} = true, or {name} = false")))
        }
    }
}

#[cfg(test)]
#[path = "conf_file_tests.rs"]
mod tests;
