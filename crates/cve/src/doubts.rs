//! Which files of a fix say nothing by not being compiled.

use crate::{FileState, Kernel};

/// Directories of which nothing is ever part of a kernel unless it is compiled like the rest.
const OUTSIDE: [&str; 3] = ["Documentation/", "samples/", "tools/"];

/// Directories whose code is linked apart from vmlinux and the modules, or works while they are built: it
/// is in the kernel's image, or in its effects, without being known as a part of it.
const APART: [&str; 6] = [
    "arch/x86/realmode/",
    "arch/x86/purgatory/",
    "drivers/firmware/efi/libstub/",
    "lib/vdso/",
    "scripts/",
    "usr/",
];

/// Why it cannot be said of the files of a fix that none is part of a kernel but those that are compiled.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// A file is not in the source: the code may lie elsewhere, under whatever name.
    pub absent: Option<String>,
    /// A file says nothing by not being compiled.
    pub other: Option<String>,
}

impl Doubts {
    /// Looks at the files that are not compiled.
    pub(crate) fn of(files: &[String], kernel: &Kernel) -> Self {
        if files.is_empty() {
            return Self { other: Some("its record names no file".to_owned()), ..Self::default() };
        }
        let is_compiled =
            |file: &str| kernel.built.is_some_and(|built| !built.parents(file).is_empty());
        let mut doubts = Self::default();
        let is_inside = |file: &&String| !OUTSIDE.iter().any(|outside| file.starts_with(outside));
        for file in files.iter().filter(is_inside).filter(|file| !is_compiled(file)) {
            if (kernel.file_state)(file) == FileState::Absent {
                let why = format!("this kernel's source has no {file}: the code may lie elsewhere");
                doubts.absent.get_or_insert(why);
            } else if let Some(why) = silent(file) {
                doubts.other.get_or_insert(why);
            }
        }
        doubts
    }

    /// The heaviest of them.
    pub(crate) fn any(self) -> Option<String> {
        self.absent.or(self.other)
    }
}

/// Why a file that is there and not compiled may be part of a kernel all the same.
fn silent(file: &str) -> Option<String> {
    let is_apart = APART.iter().any(|apart| file.starts_with(apart)) || is_boot_or_vdso(file);
    if is_apart {
        return Some(format!(
            "{file} is linked apart from the kernel, or used to build it: its objects are not listed"
        ));
    }
    match file.rsplit_once('.').map(|(_, ending)| ending) {
        Some("c" | "S") => None,
        Some("h") => {
            Some(format!("{file} is a header: what includes it is known when it is built"))
        }
        _ => Some(format!("{file} is no C or assembler file: what it is used for is not known")),
    }
}

/// `arch/*/boot/`, and the vDSO's directories, which are called `vdso`, `vdso32` and so on.
fn is_boot_or_vdso(file: &str) -> bool {
    let mut parts = file.split('/');
    if parts.next() != Some("arch") {
        return false;
    }
    let (_, mut rest) = (parts.next(), parts.peekable());
    rest.peek() == Some(&"boot") || rest.any(|part| part.starts_with("vdso") && !part.contains('.'))
}
