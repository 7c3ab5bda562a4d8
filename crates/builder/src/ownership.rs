//! Where the code of a source file ends up in the target: in vmlinux, in a module, or nowhere.

use std::collections::BTreeSet;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, StepName};

use crate::{
    Observer,
    base::{Base, Workspace},
    failures::io_failure,
    sandbox::Sandbox,
};

/// Asks a directory's Kbuild file for the objects that go into modules. `$(info)` prints while the
/// file is read, so nothing is built.
const KBUILD_QUESTION: &str = r"
include include/config/auto.conf
srctree := .
objtree := .
src := $(DIRECTORY)
obj := $(DIRECTORY)
include scripts/Kbuild.include
include $(firstword $(wildcard $(DIRECTORY)/Kbuild $(DIRECTORY)/Makefile))
members = $(if $(strip $($(1:.o=-objs)) $($(1:.o=-y)) $($(1:.o=-m))),$($(1:.o=-objs)) $($(1:.o=-y)) $($(1:.o=-m)),$(1))
$(foreach module,$(filter %.o,$(obj-m)),$(foreach member,$(call members,$(module)),$(info module $(module:.o=) $(member))))
.PHONY: answered
answered: ; @:
";

/// Refuses sources that are not compiled into vmlinux as files of their own.
///
/// # Errors
/// `code-in-module`, `code-included` or `code-not-built`; `patch-does-not-apply` when there is no
/// such file.
pub(crate) fn check_ownership(
    files: &[String],
    base: &Base,
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let units = base.compile_units()?;
    for file in files {
        if units.contains(file) {
            continue;
        }
        if !is_regular_file(&base.tree(), file) {
            return Err(no_such_file(base, file));
        }
        if let Some(includer) = includer(&base.tree(), file, &units)? {
            return Err(Failure::new(
                FailureClass::CodeIncluded,
                format!("{file} is not compiled by itself: {includer} includes it"),
                "this version builds only files that are compiled by themselves",
            ));
        }
        if let Some(module) = module_of(file, workspace, sandbox, observer)? {
            return Err(Failure::new(
                FailureClass::CodeInModule,
                format!("{file} is part of the loadable module {module}"),
                "this version patches code in vmlinux only",
            ));
        }
        return Err(Failure::new(
            FailureClass::CodeNotBuilt,
            format!("{file} is not built into {}: its config leaves it out", base.facts().release),
            "this kernel does not contain the code, so it needs no fix there",
        ));
    }
    Ok(())
}

/// Whether the tree has the file, with no symbolic link on the way to it.
fn is_regular_file(tree: &Utf8Path, file: &str) -> bool {
    let mut path = tree.to_owned();
    let mut parts = file.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let Ok(metadata) = path.symlink_metadata() else { return false };
        let expected = if parts.peek().is_some() { metadata.is_dir() } else { metadata.is_file() };
        if !expected {
            return false;
        }
    }
    true
}

fn no_such_file(base: &Base, file: &str) -> Failure {
    Failure::new(
        FailureClass::PatchDoesNotApply,
        format!("there is no file {file} in the source of {}", base.facts().source_version),
        "the path must be that of the target's source, behind one directory (a/ and b/, as git \
         writes them)",
    )
}

/// A source file of the same directory that is compiled and includes `file`.
fn includer(
    tree: &Utf8Path,
    file: &str,
    units: &BTreeSet<String>,
) -> Result<Option<String>, Failure> {
    let path = Utf8Path::new(file);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let wanted = format!("\"{name}\"");
    for unit in units.iter().filter(|unit| Utf8Path::new(unit).parent() == Some(directory)) {
        let source = tree.join(unit);
        // A unit that the build generated is not in a prepared tree.
        let text = match fs_err::read(&source) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(io_failure(FailureClass::BaseFailed, "read", &source, &error));
            }
        };
        let includes = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('#'))
            .any(|line| line.trim_start().starts_with("include") && line.contains(&wanted));
        if includes {
            return Ok(Some(unit.clone()));
        }
    }
    Ok(None)
}

/// The module that the file's object is linked into, when its directory's Kbuild file says so.
fn module_of(
    file: &str,
    workspace: &Workspace,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<Option<String>, Failure> {
    let path = Utf8Path::new(file);
    let directory = path.parent().map_or("", Utf8Path::as_str);
    let object = format!("{}.o", path.file_stem().unwrap_or_default());
    let question = workspace.work().join("kbuild-question.mk");
    fs_err::write(&question, KBUILD_QUESTION)
        .map_err(|error| io_failure(FailureClass::Internal, "write", &question, &error))?;
    let command = workspace.command([
        "make".to_owned(),
        "--silent".to_owned(),
        "--file=/scratch/kbuild-question.mk".to_owned(),
        format!("DIRECTORY={directory}"),
        "answered".to_owned(),
    ]);
    let finished = sandbox.run(&command, StepName::Check, observer)?;
    // A Kbuild file that cannot be read on its own leaves the question open; the caller then says
    // no more than it knows, that vmlinux does not hold the file.
    if !finished.succeeded() {
        return Ok(None);
    }
    let module = finished.text().lines().find_map(|line| {
        let (module, member) = line.strip_prefix("module ")?.split_once(' ')?;
        (member == object).then(|| module.to_owned())
    });
    Ok(module)
}
