use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose fault a failure is: it decides whether it is worth trying again, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The request itself is at fault; the same request always fails.
    Request,
    /// The patch does not give a safe livepatch for this target; the verdict is final.
    Patch,
    /// Something around the build failed: disk, network, worker. The same request may pass later.
    Infrastructure,
}

macro_rules! failure_classes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $fault:ident, $advice:literal;)+) => {
        /// The stable class of a failure. Programs and metrics use it; nobody parses messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        // For all at once: utoipa does not see a name that comes from the macro's arguments.
        #[serde(rename_all = "kebab-case")]
        pub enum FailureClass {
            $($(#[doc = $doc])+ $variant,)+
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

            /// What the user can do about it, in the Markdown of `docs/failures.md`.
            pub fn advice(self) -> &'static str {
                match self { $(FailureClass::$variant => $advice,)+ }
            }
        }
    };
}

failure_classes! {
    /// The patch has no hunk.
    PatchEmpty = "patch-empty", Request,
        "Look at how the patch was made. `git format-patch -1 COMMIT` writes one for a \
         commit.";
    /// The patch is not a unified diff.
    PatchUnreadable = "patch-unreadable", Request,
        "Send a unified diff, as `git format-patch` or `diff -u` writes it. The message names \
         the line that cannot be read.";
    /// The patch changes a binary file.
    PatchBinary = "patch-binary", Request,
        "Leave the binary file out of the patch.";
    /// The patch is larger than the limit.
    PatchTooLarge = "patch-too-large", Request,
        "Send only the changes that the fix needs. The limit is 1 MiB a patch.";
    /// The patch names a path that is absolute or leaves the source tree.
    PatchPathOutsideTree = "patch-path-outside-tree", Request,
        "Make the patch in the root of the source tree, so that its paths begin with `a/` and \
         `b/`.";
    /// The patch makes, changes or goes through a symbolic link.
    PatchSymlink = "patch-symlink", Request,
        "Leave the symbolic link out of the patch, or change the file that it points to.";
    /// The patch touches no code that could be compiled into the kernel.
    PatchNoCode = "patch-no-code", Request,
        "Nothing has to be done if the patch only touches documentation, tools or tests. \
         Otherwise look at its paths.";
    /// The patch changes assembly, which cannot be live-patched.
    PatchAssembly = "patch-assembly", Request,
        "Change the C code that calls it, or leave the file out.";
    /// The patch changes how the kernel is built (Makefile, Kbuild, Kconfig, linker
    /// script), or a header that the build generates code from.
    PatchBuildSystem = "patch-build-system", Request,
        "Leave the file out. A livepatch is built with the kernel's own build files, and with what \
         was generated when the kernel was built.";
    /// The patch adds a file that nothing compiles or includes, or a module of its own, or it copies
    /// a file or renames a header, or it does nothing but take files away, whose code a running
    /// kernel keeps.
    PatchFileSet = "patch-file-set", Request,
        "Make the functions of a file that is taken away fail instead. Name a new `.c` file in a Makefile (`NAME-y += FILE.o`), and leave headers where they are.";
    /// The patch changes code that cannot be live-patched by its place: lib/, vdso, boot code.
    PatchUnpatchableCode = "patch-unpatchable-code", Request,
        "Fix it by a new kernel and a reboot, or change the code that calls it.";
    /// The config is not a kernel config.
    ConfigUnreadable = "config-unreadable", Request,
        "Send `/proc/config.gz` or `/boot/config-RELEASE` of the target.";
    /// The config or target is for an architecture that is not served.
    ArchitectureUnsupported = "architecture-unsupported", Request,
        "Send the config of an x86-64 kernel. Others are not served yet.";
    /// An option of the config makes live patching impossible.
    ConfigUnsupported = "config-unsupported", Request,
        "The message names the option. Only a kernel that is built with another config can be \
         live-patched.";
    /// No source of the server has the target's release.
    ReleaseUnknown = "release-unknown", Request,
        "The details say of each source why it does not serve, and which releases there are. Name \
         the right one with `--kernel`, or update the target to a kernel that is in the archive. \
         The server's administrator can add a `[[source]]`: of older Debian kernels, of kernel.org, \
         of your own (see [operation](operation.md#sources)).";
    /// A source that the server's config names is missing or damaged, holds what no source tree
    /// holds, or is of another version.
    SourceUnusable = "source-unusable", Infrastructure,
        "This is for the server's administrator. The message names the file and what is wrong \
         with it. Put a clean source tree there, or correct the `[[source]]` in the server's \
         config.";
    /// A patch that is said to be compiled into the target's kernel does not apply to its source, or
    /// the source takes none.
    BaselineDoesNotApply = "baseline-does-not-apply", Request,
        "The message names patch, file and hunk. Send the patches that were applied when the running \
         kernel was built, all of them and in that order; and none for a stock kernel of Debian.";
    /// The whole kernel does not build from its source with this config.
    KernelDoesNotBuild = "kernel-does-not-build", Request,
        "The message has the first error of the build. Send the running kernel's own config; \
         if it is that, the server's administrator should look whether the source is the one \
         that the kernel was built from, and whole.";
    /// The config is not the one that the release was built with.
    ConfigMismatch = "config-mismatch", Request,
        "Send the config that belongs to the running kernel. For a kernel that was built with \
         its own config, name its source tree in a `[[source]]` of the server's config.";
    /// The running image is not the one that the release's package holds.
    BuildIdMismatch = "build-id-mismatch", Request,
        "Boot the package's kernel. The running one was rebuilt, or another version of the \
         package is installed.";
    /// The compiler that the config names is not the one that built the running kernel.
    CompilerMismatch = "compiler-mismatch", Request,
        "Send the running kernel's own config: `/proc/config.gz`, or the file that was installed with \
         the kernel. If the kernel was rebuilt with another compiler, boot what was built.";
    /// The request accepts a livepatch without proof that the base fits the target, and the server's
    /// policy does not allow that.
    UnprovenNotAllowed = "unproven-not-allowed", Request,
        "Leave `--accept-unproven` out. The server's administrator can allow it with \
         `allow_unproven` in the `[policy]` section of the server's config.";
    /// The list of the running kernel's symbols cannot be read.
    KallsymsUnreadable = "kallsyms-unreadable", Request,
        "Send it as `elivepatch facts` collects it. The message names the line that cannot be read.";
    /// What the base compiles is not what the target runs.
    BaseDoesNotFit = "base-does-not-fit", Request,
        "The message says which function differs, and the likely cause: another compiler or patch \
         level of it, another config option, or a patch that the running kernel was built with and \
         the source on the server lacks. Give the server the right one. `--accept-unproven` makes \
         the livepatch all the same where the server's policy allows it; what it does to the \
         running kernel is then not known.";
    /// Nothing proves that the base is what the target runs.
    FitUnproven = "fit-unproven", Request,
        "On the machine to be patched run `sudo elivepatch facts --config FILE --output F`, with the \
         running kernel's config and as root, which sees the addresses of its symbols; then \
         `elivepatch build --facts F`. For a kernel that cannot be compared, `--accept-unproven` makes the livepatch \
         all the same where the server's policy allows it.";
    /// The engine that the request asks for cannot serve this kernel.
    EngineUnsupported = "engine-unsupported", Request,
        "Leave `--engine` out: the server then decides. The message says what stands in the way.";
    /// A rebuild would be made from another source or toolchain root than the livepatch was.
    RebuildDiffers = "rebuild-differs", Request,
        "Rebuild on a server that has the same source and toolchain root, or compare all the same \
         with `elivepatch rebuild --anyway`.";
    /// A config, a patch or the request of a rebuild is not the one that the manifest names.
    ManifestMismatch = "manifest-mismatch", Request,
        "The message names what does not fit. Give the manifest as the server gave it, and the \
         config and patches that the livepatch was built from; what the server still has need not \
         be given.";
    /// No toolchain root holds the target's compiler.
    ToolchainUnknown = "toolchain-unknown", Request,
        "The details list the compilers that the server has. Add a recipe (see \
         [CONTRIBUTING](../CONTRIBUTING.md#adding-a-toolchain-recipe)).";
    /// A hunk does not apply to the target's source.
    PatchDoesNotApply = "patch-does-not-apply", Patch,
        "The details name the file, the hunk and its line in the patch. Take the fix from the \
         target's own stable branch, or port it.";
    /// The target's source has the fix already: it can be taken back from it, hunk by hunk.
    FixInSource = "fix-in-source", Patch,
        "Nothing: the kernel has the fix, although its version may not say so.";
    /// The config leaves the code that the patch touches out of the kernel and its modules.
    CodeNotBuilt = "code-not-built", Patch,
        "Nothing: the kernel does not contain the code.";
    /// The patched source does not compile.
    CompileFailed = "compile-failed", Patch,
        "Correct the patch. The line numbers before the messages are those of the patch.";
    /// The original source does not compile on the base: the base is wrong.
    BaseCompileFailed = "base-compile-failed", Infrastructure,
        "Report it with the build's log. It is not the patch's fault.";
    /// The patch changes no function of the compiled code.
    NoFunctionalChange = "no-functional-change", Patch,
        "Look whether the changed lines are compiled with this config.";
    /// The patch changes data that the running kernel holds: a value, the size of a variable, a
    /// constant table.
    DataChanged = "data-changed", Patch,
        "Leave the data as it is. Set the new value in a pre-patch callback, or decide in the code \
         that reads it (see [patchability](patchability.md#changed-data)).";
    /// A static local variable that the running code uses has no counterpart in the patched code.
    StaticLocalRemoved = "static-local-removed", Patch,
        "Keep the variable under its name and use it once, as in `(void)READ_ONCE(name)` (see \
         [patchability](patchability.md#static-local-removed)).";
    /// The patch changes code or data marked `__init` or `__exit`, which has run and is gone.
    InitCode = "init-code", Patch,
        "Leave that change out; elivepatch does so by itself where nothing else hangs on \
         it. What must act now belongs into a callback (see \
         [patchability](patchability.md#init-code)).";
    /// The patch changes a function that the kernel cannot redirect: no call to `__fentry__` begins
    /// it.
    FunctionNotTraceable = "function-not-traceable", Patch,
        "Change the nearest traceable function that calls it (see \
         [patchability](patchability.md#not-traceable)).";
    /// The patch changes a function that holds a constant which the kernel writes into its own code
    /// when it boots (`runtime_const_ptr()`: the limit of user addresses in `access_ok()` and
    /// `user_access_begin()`, the table of `fs/dcache.c`), and into no livepatch.
    RuntimeConstant = "runtime-constant", Patch,
        "The details name the functions and the constants. Change functions that do not hold one, \
         or have the whole file read the variable instead (see \
         [patchability](patchability.md#runtime-constant)).";
    /// A function or variable changes its storage class, kind or section.
    SymbolChanged = "symbol-changed", Patch,
        "Leave `static`, kind and section as they are, or add a new symbol under another name (see \
         [patchability](patchability.md#linkage)).";
    /// An exported function takes or gives something else. Modules that call it and are not compiled
    /// with the patch would call it as before.
    ExportedSignatureChanged = "exported-signature-changed", Patch,
        "Keep the function as it is, and add a new one under another name for the changed callers \
         (see [patchability](patchability.md#exported-signature)).";
    /// A section changes that no livepatch can hold: code or data in a section of its own, a group.
    SectionUnsupported = "section-unsupported", Patch,
        "Change the functions that call or use what is in the section, or have them use a copy \
         without the attribute (see [patchability](patchability.md#section-code)).";
    /// The changed code branches on a static key that a livepatch cannot use, such as a module's.
    JumpLabelUnsupported = "jump-label-unsupported", Patch,
        "Use `static_key_enabled(&key)` in the changed functions (see \
         [patchability](patchability.md#static-key)).";
    /// The changed code makes a static call that a livepatch cannot use, such as a module's.
    StaticCallUnsupported = "static-call-unsupported", Patch,
        "Use `KPATCH_STATIC_CALL()` with the engine kpatch, or `KLP_STATIC_CALL()` with klp-build \
         (see [patchability](patchability.md#static-key)).";
    /// The changed code uses a function or variable that neither kernel nor patch has.
    SymbolNotFound = "symbol-not-found", Patch,
        "Use only what this kernel contains. What the fix needs beside it must be in the patch: \
         look for a commit that it depends on.";
    /// The livepatch would replace or use another symbol of the same name than the patch means, or
    /// it cannot be told which of several it is.
    SymbolAmbiguous = "symbol-ambiguous", Patch,
        "The details list the symbols of that name. Where the patch changes a weak default that \
         another file overrides, change that file. Otherwise leave the function as it is and change \
         those that call it, or have the changed code use another symbol.";
    /// The changed code of a module begins to use another module, on which it did not depend.
    ModuleDependency = "module-dependency", Patch,
        "Use only what vmlinux, the patched module or the modules that it depends on export.";
    /// The changed code uses a symbol of a namespace that the livepatch does not import: the kernel
    /// itself need not, modules must.
    NamespaceNotImported = "namespace-not-imported", Patch,
        "Add `MODULE_IMPORT_NS(NAME);` to the changed file (from Linux 6.13 on with quotation marks \
         around the name). The details name the namespace.";
    /// The changed code refers to something in a way that a livepatch cannot hold.
    RelocationUnsupported = "relocation-unsupported", Patch,
        "Have the changed functions refer to it in another way, such as through a function of the \
         kernel. The details name the place. On 7.x kernels, kpatch refuses every file that holds a \
         `WARN` with a message; for a kernel that the server builds from source, `--engine klp-build` \
         serves.";
    /// The engine's tools cannot express the change, for a reason that has no class of its own.
    NotPatchable = "not-patchable", Patch,
        "The details have the tool's own words. Change only code of ordinary functions; \
         [patchability](patchability.md) says what else can be done, and how.";
    /// The patch changes the layout of a data structure: memory that is in use has the old one.
    DataStructureChanged = "data-structure-changed", Patch,
        "The details name structure, member and offsets. Keep the structure as it is, and keep \
         new data in a shadow variable (`klp_shadow_alloc`).";
    /// The touched headers together reach more objects than the server compiles for a request.
    HeaderFanOut = "header-fan-out", Patch,
        "Move the change into the `.c` files that need it. The operator can raise \
         `header_objects` in the `[builder]` section of the server's config.";
    /// A tool of the engine crashed, or stopped over something that is not known to be the patch's
    /// fault, such as an object that it cannot read.
    EngineFailed = "engine-failed", Infrastructure,
        "Report it with the build's log and the patch; the details have the tool's own words.";
    /// The module could not be linked.
    LinkFailed = "link-failed", Patch,
        "Look at the last lines of the linker in the details.";
    /// The finished module is not what it must be (vermagic, symbols, CRCs).
    ModuleInvalid = "module-invalid", Patch,
        "Look at the details. When the patch calls a function that the kernel does not export \
         to modules, write it another way. Otherwise report it.";
    /// The kernel did not load the livepatch in the trial.
    TrialLoadFailed = "trial-load-failed", Patch,
        "Do not load the module. The details hold the kernel's own words.";
    /// The transition did not end, or did not go back, in the trial.
    TrialTransitionStalled = "trial-transition-stalled", Patch,
        "The details name the tasks and where they sleep. Leave the function in which they \
         sleep out of the patch.";
    /// A behaviour check of the request did not hold in the trial.
    TrialCheckFailed = "trial-check-failed", Patch,
        "Compare the output in the details with what the check expects: either the fix or the \
         check is wrong.";
    /// A behaviour check of the request did not hold before the livepatch was loaded: whatever the livepatch does,
    /// it shows nothing of it.
    TrialCheckUnusable = "trial-check-unusable", Request,
        "Correct the check: its `before` must be in the output of the command on the kernel as shipped. The \
         details hold that output.";
    /// The kernel warned, oopsed or died in the trial after the livepatch was loaded.
    TrialKernelFault = "trial-kernel-fault", Patch,
        "Do not load the module. The console lines in the details name the function.";
    /// The module could not be signed with the key of the server's config.
    SigningFailed = "signing-failed", Infrastructure,
        "This is for the server's administrator. The message says what is wrong with the key, its certificate or \
         its passphrase in the `[signing]` section of the server's config; `elivepatch-server check-config` tries \
         them (see [signing](signing.md)).";
    /// The livepatch of an earlier run, which the new one is to replace, did not become active in the
    /// trial, so that the replacing was not tried.
    TrialEarlierFailed = "trial-earlier-failed", Patch,
        "The details hold the kernel's own words on the earlier livepatch. Until then the trial of the \
         new one had no fault; a CVE run goes on without trying to replace the earlier one.";
    /// The guest did not get far enough to try the livepatch.
    TrialBootFailed = "trial-boot-failed", Infrastructure,
        "Look at the last lines of the console. QEMU and busybox must be installed. A slow \
         machine needs a larger `trial_time_limit_seconds`.";
    /// A build tool used more time, memory, processes or output than the limits allow.
    LimitExceeded = "limit-exceeded", Patch,
        "If the patch is sound, raise the limit in the `[builder]` section of the server's \
         config.";
    /// The sandbox could not be set up.
    SandboxFailed = "sandbox-failed", Infrastructure,
        "Install bubblewrap and allow user namespaces (see \
         [operation](operation.md#what-the-server-says-at-its-start)).";
    /// A package, a tarball or a tag could not be fetched, or its digest or signature was wrong.
    FetchFailed = "fetch-failed", Infrastructure,
        "Check the network, and the mirror in the `[debian]` section or the address in the \
         `[[source]]`, then submit again. What was fetched is kept.";
    /// The toolchain root could not be made.
    ToolchainFailed = "toolchain-failed", Infrastructure,
        "Do what the hint says; the build's log has the output of mmdebstrap, tar, skopeo or umoci. \
         Users other than root need user namespaces (see [operation](operation.md#as-a-service)).";
    /// The base could not be prepared.
    BaseFailed = "base-failed", Infrastructure,
        "Look at the details. If a package is laid out in a new way, report it with the \
         release.";
    /// The worker's disk is full.
    DiskFull = "disk-full", Infrastructure,
        "Make room on the disk that the message names (see [operation](operation.md#disk)), \
         then submit again.";
    /// The worker that had the build was lost too often.
    WorkerLost = "worker-lost", Infrastructure,
        "Look in the log of the server, or of the worker where another machine builds, for why \
         it stopped, such as lack of memory or of a network. Then submit again.";
    /// Something in elivepatch itself is wrong.
    Internal = "internal", Infrastructure,
        "Report it with the log of the server, and of the worker where another machine builds.";
    /// In the answer of a newer server: a class that this version does not know.
    Unknown = "unknown", Patch,
        "Update elivepatch: the server knows more reasons than this version does.";
    /// No longer given; in records of older versions: the patch changes a header.
    PatchHeader = "patch-header", Request,
        "Submit the patch again: patches to headers are built now.";
    /// No longer given; in records of older versions: the patch changes code of a loadable module.
    CodeInModule = "code-in-module", Patch,
        "Submit the patch again: code of loadable modules is patched now.";
}

impl FailureClass {
    /// [`FailureClass::advice`] as plain text of one line, as a hint on a terminal: links as paths in
    /// the source tree, no stop at the end.
    pub fn hint(self) -> String {
        let mut text = self.advice().trim_end_matches('.').replace('`', "");
        while let Some(middle) = text.find("](") {
            let start = text[..middle].rfind('[').unwrap_or(middle);
            let end = text[middle..].find(')').map_or(text.len(), |length| middle + length);
            let path = match &text[middle + 2..end] {
                path if path.starts_with("../") => path[3..].to_owned(),
                path => format!("docs/{path}"),
            };
            text.replace_range(start..(end + 1).min(text.len()), &path);
        }
        let first = text.chars().next().map(|first| first.to_ascii_lowercase());
        first.into_iter().chain(text.chars().skip(1)).collect()
    }
}

/// A client must be able to read what a newer server says.
impl<'de> Deserialize<'de> for FailureClass {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = FailureClass::ALL.iter().find(|class| class.as_str() == name);
        Ok(known.copied().unwrap_or(FailureClass::Unknown))
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_same_on_the_wire() {
        let mut names: Vec<&str> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
        for class in FailureClass::ALL {
            let wire = serde_json::to_string(class).expect("a plain name");
            assert_eq!(wire, format!("\"{class}\""));
            for text in [class.description(), class.advice()] {
                assert!(text.ends_with('.') && !text.contains('|'), "{class}: {text:?}");
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FailureClass::ALL.len());
    }

    #[test]
    fn hint_is_the_advice_as_plain_text() {
        let hint = FailureClass::ToolchainUnknown.hint();
        let said = "the details list the compilers that the server has. Add a recipe (see \
                    CONTRIBUTING.md#adding-a-toolchain-recipe)";
        assert_eq!(hint, said);
        let hint = FailureClass::SourceUnusable.hint();
        assert!(hint.ends_with("correct the [[source]] in the server's config"), "{hint}");
        for class in FailureClass::ALL {
            let hint = class.hint();
            assert!(!hint.contains("](") && !hint.contains('`') && !hint.contains('\n'), "{hint}");
        }
    }

    /// What was given once is in databases, metrics and scripts: a name is only ever added.
    #[test]
    fn no_class_has_gone() {
        let names: Vec<&str> = FailureClass::ALL.iter().map(|class| class.as_str()).collect();
        let once = include_str!("../tests/failure-classes.txt");
        let gone: Vec<&str> = once.lines().filter(|name| !names.contains(name)).collect();
        assert!(gone.is_empty(), "{gone:?}");
        let new: Vec<_> =
            names.iter().filter(|name| !once.lines().any(|old| old == **name)).collect();
        assert!(new.is_empty(), "add to crates/model/tests/failure-classes.txt: {new:?}");
    }

    #[test]
    fn class_of_a_newer_server_is_read_as_unknown() {
        let class: FailureClass = serde_json::from_str("\"of-tomorrow\"").expect("any name");
        assert_eq!(class, FailureClass::Unknown);
        serde_json::from_str::<FailureClass>("1").expect_err("not a name");
    }

    #[test]
    fn classes_of_older_versions_can_still_be_read() {
        for name in ["code-in-module", "patch-header"] {
            let class: FailureClass =
                serde_json::from_str(&format!("\"{name}\"")).expect("a class that was stored once");
            assert_eq!(class.as_str(), name);
            assert!(class.description().starts_with("No longer given;"), "{class}");
        }
    }
}
