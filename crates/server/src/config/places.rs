use camino::Utf8PathBuf;

/// Where a server's files are unless its config says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The config file.
    pub config_file: Utf8PathBuf,
    /// Records and blobs.
    pub data_directory: Utf8PathBuf,
    /// What can be made anew.
    pub cache_directory: Utf8PathBuf,
}

impl Places {
    /// The places for the user that runs this process: those of the system for root, else those
    /// of the XDG base directory specification.
    pub fn of_this_user() -> Self {
        Self::from_environment(rustix::process::geteuid().is_root(), |name| {
            std::env::var(name).ok()
        })
    }

    fn from_environment(is_root: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        // The specification: a path that is not absolute is ignored.
        let absolute = |name| variable(name).filter(|path| path.starts_with('/'));
        let home = absolute("HOME").filter(|_| !is_root);
        let Some(home) = home else { return Self::of_the_system() };
        let base = |name, default: &str| {
            let base = absolute(name).unwrap_or_else(|| format!("{home}/{default}"));
            Utf8PathBuf::from(base).join("elivepatch")
        };
        Self {
            config_file: base("XDG_CONFIG_HOME", ".config").join("server.toml"),
            data_directory: base("XDG_DATA_HOME", ".local/share"),
            cache_directory: base("XDG_CACHE_HOME", ".cache"),
        }
    }

    /// The places of a server that belongs to the system.
    pub fn of_the_system() -> Self {
        Self {
            config_file: "/etc/elivepatch/server.toml".into(),
            data_directory: "/var/lib/elivepatch".into(),
            cache_directory: "/var/cache/elivepatch".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_the_places_of_the_system() {
        let places = Places::from_environment(true, |_| Some("/root".to_owned()));
        assert_eq!(places, Places::of_the_system());
    }

    #[test]
    fn user_has_places_at_home_unless_the_environment_names_others() {
        let places = Places::from_environment(false, |name| match name {
            "HOME" => Some("/home/ada".to_owned()),
            "XDG_CACHE_HOME" => Some("/big/cache".to_owned()),
            "XDG_DATA_HOME" => Some("not/absolute".to_owned()),
            _ => None,
        });
        assert_eq!(places.config_file, "/home/ada/.config/elivepatch/server.toml");
        assert_eq!(places.data_directory, "/home/ada/.local/share/elivepatch");
        assert_eq!(places.cache_directory, "/big/cache/elivepatch");
    }
}
