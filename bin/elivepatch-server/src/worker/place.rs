use anyhow::Context as _;
use camino::Utf8PathBuf;
use elivepatch_builder::{Cache, CacheLock, remove_work_directory};
use elivepatch_model::Sha256Digest;
use elivepatch_server::ServerConfig;

use crate::{
    commands::{failed, make_directory},
    error::CommandError,
};

/// How many servers whose data directories have the same path may share a cache, as containers do that have
/// directories of their own and one cache. A bound on looking for a place, far above what anybody runs.
const MOST_OF_ONE_NAME: u32 = 100;

/// The directory in which builds get theirs. Nobody else works in it while this is held.
#[derive(Debug)]
pub struct WorkPlace {
    /// The directory.
    pub directory: Utf8PathBuf,
    _lock: CacheLock,
}

impl WorkPlace {
    /// Takes an empty directory in the cache. It is named after the data directory, and numbered where another server
    /// or worker has that name. What lies there, and in those with other numbers that nobody has, was left by an
    /// earlier run.
    ///
    /// # Errors
    /// When it cannot be locked, emptied or made.
    pub fn take(config: &ServerConfig) -> Result<Self, CommandError> {
        let cache = Cache::open(&config.cache_directory).map_err(failed)?;
        let all = config.cache_directory.join("work");
        make_directory(&all)?;
        let name = Sha256Digest::of(config.data_directory.as_str().as_bytes()).short();
        let mut taken = None;
        for number in 1..=MOST_OF_ONE_NAME {
            let name = if number == 1 { name.clone() } else { format!("{name}-{number}") };
            let directory = all.join(&name);
            if taken.is_some() && !directory.exists() {
                continue;
            }
            let locked =
                cache.try_lock(&directory).with_context(|| format!("cannot lock {directory}"));
            let locked = locked.map_err(|error| {
                CommandError::input(
                    error,
                    format!("ls -l {directory}.lock: it must be this user's"),
                )
            })?;
            let Some(lock) = locked else { continue };
            remove_work_directory(&directory)
                .map_err(|error| CommandError::input(error, format!("sudo rm -r {directory}")))?;
            if taken.is_none() {
                make_directory(&directory)?;
                taken = Some(Self { directory, _lock: lock });
            }
        }
        if let Some(place) = taken {
            return Ok(place);
        }
        let error = anyhow::anyhow!("{MOST_OF_ONE_NAME} servers build in {all}");
        Err(CommandError::input(
            error,
            "give this one a cache of its own: cache_directory in the config",
        ))
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use elivepatch_server::config::Places;

    use super::*;

    #[test]
    fn servers_with_data_directories_of_one_name_do_not_empty_each_others_place() {
        let temporary = tempfile::tempdir().expect("a directory");
        let cache = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let places = Places::of_this_user();
        let config =
            ServerConfig { cache_directory: cache.to_owned(), ..ServerConfig::defaults(&places) };
        let first = WorkPlace::take(&config).expect("a place");
        let build = first.directory.join("build");
        std::fs::write(&build, "").expect("own file");
        let second = WorkPlace::take(&config).expect("another place");
        assert_ne!(first.directory, second.directory);
        assert!(build.exists(), "it is under way");
        let (place, other) = (first.directory.clone(), second.directory.clone());
        drop((first, second));
        let third = WorkPlace::take(&config).expect("it is free");
        assert_eq!(third.directory, place);
        assert!(!build.exists() && !other.exists(), "an earlier run left it");
    }
}
