//! What the livepatches fix that are active on a machine.

use std::collections::BTreeMap;

use elivepatch_cve::{Commit, CveId, CveResult, LinuxVersion, Standing, standing};
use elivepatch_model::TargetFacts;
use elivepatch_store::{CveFacts, StoreError};

use crate::app::{App, AppError};

impl App {
    /// The CVEs whose fixes are in livepatches that are active on the machine, each with the livepatch's
    /// name: of those that a CVE run of this server made, where they hold what is the whole fix today.
    pub(super) async fn live_cves(
        &self,
        target: &TargetFacts,
        facts: &[CveFacts],
        version: LinuxVersion,
    ) -> Result<BTreeMap<CveId, String>, AppError> {
        let machine = target.machine.as_ref();
        let loaded = machine.and_then(|machine| machine.livepatches.as_deref());
        let mut found = BTreeMap::new();
        for livepatch in loaded.unwrap_or_default().iter().filter(|livepatch| livepatch.active) {
            let Some(module) = &livepatch.build_id else { continue };
            let held = self.store().cves_in_livepatch(&target.release, module).await?;
            let known: BTreeMap<CveId, &CveFacts> = match held.is_empty() {
                true => BTreeMap::new(),
                false => facts.iter().map(|cve| (cve.id, cve)).collect(),
            };
            for result in held {
                if let Some(cve) = known.get(&result.id)
                    && self.holds_the_fix(&result, cve, version).await?
                {
                    found.insert(result.id, livepatch.name.clone());
                }
            }
        }
        Ok(found)
    }

    /// Whether the patches of an earlier result are what would be taken as the fix of a CVE today.
    async fn holds_the_fix(
        &self,
        held: &CveResult,
        cve: &CveFacts,
        version: LinuxVersion,
    ) -> Result<bool, AppError> {
        let has = |digest| held.fixes.iter().any(|fix| fix.digest == digest);
        // One that is damaged is no reason to say that the CVE is fixed.
        match self.approved_fix(cve.id).await {
            Ok(None) => {}
            Ok(Some(approved)) => return Ok(has(approved.blob.digest)),
            Err(AppError::Store(StoreError::Corrupt { .. })) => return Ok(false),
            Err(error) => return Err(error),
        }
        let Standing::Affected { own_fixes, .. } = standing(&cve.dyads, version) else {
            return Ok(false);
        };
        if own_fixes.is_empty() {
            let overlay = self.overlay_fix(cve.id, version).await?;
            return Ok(overlay.is_some_and(|overlay| has(overlay.blob.digest)));
        }
        let is_held = |commit: &Commit| held.fixes.iter().any(|fix| fix.commit == commit.hash);
        Ok(own_fixes.iter().all(is_held))
    }
}
