use std::fmt;

use serde::{Deserialize, Serialize};

use crate::StepName;

/// Why a build did not give a livepatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// The stable class, for programs.
    pub class: FailureClass,
    /// The step that failed; absent when the request was refused before any step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// What went wrong, naming the object; one line.
    pub message: String,
    /// What the user can do, best a command to run; one line.
    pub hint: String,
    /// Further lines of evidence: compiler errors, rejected hunks, differing options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// Whose fault a failure is: it decides whether it is worth trying again, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The request itself is at fault; the same request always fails before anything is compiled.
    Request,
    /// The patch does not give a safe livepatch for this target; the verdict is final.
    Patch,
    /// Something around the build failed: disk, network, worker. The same request may pass later.
    Infrastructure,
}

macro_rules! failure_classes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $fault:ident;)+) => {
        /// The stable class of a failure. Programs and metrics use it; nobody parses messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum FailureClass {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl FailureClass {
            /// All classes, in the order of their documentation.
            pub const ALL: &[FailureClass] = &[$(FailureClass::$variant),+];

            /// The name on the wire, in metrics and in docs.
            pub fn as_str(self) -> &'static str {
                match self { $(FailureClass::$variant => $name,)+ }
            }

            /// Whose fault it is.
            pub fn fault(self) -> Fault {
                match self { $(FailureClass::$variant => Fault::$fault,)+ }
            }

            /// When it happens, as in the documentation of the variant.
            pub fn description(self) -> &'static str {
                match self { $(FailureClass::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

failure_classes! {
    /// The patch has no hunk.
    PatchEmpty = "patch-empty", Request;
    /// The patch is not a unified diff.
    PatchUnreadable = "patch-unreadable", Request;
    /// The patch changes a binary file.
    PatchBinary = "patch-binary", Request;
    /// The patch is larger than the limit.
    PatchTooLarge = "patch-too-large", Request;
    /// The patch names a path that is absolute or leaves the source tree.
    PatchPathOutsideTree = "patch-path-outside-tree", Request;
    /// The patch makes, changes or goes through a symbolic link.
    PatchSymlink = "patch-symlink", Request;
    /// The patch touches no code that could be compiled into the kernel.
    PatchNoCode = "patch-no-code", Request;
    /// The patch changes assembly, which cannot be live-patched.
    PatchAssembly = "patch-assembly", Request;
    /// The patch changes how the kernel is built (Makefile, Kbuild, Kconfig, linker script).
    PatchBuildSystem = "patch-build-system", Request;
    /// The patch changes a header; this version builds patches to .c files only.
    PatchHeader = "patch-header", Request;
    /// The patch adds, removes or renames a file; this version builds changed files only.
    PatchFileSet = "patch-file-set", Request;
    /// The patch changes code that cannot be live-patched by its place: lib/, vdso, boot code.
    PatchUnpatchableCode = "patch-unpatchable-code", Request;
    /// The config is not a kernel config.
    ConfigUnreadable = "config-unreadable", Request;
    /// The config or target is for an architecture that is not served.
    ArchitectureUnsupported = "architecture-unsupported", Request;
    /// An option of the config makes live patching impossible.
    ConfigUnsupported = "config-unsupported", Request;
    /// The server has no source for the target's release.
    ReleaseUnknown = "release-unknown", Request;
    /// The config is not the one that the release was built with.
    ConfigMismatch = "config-mismatch", Request;
    /// The running image is not the one that the release's package holds.
    BuildIdMismatch = "build-id-mismatch", Request;
    /// The engine that the request asks for cannot serve this kernel.
    EngineUnsupported = "engine-unsupported", Request;
    /// No toolchain root holds the target's compiler.
    ToolchainUnknown = "toolchain-unknown", Request;
    /// A hunk does not apply to the target's source.
    PatchDoesNotApply = "patch-does-not-apply", Patch;
    /// The code that the patch touches is in a loadable module; this version patches vmlinux only.
    CodeInModule = "code-in-module", Patch;
    /// The config leaves the code that the patch touches out of the kernel and its modules.
    CodeNotBuilt = "code-not-built", Patch;
    /// The patched source does not compile.
    CompileFailed = "compile-failed", Patch;
    /// The original source does not compile on the base: the base is wrong.
    BaseCompileFailed = "base-compile-failed", Infrastructure;
    /// The patch changes no function of the compiled code.
    NoFunctionalChange = "no-functional-change", Patch;
    /// kpatch cannot express the change: changed data, init code, unpatchable function.
    NotPatchable = "not-patchable", Patch;
    /// The module could not be linked.
    LinkFailed = "link-failed", Patch;
    /// The finished module is not what it must be (vermagic, symbols, CRCs).
    ModuleInvalid = "module-invalid", Patch;
    /// The kernel did not load the livepatch in the trial.
    TrialLoadFailed = "trial-load-failed", Patch;
    /// The transition did not end, or did not go back, in the trial.
    TrialTransitionStalled = "trial-transition-stalled", Patch;
    /// A behaviour check of the request did not hold in the trial.
    TrialCheckFailed = "trial-check-failed", Patch;
    /// The kernel warned, oopsed or died in the trial after the livepatch was loaded.
    TrialKernelFault = "trial-kernel-fault", Patch;
    /// The guest did not get far enough to try the livepatch.
    TrialBootFailed = "trial-boot-failed", Infrastructure;
    /// A build tool used more time, memory, processes or output than the limits allow.
    LimitExceeded = "limit-exceeded", Patch;
    /// The sandbox could not be set up.
    SandboxFailed = "sandbox-failed", Infrastructure;
    /// A package could not be fetched, or its digest was wrong.
    FetchFailed = "fetch-failed", Infrastructure;
    /// The toolchain root could not be made.
    ToolchainFailed = "toolchain-failed", Infrastructure;
    /// The base could not be prepared.
    BaseFailed = "base-failed", Infrastructure;
    /// The worker's disk is full.
    DiskFull = "disk-full", Infrastructure;
    /// The worker that had the build was lost too often.
    WorkerLost = "worker-lost", Infrastructure;
    /// Something in elivepatch itself is wrong.
    Internal = "internal", Infrastructure;
}

impl Failure {
    /// A failure with neither step nor details.
    pub fn new(class: FailureClass, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { class, step: None, message: message.into(), hint: hint.into(), details: Vec::new() }
    }

    /// Adds lines of evidence.
    #[must_use]
    pub fn with_details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Names the step that failed.
    #[must_use]
    pub fn in_step(mut self, step: StepName) -> Self {
        self.step = Some(step);
        self
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.class)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_same_on_the_wire() {
        let mut names: Vec<&str> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
        for class in FailureClass::ALL {
            let wire = serde_json::to_string(class).expect("a plain name");
            assert_eq!(wire, format!("\"{class}\""));
            assert!(class.description().ends_with('.'), "{class}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FailureClass::ALL.len());
    }
}
