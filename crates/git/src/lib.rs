//! What every git that fetches from strangers has in common: the settings that it is told, what it sees of
//! the machine, the protocols that it may speak, and what one that was killed leaves behind. Fetching,
//! and for how long, is the caller's.

use std::{io, path::Path, process::Command};

/// The protocols that are allowed. Others run programs (`ext`) or read files of this machine.
const PROTOCOLS: [&str; 4] = ["https", "http", "git", "ssh"];

/// What a git is told, whatever a repository's settings are.
const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.sshCommand=ssh -oBatchMode=yes",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "gc.auto=0",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
];

/// Of our own environment what leads to the network.
const PASSED_ON: [&str; 9] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSH_AUTH_SOCK",
];

/// The protocol of an address; `None` of one that is not used.
pub fn protocol_of(address: &str) -> Option<&'static str> {
    PROTOCOLS.into_iter().find(|protocol| address.starts_with(&format!("{protocol}://")))
}

/// Tells a git its settings, and shows it nothing of the machine's but the file `settings`. To be called
/// before any other argument is added; the command's environment is what it is after this.
pub fn isolate(command: &mut Command, settings: &Path) {
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.env_clear();
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", settings)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C");
}

/// Removes what a git that was killed has left in a repository: lock files wherever it writes, and half
/// objects and packs. Nobody else may work there.
///
/// # Errors
/// When the repository cannot be looked through, or a file not removed.
pub fn remove_leftovers(repository: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(repository) {
        let entry = entry.map_err(io::Error::other)?;
        let name = entry.file_name().to_string_lossy();
        let is_left = name.ends_with(".lock") || name.starts_with("tmp_");
        if is_left && !entry.file_type().is_dir() {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn protocols_that_run_programs_or_read_files_are_not_used() {
        assert_eq!(protocol_of("https://example.org/linux.git"), Some("https"));
        for address in ["ext::sh -c id", "file:///etc", "/srv/linux", "--upload-pack=id", "http:/x"]
        {
            assert_eq!(protocol_of(address), None, "{address}");
        }
    }

    #[test]
    fn locks_and_half_packs_go_and_all_else_stays() {
        let place = tempfile::tempdir().expect("a directory");
        let write = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
            fs::write(&path, "").expect("own file");
            path
        };
        let left = ["shallow.lock", "refs/tags/v1.lock", "objects/pack/tmp_pack_x"].map(write);
        let kept = ["HEAD", "objects/pack/pack-1.pack"].map(write);
        fs::create_dir(place.path().join("refs/tags/of.lock")).expect("own directory");
        remove_leftovers(place.path()).expect("own directory");
        assert!(left.iter().all(|path| !path.exists()) && kept.iter().all(|path| path.exists()));
        assert!(place.path().join("refs/tags/of.lock").is_dir());
    }
}
