//! What the failure of a build says of the fixes in it.

use elivepatch_cve::Outcome;
use elivepatch_model::{Failure, FailureClass, Fault};

/// Whether no fix is to blame for a failure: the kernel, its source, its compiler or the machine is, so
/// that no other fix could do better.
pub(super) fn ends_run(class: FailureClass) -> bool {
    match class {
        FailureClass::ConfigUnreadable
        | FailureClass::ArchitectureUnsupported
        | FailureClass::ConfigUnsupported
        | FailureClass::ReleaseUnknown
        | FailureClass::BaselineDoesNotApply
        | FailureClass::KernelDoesNotBuild
        | FailureClass::ConfigMismatch
        | FailureClass::BuildIdMismatch
        | FailureClass::CompilerMismatch
        | FailureClass::UnprovenNotAllowed
        | FailureClass::KallsymsUnreadable
        // It says nothing of any fix.
        | FailureClass::TrialCheckUnusable
        | FailureClass::ToolchainUnknown => true,
        // A tool or the builder itself gave up on this very fix.
        FailureClass::EngineFailed
        | FailureClass::BaseCompileFailed
        | FailureClass::Internal
        | FailureClass::WorkerLost => false,
        class => class.fault() == Fault::Infrastructure,
    }
}

/// What became of a CVE whose fix was tried and failed.
pub(super) fn outcome(failure: Failure) -> Outcome {
    match failure.class {
        FailureClass::PatchDoesNotApply => Outcome::DoesNotApply { failure },
        FailureClass::FixInSource => Outcome::AlreadyInSource,
        // Code of another architecture, code that the config leaves out, a change that no code shows.
        FailureClass::PatchNoCode
        | FailureClass::CodeNotBuilt
        | FailureClass::NoFunctionalChange => Outcome::NotBuilt { failure },
        FailureClass::CompileFailed
        | FailureClass::BaseCompileFailed
        | FailureClass::LinkFailed
        | FailureClass::EngineFailed
        | FailureClass::BaseDoesNotFit
        | FailureClass::FitUnproven
        | FailureClass::Unknown => Outcome::BuildFailed { failure },
        // Another time, or on another machine, it may come to something.
        FailureClass::LimitExceeded | FailureClass::WorkerLost | FailureClass::Internal => {
            Outcome::CouldNotTry { failure }
        }
        _ => Outcome::NotPatchable { failure },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_of_a_fix_or_of_the_run() {
        for class in FailureClass::ALL {
            let is_of_patch = class.fault() == Fault::Patch || class.as_str().starts_with("patch-");
            assert!(!(is_of_patch && ends_run(*class)), "{class}");
        }
        assert!(ends_run(FailureClass::DiskFull) && ends_run(FailureClass::ToolchainUnknown));
    }

    #[test]
    fn code_that_is_not_there_is_no_failure_of_its_fix() {
        let of = |class| outcome(Failure::new(class, "", "")).verdict();
        assert_eq!(of(FailureClass::PatchNoCode), "not-built");
        assert_eq!(of(FailureClass::CodeNotBuilt), "not-built");
        assert_eq!(of(FailureClass::NoFunctionalChange), "not-built");
        assert_eq!(of(FailureClass::FixInSource), "already-fixed");
        assert_eq!(of(FailureClass::PatchDoesNotApply), "does-not-apply");
        assert_eq!(of(FailureClass::CompileFailed), "build-failed");
        assert_eq!(of(FailureClass::DataStructureChanged), "not-patchable");
    }
}
