use serde::{Deserialize, Serialize};

use crate::{PatchRecord, Sha256Digest};

/// The source that was compiled: where it came from, and the digests of all that it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceRecord {
    /// The kind of source: `debian`, `tarball`, `git`, `directory` or `portage`; `tree` for one that
    /// the server's config names for a single release.
    pub kind: String,
    /// The name of the source in the server's config; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The version of the packages, such as `6.1.176-1`, or of the kernel, such as `6.12.31`; of a
    /// `tree` the name of its file.
    pub version: String,
    /// The files with their digests, in the order of their names: packages, tarballs, patches of
    /// the stable branch; a directory as a whole.
    pub packages: Vec<PackageRecord>,
    /// The objects that the tag of a git repository led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitRecord>,
    /// The patches that are compiled into the target's kernel, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PatchRecord>,
}

impl SourceRecord {
    /// Whether both are the same source, whatever name the servers' configs have for it.
    pub fn is_same(&self, other: &Self) -> bool {
        let unnamed = |record: &Self| Self { name: String::new(), ..record.clone() };
        unnamed(self) == unnamed(other)
    }

    /// What it was made of, a line each, for people.
    pub fn lines(&self) -> Vec<String> {
        let files = self.packages.iter().map(|file| {
            let words =
                [file.name.as_str(), &file.version, &file.digest.to_string()].map(str::to_owned);
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        });
        let git = self.git.iter().map(|git| format!("commit {} tree {}", git.commit, git.tree));
        let patches =
            self.patches.iter().map(|patch| format!("patch {} {}", patch.name, patch.digest));
        files.chain(git).chain(patches).collect()
    }
}

/// One file of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PackageRecord {
    /// The package's or file's name.
    pub name: String,
    /// Its version; empty when only the file's name says it.
    pub version: String,
    /// The digest of the file; of a package as in the archive's signed index.
    pub digest: Sha256Digest,
}

/// What a tag of a git repository led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GitRecord {
    /// The commit, as git names it.
    pub commit: String,
    /// Its tree: what was exported was hashed, and is this.
    pub tree: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_older_versions_are_read_and_equal_those_with_a_name() {
        let old = r#"{"kind":"debian","version":"6.1.176-1","packages":[]}"#;
        let old: SourceRecord = serde_json::from_str(old).expect("the form of version 2");
        let named = SourceRecord { name: "stock".to_owned(), ..old.clone() };
        assert!(old.is_same(&named));
        let digest = Sha256Digest::of(b"x");
        let patches = vec![PatchRecord { name: "a.patch".to_owned(), digest }];
        assert!(!old.is_same(&SourceRecord { patches, ..old.clone() }));
    }
}
