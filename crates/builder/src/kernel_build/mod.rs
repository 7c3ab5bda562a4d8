//! Running the build of a whole kernel, which takes minutes to hours: what it needs to be gone on
//! with after an interruption, and to tell how far it is. Built bases are made so, and what the
//! klp-build engine keeps of the unpatched kernel.

mod first_error;
mod progress;
mod staging;

use elivepatch_model::{Failure, FailureClass};

use self::progress::BuildWatcher;
pub(crate) use self::{
    progress::{Subject, counting_script},
    staging::{Stage, Staging},
};
use crate::{
    Observer,
    sandbox::{Sandbox, SandboxCommand},
};

/// Why make did not make the kernel.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The first error, in a line.
    pub reason: String,
    /// It with what follows, or the last lines where no line looked like an error.
    pub details: Vec<String>,
}

/// One run of make, of what `staging` has so far.
pub(crate) struct KernelRun<'a, S> {
    /// Where the limits are those of building a whole kernel.
    pub sandbox: &'a Sandbox,
    /// What is gone on with when the run is interrupted.
    pub staging: &'a mut Staging<S>,
    /// What is built, for people.
    pub subject: Subject,
    /// How many objects make will make; 0 when that is not known.
    pub objects: u64,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
}

impl<S: Stage> KernelRun<'_, S> {
    /// Runs make to its end, and notes meanwhile what is certainly on the disk.
    ///
    /// # Errors
    /// Those of the sandbox and of writing. That make found something that does not build is the
    /// caller's to tell.
    pub(crate) fn make(self, command: &SandboxCommand) -> Result<Result<(), Broken>, Failure> {
        let step = self.subject.step;
        let watcher = BuildWatcher::new(self.observer, self.staging, self.subject, self.objects);
        let result = self.sandbox.run(command, step, &watcher);
        let (first_error, sync_failure) = watcher.finish();
        let finished = match (result, sync_failure) {
            (Err(_), Some(failure)) => return Err(failure),
            (result, _) => result.map_err(explain_limit)?,
        };
        if finished.succeeded() {
            return Ok(Ok(()));
        }
        let reason = match first_error.summary() {
            Some(line) => line.to_owned(),
            None => finished.last_lines(1).pop().unwrap_or_default(),
        };
        let mut details = first_error.details();
        if details.is_empty() {
            details = finished.last_lines(20);
        }
        Ok(Err(Broken { reason, details }))
    }
}

fn explain_limit(failure: Failure) -> Failure {
    match failure.class {
        FailureClass::LimitExceeded => Failure {
            hint: "raise base_build_seconds, base_disk_limit_mib or memory_limit_mib in the \
                   [builder] section of the server's config; the build goes on where it was"
                .to_owned(),
            ..failure
        },
        _ => failure,
    }
}
