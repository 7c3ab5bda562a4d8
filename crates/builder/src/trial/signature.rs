//! The signature of the module, in the trial: a kernel that trusts its key must take it, and nothing else, once it
//! takes only signed modules. A kernel that does not have the key, as a stock one has only its distribution's, is
//! not asked: it would load nothing of ours.

use std::io;

use elivepatch_elf::SignedModule;
use elivepatch_model::{Failure, FailureClass, SignatureTrial, TrialEvidence};

use super::{
    ConsoleFindings,
    initrd::Initrd,
    verdict::{CONSOLE_LINES, Course},
};

/// What busybox calls ENOENT, whatever it is of.
const NO_ENTRY: &str = "unknown symbol in module";

/// What is to be done when a kernel lacks an algorithm for signatures.
pub(super) const NO_ALGORITHM: &str = "no symbol is missing, the kernel would name it: it lacks an algorithm that it looks at signatures with. Debian's \
     source needs CONFIG_CRYPTO_SHA256=y, beside the hash that is signed and CONFIG_CRYPTO_RSA=y or \
     CONFIG_CRYPTO_ECDSA=y";

/// Whether the kernel refused a signed module because it lacks an algorithm. It says nothing of that on its console,
/// where it names every symbol that is missing. Debian's kernels take the SHA-256 of a module whose signature is good,
/// to look for it in a list (`mod_is_hash_blacklisted()`, a patch to `kernel/module/signing.c`).
pub(super) fn lacks_an_algorithm(course: &Course<'_>, findings: &ConsoleFindings) -> bool {
    let said = course.transcript.load_failure.as_ref();
    course.is_signed
        && findings.load_problems.is_empty()
        && said.is_some_and(|said| said.contains(NO_ENTRY))
}

/// Puts two copies of a signed module into the guest that it must refuse.
pub(super) fn add_copies(initrd: &mut Initrd, module: &[u8]) -> io::Result<()> {
    let Some(SignedModule { content, signature }) = SignedModule::split(module) else {
        return Ok(());
    };
    initrd.file("trial/unsigned.ko", content)?;
    let mut changed = content.to_vec();
    // Wherever it is, it is signed; the kernel looks at the signature before anything else.
    let middle = changed.len() / 2;
    if let Some(byte) = changed.get_mut(middle) {
        *byte ^= 1;
    }
    let tampered = SignedModule { content: &changed, signature }.join();
    initrd.file("trial/tampered.ko", &tampered)
}

/// What the guest's kernel made of the module's signature; `None` when it was not asked.
///
/// # Errors
/// `trial-load-failed` when it took what it should have refused.
pub(super) fn shown_signature(course: &Course<'_>) -> Result<Option<SignatureTrial>, Failure> {
    let Some(copy) = &course.transcript.signature_accepted else {
        return Ok(course.transcript.signature);
    };
    let name = course.input.module_name;
    Err(Failure::new(
        FailureClass::TrialLoadFailed,
        format!("the kernel was to take only signed modules, and took the {copy} copy of {name}"),
        "report this as a bug of elivepatch, with the build's log",
    )
    .with_details(course.console.since_loading(course.mark, CONSOLE_LINES)))
}

/// The guest must have reported on the signature of a module that has one.
///
/// # Errors
/// `trial-boot-failed` when it did not.
pub(super) fn check_reported(evidence: &TrialEvidence, name: &str) -> Result<(), Failure> {
    if evidence.signature.is_some() {
        return Ok(());
    }
    Err(Failure::new(
        FailureClass::TrialBootFailed,
        format!("the guest did not report on the signature of {name}"),
        "submit the build again; report a bug of elivepatch if it happens again",
    ))
}
