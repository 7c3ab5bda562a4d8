use elivepatch_model::{KernelConfig, KernelRelease};

/// What is known about the release of the kernel to be patched.
pub struct Evidence<'a> {
    /// What `--kernel` says.
    pub requested: Option<&'a KernelRelease>,
    /// `uname -r`.
    pub running: Option<&'a KernelRelease>,
    /// Whether the config is that of the running kernel.
    pub config_is_running: bool,
    /// The name of the config file, without directories.
    pub file_name: Option<&'a str>,
    /// The config.
    pub config: &'a KernelConfig,
}

/// Where a release was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--kernel`.
    Requested,
    /// `uname -r`: the config is the running kernel's.
    Running,
    /// The config's file name, `config-RELEASE`.
    FileName,
    /// `CONFIG_BUILD_SALT`, where Debian and Fedora write it.
    BuildSalt,
    /// The config's header and `CONFIG_LOCALVERSION`, as the kernel's own build puts it together.
    Header,
}

/// A release and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The release.
    pub release: KernelRelease,
    /// Where it was taken from.
    pub origin: Origin,
    /// What speaks against it, one line each.
    pub doubts: Vec<String>,
}

impl Origin {
    /// For people, after "taken from".
    pub fn describe(self) -> &'static str {
        match self {
            Origin::Requested => "--kernel",
            Origin::Running => "the running kernel",
            Origin::FileName => "the config's file name",
            Origin::BuildSalt => "CONFIG_BUILD_SALT",
            Origin::Header => "the config's header and CONFIG_LOCALVERSION",
        }
    }
}

/// Works out the release: the first source that has one, in the order of [`Origin`]. When `--kernel` only says which
/// source the config is of, as users of the first elivepatch did, the release is what was made of that.
///
/// `None` when no source has one.
pub fn detect(evidence: &Evidence<'_>) -> Option<Detected> {
    let config = evidence.config;
    let is_source = |version: &&KernelRelease| {
        let is_whole = version.suffix().is_empty() || config.header_version() == Some(*version);
        is_whole && config.is_of_source(version)
    };
    let source = evidence.requested.filter(is_source);
    let requested = evidence.requested.filter(|requested| !is_source(requested)).cloned();
    let running = evidence.running.filter(|_| evidence.config_is_running).cloned();
    let named = evidence.file_name.and_then(release_in_file_name);
    let sources = [
        (Origin::Requested, requested),
        (Origin::Running, running),
        (Origin::Header, release_in_header(config).filter(|_| source.is_some())),
        (Origin::FileName, named),
        (Origin::BuildSalt, config.build_salt_release()),
        (Origin::Header, release_in_header(config)),
    ];
    let mut found = sources.into_iter().filter_map(|(origin, release)| Some((origin, release?)));
    let (origin, release) = found.next()?;
    let mut doubts: Vec<String> =
        found.filter_map(|(other, said)| doubt(&release, other, &said)).collect();
    if origin == Origin::Header && config.is_yes("LOCALVERSION_AUTO") {
        doubts.push(format!(
            "CONFIG_LOCALVERSION_AUTO is on: the kernel's release may be longer than {release}"
        ));
    }
    Some(Detected { release, origin, doubts })
}

/// What `other`, which says `said`, has against `release`.
fn doubt(release: &KernelRelease, other: Origin, said: &KernelRelease) -> Option<String> {
    let agrees = match other {
        // Distributions number their releases in their own way (Debian's 6.1.0-50 is 6.1.176):
        // only the series must agree.
        Origin::Header => release.series() == said.series(),
        _ => release == said,
    };
    (!agrees).then(|| format!("{} says {said}, not {release}", other.describe()))
}

fn release_in_file_name(name: &str) -> Option<KernelRelease> {
    let rest = name.strip_prefix("config-")?;
    rest.strip_suffix(".gz").unwrap_or(rest).parse().ok()
}

fn release_in_header(config: &KernelConfig) -> Option<KernelRelease> {
    let local = config.text("LOCALVERSION").unwrap_or_default();
    format!("{}{local}", config.header_version()?).parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release(text: &str) -> KernelRelease {
        text.parse().expect("a release")
    }

    fn config(header: &str, salt: &str, local: &str) -> KernelConfig {
        let text = format!(
            "# Linux/x86 {header} Kernel Configuration\nCONFIG_X86_64=y\n\
             CONFIG_BUILD_SALT=\"{salt}\"\nCONFIG_LOCALVERSION=\"{local}\"\n"
        );
        KernelConfig::parse(text.as_bytes()).expect("a config")
    }

    fn evidence<'a>(config: &'a KernelConfig) -> Evidence<'a> {
        let (requested, running, file_name) = (None, None, None);
        Evidence { requested, running, config_is_running: false, file_name, config }
    }

    fn found(evidence: &Evidence<'_>) -> (String, Origin, usize) {
        let detected = detect(evidence).expect("a release");
        (detected.release.to_string(), detected.origin, detected.doubts.len())
    }

    const DEBIAN: &str = "6.1.0-50-cloud-amd64";

    #[test]
    fn debian_config_of_any_name_gives_its_salt() {
        let config = config("6.1.176", DEBIAN, "");
        let mut evidence = evidence(&config);
        evidence.file_name = Some("kernel.config");
        assert_eq!(found(&evidence), (DEBIAN.to_owned(), Origin::BuildSalt, 0));
        evidence.file_name = Some("config-6.1.0-50-cloud-amd64");
        assert_eq!(found(&evidence), (DEBIAN.to_owned(), Origin::FileName, 0));
    }

    #[test]
    fn version_of_the_source_leads_to_the_release_that_was_made_of_it() {
        // Somebody's own kernel with Debian's config: it has kept the salt.
        let debian = config("6.1.176", DEBIAN, "");
        let asked = release("6.1.176");
        let mut evidence = evidence(&debian);
        evidence.requested = Some(&asked);
        assert_eq!(found(&evidence), ("6.1.176".to_owned(), Origin::Header, 1));
        evidence.file_name = Some("config-6.1.176");
        assert_eq!(found(&evidence), ("6.1.176".to_owned(), Origin::Header, 1));
        let gentoo = config("5.1.6-gentoo", "", "-mine");
        let asked = release("5.1.6");
        (evidence.requested, evidence.config, evidence.file_name) = (Some(&asked), &gentoo, None);
        assert_eq!(found(&evidence), ("5.1.6-gentoo-mine".to_owned(), Origin::Header, 0));
        let running = release("5.1.6-gentoo-mine-00001-gdeadbeef");
        (evidence.running, evidence.config_is_running) = (Some(&running), true);
        assert_eq!(found(&evidence).0, running.to_string());
        for other in ["5.1.60", "5.1.6-gentoo-other"] {
            let other = release(other);
            let evidence = Evidence { requested: Some(&other), ..evidence };
            assert_eq!(found(&evidence).0, other.as_str(), "it is no other version's");
        }
        let revised = config("5.1.6-gentoo-r1", "", "");
        let earlier = release("5.1.6-gentoo");
        let evidence = Evidence { requested: Some(&earlier), config: &revised, ..evidence };
        assert_eq!(found(&evidence).0, "5.1.6-gentoo", "another revision can be asked for");
    }

    #[test]
    fn running_kernel_counts_only_when_the_config_is_its_own() {
        let config = config("6.1.176", DEBIAN, "");
        let running = release("6.12.117");
        let mut evidence = evidence(&config);
        evidence.running = Some(&running);
        assert_eq!(found(&evidence), (DEBIAN.to_owned(), Origin::BuildSalt, 0));
        evidence.config_is_running = true;
        let (chosen, origin, doubts) = found(&evidence);
        assert_eq!((chosen.as_str(), origin), ("6.12.117", Origin::Running));
        assert_eq!(doubts, 2, "salt and header both disagree");
    }

    #[test]
    fn own_kernel_is_put_together_from_header_and_local_version() {
        let config = config("6.12.30", "", "-gentoo-mine");
        assert_eq!(
            found(&evidence(&config)),
            ("6.12.30-gentoo-mine".to_owned(), Origin::Header, 0)
        );
    }

    #[test]
    fn local_version_from_git_makes_the_header_doubtful() {
        let text = "# Linux/x86 6.12.30 Kernel Configuration\nCONFIG_LOCALVERSION_AUTO=y\n";
        let config = KernelConfig::parse(text.as_bytes()).expect("a config");
        assert_eq!(found(&evidence(&config)), ("6.12.30".to_owned(), Origin::Header, 1));
    }

    #[test]
    fn disagreement_names_both_releases() {
        let config = config("6.1.176", DEBIAN, "");
        let mut evidence = evidence(&config);
        evidence.file_name = Some("config-6.1.0-49-cloud-amd64.gz");
        let detected = detect(&evidence).expect("a release");
        assert_eq!(detected.release, release("6.1.0-49-cloud-amd64"));
        assert_eq!(
            detected.doubts,
            ["CONFIG_BUILD_SALT says 6.1.0-50-cloud-amd64, not 6.1.0-49-cloud-amd64"]
        );
    }

    #[test]
    fn config_that_names_no_release_gives_none() {
        let config = KernelConfig::parse(b"CONFIG_X86_64=y\n").expect("a config");
        let mut evidence = evidence(&config);
        evidence.file_name = Some("config-old");
        assert_eq!(detect(&evidence), None);
    }

    proptest! {
        #[test]
        fn requested_release_always_wins(
            salt in "[0-9a-z.-]{0,12}",
            name in "(config-)?[0-9a-z.-]{0,12}",
            is_running: bool,
        ) {
            let config = config("6.1.176", &salt, "");
            let (wanted, running) = (release("6.9.1-mine"), release("6.1.176"));
            let evidence = Evidence {
                requested: Some(&wanted),
                running: Some(&running),
                config_is_running: is_running,
                file_name: Some(&name),
                config: &config,
            };
            let detected = detect(&evidence).expect("a release");
            prop_assert_eq!(detected.release, wanted);
            prop_assert_eq!(detected.origin, Origin::Requested);
        }

        #[test]
        fn any_file_name_gives_its_own_release_or_the_next_source(name in "(config-)?.{0,40}") {
            let config = config("6.1.176", DEBIAN, "");
            let mut evidence = evidence(&config);
            evidence.file_name = Some(&name);
            let detected = detect(&evidence).expect("a release");
            if detected.origin == Origin::FileName {
                let expected = format!("config-{}", detected.release);
                prop_assert_eq!(name.strip_suffix(".gz").unwrap_or(&name), expected);
            } else {
                prop_assert_eq!(detected.release, release(DEBIAN));
            }
        }
    }
}
