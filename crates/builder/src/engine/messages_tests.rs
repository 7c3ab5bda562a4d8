use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::*;
use crate::process::Ended;

/// What each tool really prints, as its sources have it, and what that means.
const SAID: &[(&str, &str, &str)] = &[
    // kpatch 0.9.10 on a stock 6.1 kernel (end-to-end/patches/changed-data-FAIL.patch).
    (
        "fs/dcache.o: changed section .data..read_mostly not selected for inclusion\n\
         ERROR: fs/dcache.o: 1 unsupported section change(s)\n\
         create-diff-object: unreconcilable difference\n",
        "data-changed",
        "section .data..read_mostly",
    ),
    // 0.9.11 says the same so.
    (
        "ERROR: changed section .rela.init.text not selected for inclusion\n\
         ERROR: fs/proc/version.o: 1 unsupported section change(s)\n\
         create-diff-object: unreconcilable difference\n",
        "init-code",
        "section .init.text",
    ),
    (
        "fs/aio.o: data section .data.foo selected for inclusion\n",
        "data-changed",
        "section .data.foo",
    ),
    ("ERROR: fs/aio.o: object size mismatch: aio_max_nr\n", "data-changed", "variable aio_max_nr"),
    (
        "x.o: changed section .sched.text not selected for inclusion\n",
        "section-unsupported",
        ".sched.text",
    ),
    (
        "x.o: changed section .noinstr.text not selected for inclusion\n",
        "function-not-traceable",
        ".noinstr",
    ),
    (
        "fs/dcache.o: changed section .relaruntime_shift_d_hash_shift not selected for inclusion\n\
         fs/dcache.o: changed section .relaruntime_ptr_dentry_hashtable not selected for inclusion\n\
         ERROR: fs/dcache.o: 2 unsupported section change(s)\n",
        "runtime-constant",
        "(section runtime_shift_d_hash_shift, runtime_ptr_dentry_hashtable) in x.o",
    ),
    (
        "x.o: changed section .text.foo is part of a section group\n",
        "section-unsupported",
        ".text.foo, which belongs to a group",
    ),
    (
        "x.o: new/changed group sections are not supported\n",
        "section-unsupported",
        "group of sections",
    ),
    (
        "ERROR: x.o: .discard.x section header details differ from .discard.x\n",
        "section-unsupported",
        ".discard.x changes its kind",
    ),
    (
        "kernel/x.o: function native_sched_clock has no fentry/mcount call, unable to patch\n\
         kernel/x.o: function __delay has no fentry/mcount call, unable to patch\n\
         ERROR: kernel/x.o: 2 function(s) can not be patched\n",
        "function-not-traceable",
        "redirect native_sched_clock, __delay: no call",
    ),
    (
        "ERROR: function __delay doesn't have patchable function entry, unable to patch\n",
        "function-not-traceable",
        "__delay",
    ),
    (
        "ERROR: x.o: reference to static local variable warned.12 in .text.foo was removed\n",
        "static-local-removed",
        "variable warned.12 is used no more",
    ),
    (
        "ERROR: x.o: static local n.1 has been correlated with n.2, but patched foo is missing a \
         reference to it\n",
        "static-local-removed",
        "variable n.1",
    ),
    ("ERROR: x.o: symbol info mismatch: copy_x\n", "symbol-changed", "copy_x changes its storage"),
    ("ERROR: x.o: symbol changed sections: copy_x\n", "symbol-changed", "copy_x moves"),
    (
        "x.o: Found a jump label at foo()+0x1c, using key nf_hooks_x, which is defined in a module.  \
         Use static_key_enabled() instead.\n\
         create-diff-object: ERROR: x.o: kpatch_regenerate_special_section: 2874: Found 1 unsupported \
         jump label(s) in the patched code. Use static_key_enabled() instead.\n",
        "jump-label-unsupported",
        "at foo()+0x1c",
    ),
    (
        "ERROR: Found a static call at foo()+0x1c, using key __SCK__x, which is defined in a module.  \
         Use KPATCH_STATIC_CALL() instead.\n",
        "static-call-unsupported",
        "at foo()+0x1c",
    ),
    (
        "create-diff-object: ERROR: x.o: kpatch_create_intermediate_sections: 3774: can't find symbol \
         'no_such' in symbol table\n",
        "symbol-not-found",
        "no symbol no_such",
    ),
    (
        "create-diff-object: ERROR: x.o: find_local_syms: 219: couldn't find matching x.c local \
         symbols in vmlinux symbol table\n",
        "symbol-not-found",
        "local symbols of x.c",
    ),
    (
        "create-diff-object: ERROR: x.o: find_local_syms: 204: found duplicate matches for x.c local \
         symbols in vmlinux symbol table\n",
        "symbol-ambiguous",
        "local symbols of x.c",
    ),
    (
        "create-diff-object: ERROR: x.o: lookup_local_symbol: 502: duplicate local symbol found for foo\n",
        "symbol-ambiguous",
        "several local symbols foo",
    ),
    (
        "create-diff-object: ERROR: x.o: kpatch_create_intermediate_sections: 3770: unsupported klp \
         relocation reference to symbol 'foo' in module-specific special section '__jump_table'\n",
        "relocation-unsupported",
        "refers to foo",
    ),
    (
        "create-diff-object: ERROR: x.o: kpatch_replace_sections_syms: 1819: .text.foo+0x1f: can't find \
         replacement symbol for .data+16 reference\n",
        "relocation-unsupported",
        "refers to .data+16",
    ),
    (
        "create-diff-object: ERROR: fd.o: kpatch_replace_sections_syms: 2390: .text.foo+0x1f: can't find \
        replacement symbol for __bug_table+12 reference\n",
        "relocation-unsupported",
        "a WARN() with a message (__bug_table+12)",
    ),
    // objtool klp of Linux 7.3.
    ("vmlinux.o: error: objtool: changed data: sysctl_x\n", "data-changed", "the data sysctl_x"),
    (
        "vmlinux.o: error: objtool: foo_init: can't patch or reference init code/data\n",
        "init-code",
        "foo_init is __init",
    ),
    (
        "kvm.o: error: objtool: foo+0x1b: unsupported static branch key kvm_key.  Use \
         static_key_enabled() instead\n",
        "jump-label-unsupported",
        "static key kvm_key",
    ),
    (
        "kvm.o: error: objtool: foo()+0x1b: unsupported static call key kvm_call.  Use \
         KLP_STATIC_CALL() instead\n",
        "static-call-unsupported",
        "by kvm_call",
    ),
    (
        "ext4.o: error: objtool: foo: new reference to bar (exported by jbd2) would create an \
         undeclared module dependency\n",
        "module-dependency",
        "use bar (exported by jbd2), of a module",
    ),
    (
        "error: objtool: can't find symbol foo in orig vmlinux\n",
        "symbol-not-found",
        "no symbol foo",
    ),
    ("error: objtool: can't find sympos for foo\n", "symbol-ambiguous", "several symbols foo"),
    // modpost.
    (
        "ERROR: modpost: \"no_such_function\" [/scratch/kpatch/livepatch_x.ko] undefined!\n",
        "symbol-not-found",
        "has no_such_function, which",
    ),
    (
        "ERROR: modpost: module livepatch_x uses symbol dma_buf_export from namespace DMA_BUF, but \
         does not import it.\n",
        "namespace-not-imported",
        "uses dma_buf_export, and its namespace",
    ),
    // Symbols, sections and macros.
    (
        "create-diff-object: ERROR: x.o: kpatch_check_relocations: 1546: bundle mismatch for symbol foo\n",
        "symbol-changed",
        "foo gets a section of its own",
    ),
    (
        "create-diff-object: ERROR: x.o: f: 1548: sections .data.a and .data.b aren't correlated for \
         symbol foo\n",
        "symbol-changed",
        "foo moves to another section",
    ),
    (
        "create-diff-object: ERROR: x.o: f: 369: failed to find parent function for foo.cold\n",
        "not-patchable",
        "made foo.cold of a function",
    ),
    (
        "create-diff-object: ERROR: x.o: f: 3122: KPATCH_IGNORE_SECTION: can't find .data.x\n",
        "not-patchable",
        "names .data.x",
    ),
    (
        "create-diff-object: ERROR: x.o: f: 3185: expected function symbol\n",
        "not-patchable",
        "no function",
    ),
    // The tools themselves.
    (
        "create-diff-object: ERROR: x.o: kpatch_process_special_sections: 2262: BUG_STRUCT_SIZE not set\n",
        "engine-failed",
        "ended with code 1",
    ),
    (
        "create-diff-object: ERROR: x.o: kpatch_elf_open: 606: elf_begin\n",
        "engine-failed",
        "create-diff-object ended",
    ),
    (
        "'x.o' missing .discard.sym_checksum section, file not processed by 'objtool klp checksum'?\n",
        "engine-failed",
        "ended",
    ),
    // Words that have no rule: a verdict is the patch's, any other end the tool's.
    (
        "ERROR: x.o: something of a later version\ncreate-diff-object: unreconcilable difference\n",
        "not-patchable",
        "cannot express the change in x.o",
    ),
    (
        "create-diff-object: ERROR: x.o: something: 1: of a later version\n",
        "engine-failed",
        "create-diff-object ended with code 1 on x.o",
    ),
    (
        "create-klp-module: ERROR: x.o: main: 457: missing .kpatch.strings\n",
        "engine-failed",
        "ended",
    ),
    ("x.o: error: objtool: failed to convert reloc sym 'foo'\n", "engine-failed", "ended"),
];

fn finished(text: &str, code: i32) -> Finished {
    let ended = Ended::Exited(ExitStatus::from_raw(code << 8));
    Finished { ended, output: text.as_bytes().to_vec() }
}

#[test]
fn tools_messages_have_their_class_and_keep_their_words() {
    for (text, class, part) in SAID {
        let failure = tool_failure("create-diff-object", "x.o", &finished(text, 1));
        assert_eq!(failure.class.as_str(), *class, "{text}\n{failure:#?}");
        assert!(failure.message.contains(part), "{part:?}: {failure:#?}");
        assert!(failure.message.ends_with("in x.o") || failure.message.contains("x.o"));
        assert_eq!(failure.details, text.lines().collect::<Vec<_>>());
        assert!(!failure.message.contains("{}"), "{failure:#?}");
    }
}

#[test]
fn functions_that_cannot_be_redirected_are_named_for_the_builder() {
    let line = |name: &str| {
        format!("x.o: function {name} doesn't have patchable function entry, unable to patch\n")
    };
    let names = ["__do_sys_a", "__do_sys_b", "__do_sys_c", "__do_sys_d.cold"];
    let text: String = names.map(line).concat();
    // All of them, and not only those that the message has room for.
    assert_eq!(tool_failure("tool", "x.o", &finished(&text, 1)).functions, names);
    let section = "changed section .noinstr.text not selected for inclusion\n";
    let failure = tool_failure("tool", "x.o", &finished(section, 1));
    assert_eq!(failure.class, FailureClass::FunctionNotTraceable);
    assert_eq!(failure.functions, [".noinstr.text"], "which is no system call");
}

#[test]
fn every_rule_is_shown_by_a_message() {
    for rule in RULES {
        let shown = SAID
            .iter()
            .any(|(text, ..)| text.lines().any(|line| captures(line, rule.pattern).is_some()));
        assert!(shown || NOT_SHOWN.contains(&rule.pattern), "{:?} has no example", rule.pattern);
    }
}

/// Rules that differ from one that is shown by a word only.
const NOT_SHOWN: [&str; 6] = [
    "can't find local symbol '{}' in symbol table",
    "duplicate global symbol found for {}",
    "duplicate exported symbol found for {}",
    ": out-of-range relocation {}",
    "error: objtool: unexpected klp reloc for new symbol {}",
    "error: objtool: no clone for {}",
];

#[test]
fn crash_is_the_engines_failure_and_what_the_tool_lists_as_done_is_no_evidence() {
    let text = "x.o: changed function: foo\nSegmentation fault\n";
    let failure = tool_failure("create-diff-object", "x.o", &finished(text, 139));
    assert_eq!(failure.class, FailureClass::EngineFailed);
    assert_eq!(failure.details, ["Segmentation fault"]);
}

#[test]
fn of_several_reasons_data_is_told_first_and_all_are_in_the_details() {
    let text = "x.o: function a has no fentry/mcount call, unable to patch\n\
        x.o: changed section .init.text not selected for inclusion\n\
        x.o: changed section .data.b not selected for inclusion\n\
        x.o: changed section .bss.c not selected for inclusion\n\
        x.o: changed section .data.d not selected for inclusion\n\
        x.o: changed section .data.e not selected for inclusion\n";
    let failure = tool_failure("create-diff-object", "x.o", &finished(text, 2));
    assert_eq!(failure.class, FailureClass::DataChanged);
    assert!(failure.message.contains("(section .data.b, .bss.c, .data.d and 1 more)"), "{failure}");
    assert_eq!(failure.details.len(), 6);
}
