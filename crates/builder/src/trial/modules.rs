//! The modules that a livepatch patches, in its trial: were they there, and were their functions
//! replaced, whichever of the two came first?

use std::io;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use super::{initrd::Initrd, protocol::Phase, verdict::Course};

/// A module of the target that is loaded before the livepatch.
#[derive(Debug, Clone, Copy)]
pub struct TrialModule<'a> {
    /// Its name, as `lsmod` shows it.
    pub name: &'a str,
    /// Its file, not compressed; absent when the target's packages do not have it.
    pub file: Option<&'a Utf8Path>,
    /// Whether the livepatch replaces functions of it; else it is there because others need it.
    pub is_patched: bool,
}

/// Puts the modules into the guest, with the list by which it loads them.
pub(super) fn add_modules(initrd: &mut Initrd, modules: &[TrialModule]) -> io::Result<()> {
    initrd.directory("trial/modules")?;
    let mut list = String::new();
    for TrialModule { name, file, is_patched } in modules {
        let Some(file) = file else { continue };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let text = format!("\"{}\" is not a module name", name.escape_debug());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        initrd.file(&format!("trial/modules/{name}.ko"), &fs_err::read(file)?)?;
        list.push_str(&format!("{name} {}\n", u8::from(*is_patched)));
    }
    initrd.file("trial/modules/list", list.as_bytes())
}

/// What became of the patched modules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ModuleEvidence {
    /// Loaded before the livepatch.
    pub loaded: Vec<String>,
    /// Loaded after it as well.
    pub late: Vec<String>,
    /// Not loaded, each with the reason.
    pub absent: Vec<String>,
}

/// Every patched module that could be loaded must have been patched.
///
/// # Errors
/// `trial-load-failed` when the functions of a loaded module were not replaced, or a module was
/// refused under the livepatch; `trial-boot-failed` when the guest did not report on one.
pub(super) fn check_modules(course: &Course<'_>) -> Result<ModuleEvidence, Failure> {
    let transcript = course.transcript;
    let mut evidence = ModuleEvidence::default();
    for module in course.input.modules.iter().filter(|module| module.is_patched) {
        if transcript.modules_loaded.contains(module.name) {
            evidence.loaded.push(module.name.to_owned());
        } else if module.file.is_none() {
            evidence.absent.push(format!("{}: the packages do not have it", module.name));
        } else if let Some(said) = transcript.modules_absent.get(module.name) {
            evidence.absent.push(format!("{}: {}", module.name, reason(said)));
        } else {
            return Err(Failure::new(
                FailureClass::TrialBootFailed,
                format!("the guest did not report on the module {}", module.name),
                "submit the build again; report a bug of elivepatch if it happens again",
            ));
        }
    }
    evidence.loaded.sort();
    evidence.absent.sort();
    for late in [false, true] {
        let vmlinux = (!late).then_some("vmlinux");
        for object in evidence.loaded.iter().map(String::as_str).chain(vmlinux) {
            let reported = transcript.objects.get(&(late, object.to_owned()));
            let is_missing = !late && object != "vmlinux" && reported.is_none();
            if is_missing || reported == Some(&Some(false)) {
                let order = if late { "that was loaded after it" } else { "that was there" };
                return Err(refused(
                    course,
                    format!("the livepatch is enabled, and {object}, {order}, is not patched"),
                    "report this as a bug of elivepatch, with the build's log",
                ));
            }
        }
    }
    if let Some((module, said)) = &transcript.late_refused {
        return Err(refused(
            course,
            format!(
                "the module {module} cannot be loaded while the livepatch is: {}",
                reason(said)
            ),
            "do not load this livepatch: a host could not load that module any more",
        ));
    }
    if transcript.late_done {
        evidence.late.clone_from(&evidence.loaded);
    } else if transcript.ended && transcript.began(Phase::Again).is_some() {
        return Err(refused(
            course,
            format!("the guest ended while {}", transcript.phase().describe()),
            "report this as a bug of elivepatch, with the build's log",
        ));
    }
    Ok(evidence)
}

fn refused(course: &Course<'_>, message: String, hint: &str) -> Failure {
    let console = course.console.since_loading(course.mark, super::verdict::CONSOLE_LINES);
    Failure::new(FailureClass::TrialLoadFailed, message, hint).with_details(console)
}

/// The system's words in `insmod: can't insert 'x.ko': No such device`.
fn reason(said: &str) -> &str {
    said.rsplit_once(": ").map_or(said, |(_, reason)| reason)
}
