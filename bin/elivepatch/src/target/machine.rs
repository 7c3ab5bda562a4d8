//! What `/proc`, `/sys` and `/etc` tell of the machine beside its kernel's identity.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use elivepatch_facts::Missing;
use elivepatch_host::{Machine, RunningModules, is_module_name};
use elivepatch_model::{
    KernelConfig, LoadedLivepatch, Lockdown, MachineFacts, limits::LOADED_MODULES, with_causes,
};

use super::os_release;

/// The most that is read of one of these files, in bytes. `/proc/modules` has some 60 a line, and
/// modules that many others use have more.
const FILE_BYTES: u64 = 1024 * 1024;

/// Reads what can be read below `root`, and says what cannot.
pub fn read(
    root: &Path,
    config: Option<&KernelConfig>,
    missing: &mut Vec<Missing>,
) -> MachineFacts {
    let distribution = os_release_of(root)
        .map_err(|error| why(&error))
        .and_then(|text| os_release::read(&text).ok_or_else(|| "os-release names none".to_owned()));
    let loaded_modules =
        read_text(&root.join("proc/modules")).map_err(|error| why(&error)).and_then(|text| {
            modules(&text).ok_or_else(|| "/proc/modules cannot be understood".to_owned())
        });
    let lockdown = read_text(&root.join("sys/kernel/security/lockdown"))
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "the kernel does not tell".to_owned(),
            _ => why(&error),
        })
        .and_then(|text| lockdown(&text).ok_or_else(|| "it is in no known state".to_owned()));
    let enforced = signatures_enforced(root, config, lockdown.as_ref().ok().copied());
    let livepatch_possible =
        root.join("sys/kernel").is_dir().then(|| root.join("sys/kernel/livepatch").is_dir());
    let livepatches = livepatches(root);
    let mut add =
        |what: &'static str, why: String| missing.push(Missing { what: what.into(), why });
    if livepatch_possible.is_none() {
        add("livepatching", "/sys is not there".to_owned());
    }
    if enforced.is_none() {
        add("module signatures", "neither the kernel nor its config tells".to_owned());
    }
    MachineFacts {
        distribution: distribution.map_err(|why| add("distribution", why)).ok(),
        loaded_modules: loaded_modules.map_err(|why| add("modules", why)).ok(),
        livepatches: match livepatch_possible {
            Some(_) => livepatches.map_err(|why| add("livepatches", why)).ok(),
            None => None,
        },
        lockdown: lockdown.map_err(|why| add("lockdown", why)).ok(),
        module_signatures_enforced: enforced,
        livepatch_possible,
    }
}

/// Whether Portage looks after the machine below `root`: it is a Gentoo, or of its kind.
pub fn is_gentoo(root: &Path) -> bool {
    os_release_of(root).is_ok_and(|text| os_release::is_of_kind(&text, "gentoo"))
}

fn os_release_of(root: &Path) -> io::Result<String> {
    read_text(&root.join("etc/os-release")).or_else(|_| read_text(&root.join("usr/lib/os-release")))
}

/// The livepatches that are loaded.
fn livepatches(root: &Path) -> Result<Vec<LoadedLivepatch>, String> {
    let found = elivepatch_host::livepatches(&Machine::at(root, RunningModules));
    let loaded = found.map_err(|problem| with_causes(&problem))?.into_iter().map(|livepatch| {
        let active = livepatch.is_active();
        LoadedLivepatch { name: livepatch.name, build_id: livepatch.build_id, active }
    });
    Ok(loaded.collect())
}

/// Why a file was not read, for people.
pub fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not there".to_owned(),
        io::ErrorKind::PermissionDenied => "needs root".to_owned(),
        _ => error.to_string(),
    }
}

/// Reads a text up to a limit; what lies behind it is not seen.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names in `/proc/modules`, sorted.
fn modules(text: &str) -> Option<Vec<String>> {
    let names = text.lines().map(|line| line.split(' ').next().filter(|name| is_module_name(name)));
    let mut names: Vec<String> =
        names.map(|name| name.map(str::to_owned)).collect::<Option<_>>()?;
    names.sort();
    (names.len() <= LOADED_MODULES).then_some(names)
}

/// The state in brackets, as in `none [integrity] confidentiality`.
fn lockdown(text: &str) -> Option<Lockdown> {
    let words = text.split_whitespace();
    let mut chosen = words.filter_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    chosen.next()?.parse().ok()
}

/// Whether the kernel loads only signed modules: by its own word, by its config, or since it is
/// locked down (kernel_lockdown(7)).
fn signatures_enforced(
    root: &Path,
    config: Option<&KernelConfig>,
    lockdown: Option<Lockdown>,
) -> Option<bool> {
    if lockdown.is_some_and(|state| state != Lockdown::None) {
        return Some(true);
    }
    match read_text(&root.join("sys/module/module/parameters/sig_enforce")).as_deref() {
        Ok("Y\n" | "Y") => return Some(true),
        Ok("N\n" | "N") => return Some(false),
        _ => {}
    }
    config.map(|config| config.is_yes("MODULE_SIG_FORCE"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use elivepatch_model::Distribution;

    use super::*;

    fn root_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn everything_that_is_there_is_read() {
        let root = root_with(&[
            ("etc/os-release", "ID=gentoo\n"),
            ("proc/modules", "xfs 12 0 - Live 0x0\next4 1 2 a,b, Live 0x0 (OE)\n"),
            ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
            ("sys/kernel/livepatch/x/enabled", "1\n"),
            ("sys/kernel/livepatch/x/transition", "0\n"),
        ]);
        let mut missing = Vec::new();
        let facts = read(root.path(), None, &mut missing);
        assert_eq!(missing, []);
        let distribution = Distribution { id: "gentoo".to_owned(), version: None, name: None };
        assert_eq!(facts.distribution, Some(distribution));
        assert_eq!(facts.loaded_modules, Some(vec!["ext4".to_owned(), "xfs".to_owned()]));
        let livepatches = facts.livepatches.expect("read");
        assert_eq!(livepatches.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["x"]);
        assert_eq!(facts.lockdown, Some(Lockdown::Integrity));
        assert_eq!(facts.module_signatures_enforced, Some(true), "lockdown does");
        assert_eq!(facts.livepatch_possible, Some(true));
    }

    #[test]
    fn what_is_not_there_is_named_with_the_reason() {
        let root = root_with(&[("proc/modules", "a/b 1 2\n"), ("etc/os-release", "NAME=x\n")]);
        let mut missing = Vec::new();
        assert_eq!(read(root.path(), None, &mut missing), MachineFacts::default());
        let shown: Vec<String> =
            missing.iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
        assert_eq!(
            shown,
            [
                "livepatching: /sys is not there",
                "module signatures: neither the kernel nor its config tells",
                "distribution: os-release names none",
                "modules: /proc/modules cannot be understood",
                "lockdown: the kernel does not tell",
            ]
        );
    }

    #[test]
    fn signatures_are_enforced_by_parameter_or_config() {
        let config = |text: &str| KernelConfig::parse(text.as_bytes()).expect("a config");
        let (forced, not) = (config("CONFIG_MODULE_SIG_FORCE=y\n"), config("CONFIG_X86_64=y\n"));
        let parameter = "sys/module/module/parameters/sig_enforce";
        for (files, config, expected) in [
            (&[(parameter, "Y\n")][..], Some(&not), Some(true)),
            (&[(parameter, "N\n")], Some(&forced), Some(false)),
            (&[], Some(&forced), Some(true)),
            (&[], Some(&not), Some(false)),
            (&[], None, None),
        ] {
            let root = root_with(files);
            assert_eq!(signatures_enforced(root.path(), config, None), expected);
        }
    }
}
