use crate::CveId;

/// A file of the feed, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedFile {
    /// The CVE that it belongs to.
    pub id: CveId,
    /// The directory that it lies in.
    pub folder: Folder,
    /// What it holds.
    pub part: Part,
}

/// The directory of a record, which alone says whether it holds: rejected records say that they are
/// published, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// `published`
    Published,
    /// `rejected`
    Rejected,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The record.
    Json,
    /// The pairs of introducing and fixing commits.
    Dyad,
}

impl FeedFile {
    /// What the file at a path of the feed is; `None` of all that is not used. The feed's own repository
    /// has all below `cve/`, archives of it may have other directories around.
    pub fn of(path: &str) -> Option<Self> {
        let mut parts = path.rsplit('/');
        let (name, year, folder) = (parts.next()?, parts.next()?, parts.next()?);
        let (id, ending) = name.split_once('.')?;
        let id: CveId = id.parse().ok()?;
        let folder = match folder {
            "published" => Folder::Published,
            "rejected" => Folder::Rejected,
            _ => return None,
        };
        let part = match ending {
            "json" => Part::Json,
            "dyad" => Part::Dyad,
            _ => return None,
        };
        (year.parse() == Ok(id.year())).then_some(Self { id, folder, part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_place() {
        let file = FeedFile::of("cve/published/2026/CVE-2026-63824.json").expect("a record");
        assert_eq!((file.folder, file.part), (Folder::Published, Part::Json));
        assert_eq!(file.id.to_string(), "CVE-2026-63824");
        let file = FeedFile::of("rejected/2024/CVE-2024-26609.dyad").expect("dyads");
        assert_eq!((file.folder, file.part), (Folder::Rejected, Part::Dyad));
        for other in [
            "cve/published/2026/CVE-2026-63824.mbox",
            "LICENSE",
            "cve/review/2026/x.json",
            "cve/published/2025/CVE-2026-63824.json",
            "CVE-2026-63824.json",
            "",
            "cve/published/2026/CVE-2026-63824.json.swp",
        ] {
            assert_eq!(FeedFile::of(other), None, "{other}");
        }
    }
}
