//! How one object is compared: what create-diff-object cannot take is taken out of it before.

/// The exit code of [`COMPARE`] for objects that could not be made ready; create-diff-object's are 0 to 3.
pub(super) const NOT_READY: i32 = 125;

/// Compares one object; $1 is where its results go, $2 the tool, $3 and $4 the original and the patched
/// object, the rest further arguments of the tool, of which the second is the file with the parent's
/// symbols. What it says comes in one piece: several objects are compared at once.
///
/// create-diff-object 0.9.10 does not know some of what is in objects, and gets them without it.
///
/// Of Linux 7.x two sections, which are for the kernel's build only, and no link keeps them:
/// - `__tracepoint_check` (commit e30f8e61e251) holds the names of the tracepoints that an object uses, with
///   local symbols, which it looks for in the kernel: it would not find the file. Debug information refers
///   to the section, so that it stays, under a name by which it is known as thrown away;
/// - `.discard.annotate_data` is objtool's list of what is data for it, and refers to entries of
///   `__jump_table`, which have no symbols.
///
/// Of clang, whose objects all have `.llvm_addrsig`:
/// - `__patchable_function_entries`: x86 has it for the padding before functions, and reads it nowhere. Each
///   function has one, which refers to a label `.LtmpN`. That becomes a symbol, and N another number with
///   each function that comes or goes, so that the tool says that symbols changed their sections;
/// - `.L__const.` before the names of constants that the linker merges: lld keeps such symbols in some
///   links and not in others. The tool wants those of the parent in the object, and the object's in the
///   parent. Where the parent has none of that name, it gets one like `.L.str`, which are of the same kind
///   and which the tool passes over (kpatch's commit c151be7e4265 does so for both);
/// - `.data..L__unnamed_N`: what UBSAN says of places in the code, N another number with each change. The
///   tool takes them anew under the names that gcc has for them, and under these it would compare data that
///   have nothing to do with each other (kpatch's commit b3b28dfc38d9);
/// - `.llvm_addrsig` itself, which holds numbers of symbols.
pub(super) const COMPARE: &str = r#"
set -f
result=$1
tool=$2
original=$3
patched=$4
shift 4

# Gives the names of constants that clang made, of lines that end with names.
constants() {
    sed -n 's/.* \([.]L__const[.][^ ]*\)$/\1/p' "$@"
}

make_ready() {
    object=$1
    directory=$2
    symbols=$3
    set --
    if grep --quiet -e __tracepoint_check -e '[.]discard[.]annotate_data' "$object"; then
        set -- '--strip-symbol=__trace_check_*' \
            --rename-section=__tracepoint_check=.discard.tracepoint_check \
            --remove-section=.discard.annotate_data
    fi
    if grep --quiet -e '[.]llvm_addrsig' "$object"; then
        names=$(nm "$object") || return
        names=$(printf '%s\n' "$names" | constants)
        [ -z "$names" ] || known=$(constants "$symbols") || return
        for name in $names; do
            printf '%s\n' "$known" | grep --quiet --fixed-strings --line-regexp -e "$name" ||
                set -- "$@" "--redefine-sym=$name=.L.str$name"
        done
        sections=$(objdump --section-headers --wide "$object") || return
        unnamed=$(printf '%s\n' "$sections" |
            sed -n 's/^ *[0-9]* [.]data[.][.]L__unnamed_\([0-9]*\) .*/\1/p' |
            sed 's/.*/--rename-section=.data..L__unnamed_&=.data..Lubsan_data&/')
        set -- "$@" --remove-section=__patchable_function_entries \
            '--strip-unneeded-symbol=.Ltmp*' --remove-section=.llvm_addrsig $unnamed
    fi
    ready=$object
    [ $# -gt 0 ] || return 0
    mkdir "$directory" || return
    ready=$directory/${object##*/}
    objcopy --wildcard "$@" "$object" "$ready"
}

compare() {
    make_ready "$original" "$result.original" "$2" || return 125
    original=$ready
    make_ready "$patched" "$result.patched" "$2" || return 125
    patched=$ready
    "$tool" "$original" "$patched" "$@"
}

compare "$@" >"$result.log" 2>&1
echo $? >"$result.code"
cat "$result.log"
"#;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

    use elivepatch_elf::{object_symbols, section_names};

    use super::*;
    use crate::engine::compiled::compile;

    /// The object as the tool gets it. create-diff-object is in toolchain roots only: here a script
    /// stands for it that keeps what it is given, and finds nothing changed.
    fn made_ready(object: &[u8], symbols: &str) -> Vec<u8> {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("original")).expect("own directory");
        let tool =
            b"#!/bin/sh\ncmp \"$1\" \"$2\"; cp \"$2\" \"$5\"; echo \"${1##*/} $3\"; exit 3\n";
        for (name, content) in [
            ("script", COMPARE.as_bytes()),
            ("tool", tool),
            ("original/a.o", object),
            ("a.o", object),
            ("symbols", symbols.as_bytes()),
        ] {
            fs::write(path(name), content).expect("own directory");
        }
        fs::set_permissions(path("tool"), fs::Permissions::from_mode(0o755)).expect("own file");
        let mut command = Command::new("sh");
        command.args(["script", "result", "tool", "original/a.o", "a.o"].map(path));
        command.arg("vmlinux").args(["symbols", "kept"].map(path));
        let ran = command.output().expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "a.o vmlinux\n");
        assert_eq!(fs::read(path("result.code")).expect("a code"), b"3\n");
        fs::read(path("kept")).expect("the tool was given an object")
    }

    fn symbols(object: &[u8]) -> Vec<String> {
        let symbols = object_symbols(object).expect("an object");
        symbols.into_iter().map(|symbol| symbol.name).filter(|name| !name.is_empty()).collect()
    }

    const FUNCTION: &str = "int f(int x) { return x + 1; }\n";

    #[test]
    fn object_of_gcc_is_left_as_it_is() {
        let object = compile(FUNCTION, &["-O2", "-ffunction-sections"]);
        assert!(made_ready(&object, "") == object);
    }

    #[test]
    fn what_only_clang_has_is_taken_out_or_named_as_the_tool_knows_it() {
        // With the assembler's own labels as symbols, some of which clang leaves.
        let clang = r#"
            __asm__(".section .llvm_addrsig,\"e\",@0x6fff4c03\n.byte 1\n"
                    ".section .text.g,\"ax\",@progbits\n.Ltmp7: nop\n.Ltmp8: ret\n"
                    ".section __patchable_function_entries,\"aw\",@progbits\n.quad .Ltmp7\n"
                    ".section .rodata.cst16,\"aM\",@progbits,16\n"
                    ".type .L__const.g.list,@object\n.L__const.g.list: .zero 16\n"
                    ".section .data..L__unnamed_12,\"aw\",@progbits\n.quad 5\n"
                    ".section .data.uses,\"aw\",@progbits\n.quad .L__const.g.list\n.text\n");
        "#;
        let object = compile(&format!("{clang}{FUNCTION}"), &["-Wa,--keep-locals"]);
        let before = symbols(&object);
        assert!(before.contains(&".Ltmp7".to_owned()), "{before:?}");

        let ready = made_ready(&object, "");
        let names = symbols(&ready);
        assert!(!names.iter().any(|name| name.starts_with(".Ltmp")), "{names:?}");
        assert!(names.contains(&".L.str.L__const.g.list".to_owned()), "{names:?}");
        assert!(names.contains(&"f".to_owned()), "{names:?}");
        // The parent may have the symbol, and then the object must, too.
        let listed =
            |name: &str| format!("  9: ffffffff82000000  16 OBJECT LOCAL DEFAULT 2 {name}\n");
        for (in_parent, expected) in [
            (".L__const.g.list", ".L__const.g.list"),
            (".L__const.g.list2", ".L.str.L__const.g.list"),
        ] {
            let names = symbols(&made_ready(&object, &listed(in_parent)));
            assert!(names.contains(&expected.to_owned()), "{in_parent}: {names:?}");
        }
        let sections = section_names(&ready).expect("an object");
        for gone in [".llvm_addrsig", "__patchable_function_entries", ".data..L__unnamed_12"] {
            assert!(section_names(&object).expect("an object").contains(gone), "{gone}");
            assert!(!sections.contains(gone), "{gone}");
        }
        for kept in [".data..Lubsan_data12", ".text.g", ".rela.data.uses"] {
            assert!(sections.contains(kept), "{kept}: {sections:?}");
        }
    }

    #[test]
    fn what_linux_7_has_for_its_own_build_is_taken_out() {
        let newer = r#"
            __asm__(".section __tracepoint_check,\"aw\",@progbits\n__trace_check_x: .quad 1\n"
                    ".section .discard.annotate_data,\"aw\",@progbits\n.quad 1\n.text\n");
        "#;
        let ready = made_ready(&compile(&format!("{newer}{FUNCTION}"), &[]), "");
        let sections = section_names(&ready).expect("an object");
        assert!(sections.contains(".discard.tracepoint_check"), "{sections:?}");
        for gone in ["__tracepoint_check", ".discard.annotate_data"] {
            assert!(!sections.contains(gone), "{sections:?}");
        }
        assert_eq!(symbols(&ready).iter().filter(|name| name.contains("trace_check")).count(), 0);
    }
}
