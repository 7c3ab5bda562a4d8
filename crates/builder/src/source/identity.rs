//! What of a source is part of the keys of builds.

use elivepatch_model::{Failure, NamedIdentity, SourceIdentity};

use super::{
    SourceKind, SourceOptions, TreeFacts, local::LocalFiles, repository::OpenedRepository,
};

impl SourceOptions {
    /// What decides the builder's results: what the config says, and what was there when the server
    /// was started. `None` of a tree that cannot be used: a build that needs it fails.
    pub(crate) fn identity(
        &self,
        tree: Option<&Result<TreeFacts, Failure>>,
        local: &LocalFiles,
        repository: &OpenedRepository,
    ) -> Option<SourceIdentity> {
        if let SourceKind::Release(options) = &self.kind {
            let digest = tree?.as_ref().ok()?.digest;
            return Some(SourceIdentity::Tree { release: options.release.clone(), digest });
        }
        Some(SourceIdentity::Named(NamedIdentity {
            releases: self.releases.clone(),
            digest: self.digest(),
            builds_kernels: !matches!(self.kind, SourceKind::Debian(_)),
            places: self.local_places().into_iter().chain(self.local_tag()).collect(),
            files: local.digests().into_iter().chain(repository.tags.clone()).collect(),
            content: repository.content,
        }))
    }
}
