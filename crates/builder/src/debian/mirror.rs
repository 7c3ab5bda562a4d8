use std::process::Command;

use elivepatch_model::{Failure, FailureClass};

/// Where Debian's archive is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrors {
    /// The main archive.
    pub archive: String,
    /// The security archive; the machine may have none configured.
    pub security: Option<String>,
}

/// Takes the mirrors from the config, and what that leaves open from the machine's own apt.
pub(super) fn find_mirrors(
    archive: Option<&str>,
    security: Option<&str>,
) -> Result<Mirrors, Failure> {
    let own = if archive.is_some() && security.is_some() { Vec::new() } else { machine_sites()? };
    let by_label =
        |label: &str| own.iter().find(|site| site.label == label).map(|site| site.address.clone());
    let archive = archive.map(str::to_owned).or_else(|| by_label("Debian")).ok_or_else(|| {
        Failure::new(
            FailureClass::FetchFailed,
            "no mirror of Debian's archive is known: this machine's apt has none configured",
            "set `mirror` in the [debian] section of the server's config, or run apt-get update",
        )
    })?;
    let security = security.map(str::to_owned).or_else(|| by_label("Debian-Security"));
    Ok(Mirrors { archive, security })
}

struct Site {
    label: String,
    address: String,
}

/// The archives that the machine's apt has indexes of.
fn machine_sites() -> Result<Vec<Site>, Failure> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"])
        .arg("Created-By: Packages")
        .output()
        .map_err(|error| {
            Failure::new(
                FailureClass::FetchFailed,
                format!("cannot run apt-get: {error}"),
                "install apt: it fetches and verifies the kernel's packages",
            )
        })?;
    Ok(read_sites(&String::from_utf8_lossy(&output.stdout)))
}

fn read_sites(text: &str) -> Vec<Site> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('|');
            let (origin, label, address) = (fields.next()?, fields.next()?, fields.next()?);
            let is_web = address.starts_with("http://") || address.starts_with("https://");
            (origin == "Debian" && is_web).then(|| Site {
                label: label.to_owned(),
                address: address.trim_end_matches('/').to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_own_archives_are_taken() {
        let text = "Debian|Debian|http://mirror.example/debian/\n\
            Other|Other|http://other.example/\nDebian|Debian|cdrom://x/\n\
            Debian|Debian-Security|https://mirror.example/security/\n";
        let sites: Vec<String> = read_sites(text)
            .into_iter()
            .map(|site| format!("{} {}", site.label, site.address))
            .collect();
        assert_eq!(
            sites,
            [
                "Debian http://mirror.example/debian",
                "Debian-Security https://mirror.example/security"
            ]
        );
    }

    #[test]
    fn configured_mirrors_need_no_apt() {
        let mirrors = find_mirrors(Some("http://a.example"), Some("http://b.example"));
        assert_eq!(mirrors.expect("both are given").archive, "http://a.example");
    }
}
