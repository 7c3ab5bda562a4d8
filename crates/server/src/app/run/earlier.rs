//! The livepatch that machines with a run's kernel have already: that of the run for it that
//! finished last.

use std::collections::BTreeSet;

use elivepatch_model::{BehaviourCheck, BuildNumber, BuildState, Sha256Digest};
use elivepatch_store::RunRecord;
use serde::{Deserialize, Serialize};

use super::{
    advance::Run,
    combination::Place,
    ordering::SetOrder,
    progress::{Asked, Progress, read},
};
use crate::app::{App, AppError};

/// The livepatch of an earlier run for the same kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Earlier {
    /// The build that made it.
    pub build: BuildNumber,
    /// Its module.
    pub module: Sha256Digest,
    /// Whether it did not become active in a trial: then no trial tries to replace it.
    pub is_unusable: bool,
}

impl App {
    /// The livepatch of the run for the same kernel that finished last, of those that have one: of the last that kept the
    /// same fixes, which its machines have, else of the last of all.
    pub(super) async fn earlier_livepatch(&self, run: &Run) -> Result<Option<Earlier>, AppError> {
        /// So many runs are looked at for one that kept the same.
        const LOOKED_AT: u32 = 50;
        let mut skip = 0;
        let mut other = None;
        while let Some(record) =
            self.store().finished_livepatch_run(&run.record.release, skip).await?
        {
            skip += 1;
            let Some(build) = record.livepatch else { continue };
            let (Ok(asked), Ok(progress)) = (
                read::<Asked>(&record.request, &record),
                read::<Progress>(&record.progress, &record),
            ) else {
                tracing::warn!(
                    run = %run.record.number, earlier = %record.number,
                    "the record of an earlier run cannot be read: its livepatch is passed over"
                );
                continue;
            };
            if !is_same_kernel(run, &record, &asked, &progress) {
                continue;
            }
            let manifest = self.store().build(build).await?.manifest;
            let is_there = self.store().has_livepatch(build).await?;
            let keeps_the_same = asked.kept == run.asked.kept;
            if !keeps_the_same && other.is_some() {
                match skip < LOOKED_AT {
                    true => continue,
                    false => break,
                }
            }
            let Some(manifest) = manifest.filter(|_| is_there) else {
                tracing::warn!(
                    run = %run.record.number, earlier = %record.number, build = %build,
                    "the livepatch of the earlier run is not there any more: that it is replaced \
                     is not tried"
                );
                return Ok(None);
            };
            let earlier = Earlier { build, module: manifest.module.digest, is_unusable: false };
            if keeps_the_same {
                return Ok(Some(earlier));
            }
            other = Some(earlier);
        }
        Ok(other)
    }

    /// The earlier livepatch, when it is the very one that would be built of a set: by the same builder, for the
    /// same kernel, of the same fixes, tried with the same checks. Only what it replaced may be another one.
    pub(super) async fn is_made_already(
        &self,
        run: &Run,
        set: &[Place],
    ) -> Result<Option<BuildNumber>, AppError> {
        let Some(Earlier { build, .. }) = run.progress.earlier else { return Ok(None) };
        let made = self.store().build(build).await?;
        let replaces = made.options.replaces;
        let (_, key) = self.order_of(run, &SetOrder { set, is_probe: false, replaces })?;
        let is_it = made.state == BuildState::Succeeded
            && made.key == key
            && self.store().has_livepatch(build).await?;
        Ok(is_it.then_some(build))
    }
}

impl Run {
    /// What the trial of a set must see.
    pub(super) fn checks(&self, set: &[Place]) -> Vec<BehaviourCheck> {
        let units = set.iter().filter_map(|place| self.progress.units.get(*place));
        let cves: BTreeSet<_> = units
            .flat_map(|unit| &unit.cves)
            .filter_map(|position| self.cves.get(*position).map(|cve| cve.result.id))
            .collect();
        let checks = self.asked.request.checks.iter();
        let checks = checks.filter(|check| check.cve.is_none_or(|cve| cves.contains(&cve)));
        checks.map(elivepatch_api::RunCheck::check).collect()
    }

    /// The module that the livepatch of a set is to replace in its trial.
    pub(super) fn replaces(&self) -> Option<Sha256Digest> {
        let earlier = self.progress.earlier.as_ref().filter(|earlier| !earlier.is_unusable);
        earlier.map(|earlier| earlier.module)
    }
}

/// Whether an earlier run was for the kernel of this one, as far as is known of both.
fn is_same_kernel(run: &Run, earlier: &RunRecord, asked: &Asked, progress: &Progress) -> bool {
    fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
        one.zip(other).is_none_or(|(one, other)| one == other)
    }
    let digests = |asked: &Asked| -> Vec<Sha256Digest> {
        asked.baseline.iter().map(|patch| patch.digest).collect()
    };
    let (target, other) = (&run.asked.request.target, &asked.request.target);
    target.release == other.release
        && target.architecture == other.architecture
        && run.progress.config_meaning == progress.config_meaning
        && digests(&run.asked) == digests(asked)
        && agree(target.build_id.as_ref(), other.build_id.as_ref())
        && agree(target.kernel_version.as_ref(), other.kernel_version.as_ref())
        && agree(run.record.kallsyms.as_ref(), earlier.kallsyms.as_ref())
}
