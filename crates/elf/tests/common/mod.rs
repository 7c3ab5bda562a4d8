//! Objects for the tests, made by gcc.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use object::{Object as _, ObjectSymbol as _};

/// Runs a compiler that must succeed.
pub fn run(command: &mut Command) {
    let output = command.output().expect("gcc is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles a source text to an object.
pub fn compile(directory: &Path, name: &str, source: &str, options: &[&str]) -> PathBuf {
    fs::write(directory.join(name), source).expect("a writable directory");
    let object = directory.join(name).with_extension("o");
    run(Command::new("gcc")
        .current_dir(directory)
        .args(["-O0", "-fno-pic", "-fno-stack-protector", "-fcf-protection=none", "-c", name, "-o"])
        .arg(&object)
        .args(options));
    object
}

/// A module as kpatch's tools leave it: `.modinfo`, `__versions`, `.kpatch.funcs` with its strings,
/// and a livepatch relocation section with its symbol.
const LIVEPATCH_MODULE: &str = r#"
    #define IN(name) __attribute__((section(name), used))
    static const char modinfo[] IN(".modinfo") =
        "name=livepatch_test\0vermagic=6.1.0-test SMP mod_unload \0license=GPL\0livepatch=Y\0depends=one,two";
    struct modversion_info { unsigned long crc; char name[56]; };
    static const struct modversion_info versions[] IN("__versions") = {
        { 0x92997ed8, "printk" }, { 7, "module_layout" },
    };
    int printk(const char *text, ...);
    __attribute__((weak)) int maybe(void);
    __attribute__((section(".text.new_show"))) int new_show(void) { return printk("x") + maybe(); }
    static char show[] IN(".kpatch.strings") = "meminfo_proc_show";
    static char vmlinux[] IN(".kpatch.strings") = "vmlinux";
    static char sync[] IN(".kpatch.strings") = "ext4_sync.isra.0";
    static char ext4[] IN(".kpatch.strings") = "ext4";
    struct kpatch_patch_func {
        unsigned long new_addr, new_size, old_addr, old_size, sympos;
        char *name, *objname;
    };
    static struct kpatch_patch_func functions[] IN(".kpatch.funcs") = {
        { (unsigned long)new_show, 8, 0, 9, 0, show, vmlinux },
        { (unsigned long)new_show, 8, 0, 9, 2, sync, ext4 },
    };
    __asm__(
        ".globl \".klp.sym.vmlinux.si_swapinfo.isra.0,1\"\n"
        ".set \".klp.sym.vmlinux.si_swapinfo.isra.0,1\", 0\n"
        // Type 4 is SHT_RELA; two relocations of the type R_X86_64_PLT32 to the symbol.
        ".section .klp.rela.vmlinux..text.new_show, \"a\", @4\n"
        ".quad 1, (SYMBOL_INDEX << 32) | 4, -4\n"
        ".quad 9, (SYMBOL_INDEX << 32) | 4, -4\n"
        ".text\n");
"#;

/// The bytes of [`LIVEPATCH_MODULE`]. It is compiled twice: the relocations are written by hand,
/// and name their symbol by an index that is known only when the symbol table is.
pub fn livepatch_module() -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let build = |index: usize| {
        let source = LIVEPATCH_MODULE.replace("SYMBOL_INDEX", &index.to_string());
        fs::read(compile(directory.path(), "module.c", &source, &[])).expect("an object")
    };
    let first = build(0);
    let file = object::File::parse(&first[..]).expect("an object");
    let name = ".klp.sym.vmlinux.si_swapinfo.isra.0,1";
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).expect("the symbol");
    build(symbol.index().0)
}

/// A module as the kernel's own objtool leaves it: objects and functions as in
/// include/linux/livepatch_external.h, their names beside other constants.
const KLP_MODULE: &str = r#"
    #define IN(name) __attribute__((section(name), used))
    static const char modinfo[] IN(".modinfo") = "name=livepatch_test\0license=GPL\0livepatch=Y";
    __attribute__((section(".text.new_show"))) int new_show(void) { return 1; }
    static char names[] IN(".rodata") = "\0meminfo_proc_show\0ext4\0ext4_sync\0ext4_find";
    struct klp_func_ext { const char *old_name; void *new_func; unsigned long sympos; };
    struct klp_object_ext {
        const char *name;
        struct klp_func_ext *funcs;
        struct { void *calls[4]; _Bool enabled; } callbacks;
        unsigned int nr_funcs;
    };
    static struct klp_func_ext functions[] IN(".init.klp_funcs") = {
        { names + 1, new_show, 0 }, { names + 24, new_show, 2 }, { names + 34, new_show, 0 },
    };
    static struct klp_object_ext objects[] IN(".init.klp_objects") = {
        { 0, functions, { { 0 } }, VMLINUX_FUNCTIONS },
        { names + 19, functions + FIRST_OF_EXT4, { { new_show } }, 2 },
        { names + 19, 0, { { 0 } }, 0 },
    };
"#;

/// The bytes of [`KLP_MODULE`]: one function of `vmlinux`, and two of ext4 from the number
/// `first_of_ext4` on.
pub fn klp_module(vmlinux_functions: usize, first_of_ext4: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = KLP_MODULE
        .replace("VMLINUX_FUNCTIONS", &vmlinux_functions.to_string())
        .replace("FIRST_OF_EXT4", &first_of_ext4.to_string());
    fs::read(compile(directory.path(), "module.c", &source, &[])).expect("an object")
}
