//! Objects that the fixes add. kpatch-build links such an object into the livepatch as it is, so that
//! it can only use what the kernel exports. Compared with an object that holds nothing, all of it
//! is new to `create-diff-object`, which then resolves every symbol as in a changed object.

use elivepatch_model::{Failure, FailureClass, StepName};

use super::{
    KpatchEngine,
    diff::{Sides, symbol_table},
};
use crate::{base::WORK, unit::Unit};

/// Compiles an empty file of the new one's name, and adds such a file to the symbol table of the
/// parent: there kpatch looks for the file that an object was compiled from.
const MAKE_ORIGINAL: &str = r#"rm -rf "$1" && mkdir "$1" && : > "$1/$2" && cd "$1" &&
"$3" -c -ffunction-sections -fdata-sections -o original.o "$2" && {
    cat /symtab
    echo "     0: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS $2"
} > symtab"#;

/// Makes what a new object is compared with.
///
/// # Errors
/// Those of the sandbox.
pub(super) fn nothing_before(
    engine: &KpatchEngine,
    unit: &Unit,
    number: usize,
) -> Result<Sides, Failure> {
    let directory = format!("{WORK}/new-{number}");
    let name = unit.source.rsplit('/').next().unwrap_or(&unit.source);
    let compiler = engine.make.compiler();
    let words = ["sh", "-c", MAKE_ORIGINAL, "sh", &directory, name, compiler];
    let symbols = symbol_table(engine, &unit.parent)?;
    let command = engine.patched.command(words).read_only(&symbols, "/symtab");
    engine.sandbox.run_checked(
        &command,
        StepName::Diff,
        engine.observer,
        FailureClass::Internal,
    )?;
    Ok(Sides {
        original: format!("{directory}/original.o"),
        symbols: format!("{directory}/symtab"),
    })
}
