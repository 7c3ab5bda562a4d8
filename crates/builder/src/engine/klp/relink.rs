use elivepatch_model::{Failure, StepName};

use super::{KlpEngine, OBJTOOL, parents::Parents};
use crate::engine::messages::tool_failure;

/// Links an object again by the command that Kbuild saved, which also runs objtool on it, and adds
/// the checksums of its functions. The archives that are linked hold no objects, only their paths:
/// the objects that are found there are those of this view.
///
/// The command has make's escapes. A module of one object has no link: its command is that of the
/// compiler, and has run already.
///
/// With a section for each function there are as many sections `__patchable_function_entries`, each
/// bound to its function's. GNU ld compares each with those before it: of 6.1 s for the vmlinux.o of
/// a small kernel with 22,000 of them that is 5 s. `--unique` tells it not to look; all other sections
/// are the same with and without, and so are the symbols, until objtool adds those of prefixes in the
/// order of these sections. The originals are linked in the same way, so that their order is the same.
pub(super) const RELINK: &str = r#"
set -e
object=$1 objtool=$2
record=$(dirname "$object")/.$(basename "$object").cmd
link=$(sed -n '1s/^savedcmd_[^ ]* := //p' "$record" |
    sed -e 's/\$(pound)/#/g' -e 's/\$\$/$/g' \
        -e 's/^\(ld .*\) -r -o vmlinux\.o /\1 -r --unique=__patchable_function_entries -o vmlinux.o /')
case $link in
    *" -c -o $object "*) ;;
    "") echo "$record holds no command" >&2; exit 1 ;;
    *) eval "$link" ;;
esac
if [ "$object" = vmlinux.o ] && [ -f scripts/check-function-names.sh ]; then
    sh scripts/check-function-names.sh vmlinux.o
fi
"$objtool" klp checksum "$object"
"#;

/// Links the objects that are compared, of the patched objects and of those that are as they were.
///
/// # Errors
/// `not-patchable` when objtool refuses the patched code; those of the sandbox.
pub(super) fn relink(engine: &KlpEngine, parents: &Parents) -> Result<(), Failure> {
    for (parent, object) in parents.iter() {
        let finished = engine.script(RELINK, &[object, OBJTOOL], StepName::Diff)?;
        if !finished.succeeded() {
            return Err(tool_failure("objtool", parent.name(), &finished));
        }
    }
    Ok(())
}
