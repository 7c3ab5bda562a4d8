//! What is loaded of elivepatch's own: what is kept in the state directory, known by the build-ids of the modules.

use std::collections::HashMap;

use elivepatch_model::{ElfBuildId, Fix, Sha256Digest};

use crate::{Applying, Host, HostProblem, Livepatch, livepatches::livepatches};

impl Host<'_> {
    /// What is loaded and was loaded by elivepatch: the digests of modules by their build-ids.
    pub(crate) fn own(
        &self,
        loaded: &[Livepatch],
    ) -> Result<HashMap<ElfBuildId, Sha256Digest>, HostProblem> {
        let mut own = HashMap::new();
        if loaded.is_empty() {
            return Ok(own);
        }
        for digest in self.directory.held_digests()? {
            // One that is damaged identifies nothing.
            if let Ok(Some(held)) = self.directory.held(digest) {
                own.extend(held.module.build_id.map(|build_id| (build_id, digest)));
            }
        }
        Ok(own)
    }

    /// What is loaded, and was loaded by elivepatch: what is on its way first.
    pub(crate) fn loaded(&self) -> Result<Option<(Livepatch, Sha256Digest)>, HostProblem> {
        let loaded = livepatches(self.machine)?;
        let own = self.own(&loaded)?;
        let digest = |livepatch: &Livepatch| own.get(livepatch.build_id.as_ref()?).copied();
        let mut found: Vec<(Livepatch, Sha256Digest)> = loaded
            .into_iter()
            .filter_map(|livepatch| digest(&livepatch).map(|digest| (livepatch, digest)))
            .collect();
        found.sort_by_key(|(livepatch, _)| (!livepatch.in_transition, !livepatch.enabled));
        Ok(found.into_iter().next())
    }

    /// The fixes that are live and would not be any more, with the name of the livepatch that has them.
    ///
    /// # Errors
    /// When the machine cannot be looked at.
    pub fn would_lose(
        &self,
        applying: &Applying,
    ) -> Result<Option<(String, Vec<Fix>)>, HostProblem> {
        let Some((live, digest)) = self.loaded()? else { return Ok(None) };
        if digest == applying.module.digest {
            return Ok(None);
        }
        let Some(held) = self.directory.held(digest)? else { return Ok(None) };
        let stays = |fix: &Fix| {
            let fixes = applying.manifest.iter().flat_map(|manifest| &manifest.fixes);
            // Another text under the same name is a newer form of it.
            fixes.into_iter().any(|new| new.digest == fix.digest || new.name == fix.name)
        };
        let fixes = held.manifest.map(|manifest| manifest.fixes).unwrap_or_default();
        let lost: Vec<Fix> = fixes.into_iter().filter(|fix| !stays(fix)).collect();
        Ok((!lost.is_empty()).then_some((live.name, lost)))
    }
}

/// The livepatch of elivepatch that is active.
pub(crate) fn active_of(
    loaded: &[Livepatch],
    own: &HashMap<ElfBuildId, Sha256Digest>,
) -> Option<Sha256Digest> {
    let active = loaded.iter().find(|livepatch| {
        livepatch.is_active() && livepatch.build_id.as_ref().is_some_and(|id| own.contains_key(id))
    })?;
    own.get(active.build_id.as_ref()?).copied()
}
