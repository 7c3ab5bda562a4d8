//! Which suites have which versions of a package.

use elivepatch_model::Failure;

use super::apt::{Apt, PackageFile};
use crate::Observer;

/// A version of a package in a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The suite, as the options name it.
    pub suite: String,
    /// The version.
    pub version: String,
}

impl Apt {
    /// The versions of a package in one suite, newest first; fetches the index when it is not there, or is
    /// old and does not know the package in that suite. What was kept on the server is in no suite.
    ///
    /// # Errors
    /// `fetch-failed` when the index cannot be fetched.
    pub fn versions_in(
        &self,
        suite: &str,
        package: &str,
        observer: &dyn Observer,
    ) -> Result<Vec<PackageFile>, Failure> {
        let all = self.versions(package, observer)?;
        let found = only_in(suite, all, &self.offers(package, observer)?);
        if !found.is_empty() {
            return Ok(found);
        }
        // Another suite had it when the index was fetched.
        self.update(observer)?;
        let all = self.versions(package, observer)?;
        Ok(only_in(suite, all, &self.offers(package, observer)?))
    }

    /// Which suites of the index that is there have a package, newest version first.
    ///
    /// # Errors
    /// When apt cannot be run.
    pub(crate) fn offers(
        &self,
        package: &str,
        observer: &dyn Observer,
    ) -> Result<Vec<Offer>, Failure> {
        let output = self.query(&["madison", "--", package], observer)?;
        Ok(read_offers(&String::from_utf8_lossy(&output.stdout), package))
    }
}

fn only_in(suite: &str, all: Vec<PackageFile>, offers: &[Offer]) -> Vec<PackageFile> {
    let is_offered = |package: &PackageFile| {
        offers.iter().any(|offer| offer.suite == suite && offer.version == package.version)
    };
    all.into_iter().filter(is_offered).collect()
}

/// Reads the lines of `apt-cache madison`: `PACKAGE | VERSION | ADDRESS SUITE/COMPONENT ARCHITECTURE Packages`.
fn read_offers(text: &str, package: &str) -> Vec<Offer> {
    let offer = |line: &str| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, version, place] = columns[..] else { return None };
        let words: Vec<&str> = place.split_whitespace().collect();
        let [_, suite, _, "Packages"] = words[..] else { return None };
        let (suite, _) = suite.rsplit_once('/')?;
        let (suite, version) = (suite.to_owned(), version.to_owned());
        (name == package).then_some(Offer { suite, version })
    };
    text.lines().filter_map(offer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_out_of_what_apt_prints() {
        let text = "  linux-source |    6.12.118-1 | http://mirror.example/security trixie-security/main amd64 Packages\n\
             linux-source | 6.1.176-1 | http://mirror.example/debian bookworm/main amd64 Packages\n\
             linux-source | 6.1.176-1 | http://mirror.example/debian bookworm/main Sources\n\
             linux-source-6.1 | 6.1.176-1 | http://mirror.example/debian bookworm/main amd64 Packages\n\
             N: something else\n";
        let offers = read_offers(text, "linux-source");
        let expected = [("trixie-security", "6.12.118-1"), ("bookworm", "6.1.176-1")];
        let offer = |(suite, version): (&str, &str)| Offer {
            suite: suite.to_owned(),
            version: version.to_owned(),
        };
        assert_eq!(offers, expected.map(offer));
    }
}
