//! Making a base ready before anybody orders a livepatch: the first steps of a build.

use std::collections::BTreeSet;

use camino::Utf8Path;
use elivepatch_model::{BaseKind, BuildKey, Failure, Sha256Digest, Step, StepName, TargetFacts};

use elivepatch_patch::SourcePatch;

use super::Job;
use crate::{BaselinePatch, BuildOrder, Builder, Observer, headers::HeaderLimit, steps::Steps};

/// A base that is ready.
#[derive(Debug, Clone)]
pub struct WarmBase {
    /// Its name in the cache.
    pub name: String,
    /// Whether it is prepared or built.
    pub kind: BaseKind,
    /// The steps that it took.
    pub steps: Vec<Step>,
}

/// Runs the steps of a build up to the base.
pub(crate) fn warm(
    builder: &Builder,
    target: &TargetFacts,
    config: &[u8],
    baseline: &[BaselinePatch],
    observer: &dyn Observer,
) -> Result<WarmBase, Failure> {
    for BaselinePatch { name, text } in baseline {
        SourcePatch::parse_baseline(text).map_err(|error| {
            let failure = error.failure();
            Failure { message: format!("baseline patch {name}: {}", failure.message), ..failure }
        })?;
    }
    let order = BuildOrder {
        // No build: nothing is made that would have it.
        key: BuildKey(Sha256Digest::of(b"")),
        target: target.clone(),
        config: config.to_vec(),
        fixes: Vec::new(),
        checks: Vec::new(),
        without: BTreeSet::new(),
        engine: None,
        replaces: None,
        stack: false,
        accept_unproven: false,
        kallsyms: None,
        baseline: baseline.to_vec(),
        rebuild: None,
    };
    // None of these steps writes into a build's directory.
    let header_limit = HeaderLimit::of_builds(&builder.options);
    let work = Utf8Path::new("/nonexistent");
    let job = Job { builder, order: &order, observer, work, header_limit };
    let mut steps = Steps::new(observer);
    let (config, mut source) = steps.run(StepName::Source, || job.find_source())?;
    let toolchain = steps.run(StepName::Toolchain, || job.toolchain_root(&config))?;
    let base = steps.run(StepName::Base, || job.base(&config, &mut source, &toolchain))?;
    let (name, kind) = (base.name().to_owned(), source.source.base_kind());
    Ok(WarmBase { name, kind, steps: steps.into_done() })
}
