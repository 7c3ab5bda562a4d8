//! Facts read from files that the real compiler and linker made.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{compile, run};
use elivepatch_elf::{
    ElfError, KpatchObject, LivepatchSymbol, Module, ModuleSymvers, ReplacedFunction,
    SymbolBinding, SymbolKind, Vmlinux, module_units, object_symbols, symbol_listing,
};

const KERNEL: &str = r#"
    struct alt_instr { int a, b; char c[4]; } __attribute__((packed));
    struct bug_entry;
    struct orc_entry { short a, b; unsigned c : 4, d : 12; } __attribute__((packed));
    const char linux_banner[] = "Linux version 6.1.0-test (someone@somewhere)\n";
    struct alt_instr alternative;
    struct bug_entry *bug;
    static int hidden(int x) { struct jump_entry { int inner; } local = { x }; return local.inner; }
    __attribute__((weak)) int overridden(void) { return 1; }
    int _start(int x) { struct orc_entry orc = { x }; return hidden(x) + orc.a; }
"#;

/// Compiles and links a source text to an image with debug information, as a kernel is.
fn link(directory: &Path, name: &str, source: &str) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a writable directory");
    fs::write(&path, source).expect("a writable directory");
    let image = directory.join("vmlinux");
    run(Command::new("gcc")
        .current_dir(directory)
        .args(["-g", "-O0", "-static", "-nostdlib", "-fno-pic", "-no-pie", "-fno-stack-protector"])
        .args(["-Wl,--build-id=0x0123456789abcdef", name, "-o"])
        .arg(&image));
    image
}

#[test]
fn kernel_image_gives_symbols_sizes_units_and_banner() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = link(directory.path(), "init/main.c", KERNEL);
    let vmlinux = Vmlinux::open(&image).expect("an image");

    let sizes = vmlinux.struct_sizes(&["alt_instr", "bug_entry", "jump_entry", "orc_entry"]);
    let sizes: Vec<_> = sizes.expect("debug information").into_iter().collect();
    // bug_entry is only declared, and jump_entry is a structure inside a function.
    assert_eq!(sizes, [("alt_instr".to_owned(), 12), ("orc_entry".to_owned(), 6)]);

    let units = vmlinux.compile_units().expect("debug information");
    assert_eq!(units.into_iter().collect::<Vec<_>>(), ["init/main.c"]);
    let banner = vmlinux.linux_banner().expect("a symbol table");
    assert_eq!(banner.as_deref(), Some("Linux version 6.1.0-test (someone@somewhere)"));
    let build_id = vmlinux.build_id().expect("a readable note").expect("a build-id");
    assert_eq!(build_id.as_str(), "0123456789abcdef");

    let symbols = vmlinux.symbols().expect("a symbol table");
    let find = |name| *symbols.iter().find(|symbol| symbol.name == name).expect("a symbol");
    let start = find("_start");
    assert_eq!((start.kind, start.binding), (SymbolKind::Function, SymbolBinding::Global));
    assert!(start.address > 0 && start.size > 0 && !start.is_undefined);
    assert_eq!(find("hidden").binding, SymbolBinding::Local);
    assert_eq!(find("overridden").binding, SymbolBinding::Weak);
    assert_eq!((find("alternative").kind, find("alternative").size), (SymbolKind::Object, 12));
}

#[test]
fn c_file_that_is_included_is_found_with_the_file_that_does() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(directory.path().join("fs")).expect("own directory");
    let part = "static int part(int x) { return x * 3; }\n";
    fs::write(directory.path().join("fs/part.c"), part).expect("own file");
    let source = "#include \"part.c\"\nint _start(int x) { return part(x); }\n";
    let image = link(directory.path(), "fs/whole.c", source);
    let vmlinux = Vmlinux::open(&image).expect("an image");
    let included = vmlinux.included_sources().expect("debug information");
    let units = included.get("fs/part.c").expect("it is included");
    assert_eq!(units.iter().collect::<Vec<_>>(), ["fs/whole.c"]);
    assert_eq!(included.len(), 1, "{included:?}");
    let mut both = included;
    for unit in vmlinux.compile_units().expect("debug information") {
        both.entry(unit.clone()).or_default().insert(unit);
    }
    assert_eq!(vmlinux.units_by_source().expect("debug information"), both);
}

#[test]
fn relocatable_module_tells_its_files_and_those_that_they_include() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).expect("own directory");
    };
    for own in ["fs", "fs/xfs", "lib"] {
        fs::create_dir(directory.path().join(own)).expect("own directory");
    }
    write("lib/part.c", "static int part(int x) { return x * 3; }\n");
    write("fs/xfs/whole.c", "#include \"../../lib/part.c\"\nint f(int x) { return part(x); }\n");
    write("fs/xfs/other.c", "int f(int);\nint g(int x) { return f(x); }\n");
    write("fs/xfs/xfs.mod.c", "int this_module;\n");
    write("fs/xfs/start.S", ".text\n.globl start\nstart: ret\n");
    write("lib/elsewhere.c", "int h(int x) { return x + 1; }\n");
    // The two formats of line tables name directories differently.
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let elsewhere = "fs/xfs/../../lib/elsewhere.c";
        let own = ["fs/xfs/whole.c", "fs/xfs/other.c", "fs/xfs/xfs.mod.c", "fs/xfs/start.S"];
        for file in own.into_iter().chain([elsewhere]) {
            let object = file.replace("fs/xfs/../../", "").replace(['.', '/'], "-") + ".o";
            let flags = [version, "-O2", "-c", file, "-o", &object];
            run(Command::new("gcc").current_dir(directory.path()).args(flags));
        }
        let objects = [
            "fs-xfs-whole-c.o",
            "fs-xfs-other-c.o",
            "fs-xfs-xfs-mod-c.o",
            "fs-xfs-start-S.o",
            "lib-elsewhere-c.o",
        ];
        run(Command::new("ld")
            .current_dir(directory.path())
            .args(["-r", "-o", "xfs.ko"])
            .args(objects));
        let module = fs::read(directory.path().join("xfs.ko")).expect("a module");
        let units: Vec<String> = module_units(&module)
            .expect("debug information")
            .into_iter()
            .map(|(source, units)| {
                format!("{source}: {}", units.into_iter().collect::<Vec<_>>().join(" "))
            })
            .collect();
        let expected = [
            "fs/xfs/other.c: fs/xfs/other.c",
            "fs/xfs/start.S: fs/xfs/start.S",
            "fs/xfs/whole.c: fs/xfs/whole.c",
            "lib/elsewhere.c: fs/xfs/../../lib/elsewhere.c",
            "lib/part.c: fs/xfs/whole.c",
        ];
        assert_eq!(units, expected, "{version}");
    }
}

#[test]
fn symbols_are_listed_as_readelf_does() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = r#"
        static char large[100000], small[99999];
        static int hidden(int x) { return x + large[0] + small[0]; }
        __attribute__((weak)) int weak(int x) { return x; }
        __attribute__((visibility("hidden"))) int inner(int x) { return x; }
        int common, initialised = 1;
        extern int elsewhere(int);
        __asm__(".globl absolute\n.set absolute, 0x1234");
        int f(int x) { return hidden(x) + elsewhere(x) + weak(x) + inner(x) + common; }
    "#;
    let object = compile(directory.path(), "a.c", source, &["-fcommon", "-ffunction-sections"]);
    let listing = symbol_listing(&fs::read(&object).expect("an object")).expect("symbols");
    let readelf = Command::new("readelf").args(["--symbols", "--wide"]).arg(&object).output();
    let expected = String::from_utf8(readelf.expect("binutils are installed").stdout);
    assert_eq!(listing, expected.expect("text"));
    for part in
        ["FILE    LOCAL  DEFAULT  ABS a.c", "0x186a0 OBJECT", " COM common", " UND elsewhere"]
    {
        assert!(listing.contains(part), "{part}: {listing}");
    }
}

#[test]
fn module_without_debug_information_says_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = compile(directory.path(), "a.c", "int x;", &[]);
    let error = module_units(&fs::read(object).expect("an object")).expect_err("none");
    assert!(
        matches!(error, ElfError::NoDebugInformation { section: ".debug_info", .. }),
        "{error}"
    );
}

#[test]
fn image_without_debug_information_says_which_section_is_missing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = compile(directory.path(), "a.c", "int x;", &[]);
    let vmlinux = Vmlinux::open(&object).expect("an object");
    let error = vmlinux.compile_units().expect_err("no debug information");
    assert!(
        matches!(error, ElfError::NoDebugInformation { section: ".debug_info", .. }),
        "{error}"
    );
    assert_eq!(vmlinux.build_id().expect("no note is no error"), None);
}

#[test]
fn file_that_is_no_elf_and_file_that_is_not_there_are_told_apart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("vmlinux");
    assert!(matches!(Vmlinux::open(&path), Err(ElfError::Open { .. })));
    std::fs::write(&path, "not an image").expect("a writable directory");
    assert!(matches!(Vmlinux::open(&path), Err(ElfError::NotElf { .. })));
    // The same header for another machine.
    let object = compile(directory.path(), "a.c", "int x;", &[]);
    let mut bytes = std::fs::read(object).expect("an object");
    bytes[18] = 183;
    assert!(matches!(Module::read(&bytes), Err(ElfError::Machine { machine: 183, .. })));
}

#[test]
fn module_gives_modinfo_and_undefined_symbols() {
    let module = Module::read(&common::livepatch_module()).expect("a module");
    let modinfo = &module.modinfo;
    assert_eq!(modinfo.name(), Some("livepatch_test"));
    assert_eq!(modinfo.vermagic(), Some("6.1.0-test SMP mod_unload "));
    assert_eq!(modinfo.license(), Some("GPL"));
    assert!(modinfo.is_livepatch());
    assert_eq!(modinfo.depends().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(modinfo.srcversion(), None);
    let undefined = &module.undefined_symbols;
    let find = |name: &str| undefined.iter().find(|symbol| symbol.name == name).expect("a symbol");
    assert!(!find("printk").is_weak);
    assert!(find("maybe").is_weak);
    assert_eq!(undefined.len(), 2);
}

#[test]
fn crcs_are_held_against_the_kernels_exports() {
    let module = Module::read(&common::livepatch_module()).expect("a module");
    let line = |crc: &str, name: &str| format!("{crc}\t{name}\tvmlinux\tEXPORT_SYMBOL\t\n");
    let symvers = |text: String| ModuleSymvers::parse(&text).expect("a valid file");
    let equal = symvers(line("0x92997ed8", "printk") + &line("0x00000007", "module_layout"));
    assert_eq!(module.check_against(&equal), []);
    let other = symvers(line("0x00000001", "printk"));
    let mismatches: Vec<String> =
        module.check_against(&other).iter().map(ToString::to_string).collect();
    assert_eq!(
        mismatches,
        [
            "printk: the module has CRC 0x92997ed8, the kernel 0x00000001",
            "module_layout: the kernel does not export it",
        ]
    );
}

fn function(object: &str, name: &str, position: u64) -> ReplacedFunction {
    ReplacedFunction { object: object.to_owned(), name: name.to_owned(), position }
}

#[test]
fn functions_that_kpatch_replaces_are_read_through_relocations() {
    let module = Module::read(&common::livepatch_module()).expect("a module");
    assert_eq!(
        module.replaced_functions,
        [function("vmlinux", "meminfo_proc_show", 0), function("ext4", "ext4_sync.isra.0", 2)]
    );
}

#[test]
fn functions_that_objtool_replaces_are_read_with_their_objects() {
    let module = Module::read(&common::klp_module(1, 1)).expect("a module");
    assert_eq!(
        module.replaced_functions,
        [
            function("vmlinux", "meminfo_proc_show", 0),
            function("ext4", "ext4_sync", 2),
            function("ext4", "ext4_find", 0),
        ]
    );
}

#[test]
fn objects_and_functions_that_do_not_go_together_are_refused() {
    for (vmlinux_functions, first_of_ext4, problem) in [
        (2, 1, "more functions than there are"),
        (0, 1, "functions that belong to no object"),
        (1, 2, "an object's functions are not in it"),
    ] {
        let bytes = common::klp_module(vmlinux_functions, first_of_ext4);
        let error = Module::read(&bytes).expect_err("a contradiction").to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn livepatch_relocations_are_read_with_their_symbols() {
    let module = Module::read(&common::livepatch_module()).expect("a module");
    let [relocations] = module.livepatch_relocations.as_slice() else { panic!("one section") };
    assert_eq!(relocations.object, "vmlinux");
    assert_eq!(relocations.section, ".text.new_show");
    let symbol = |name: &str, position| LivepatchSymbol {
        object: "vmlinux".to_owned(),
        name: name.to_owned(),
        position,
    };
    assert_eq!(relocations.symbols, [symbol("si_swapinfo.isra.0", 1)]);
}

#[test]
fn plain_object_has_no_module_facts() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = compile(directory.path(), "a.c", "int f(void) { return 1; }", &[]);
    let module = Module::read(&std::fs::read(object).expect("an object")).expect("an object");
    assert_eq!(module.modinfo.name(), None);
    assert!(module.replaced_functions.is_empty() && module.livepatch_relocations.is_empty());
    assert!(module.versions.is_empty() && module.undefined_symbols.is_empty());
}

#[test]
fn what_an_object_defines_for_others_is_told_without_static_names() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "int used(void);\nint data = 1;\nstatic int own(void) { return used(); }\n\
        __attribute__((weak)) int weak(void) { return 1; }\nint f(void) { return own(); }\n";
    let object = fs::read(compile(directory.path(), "a.c", source, &[])).expect("own file");
    let names = KpatchObject::read(&object).expect("an object").new_globals;
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["data", "f", "weak"]);
    KpatchObject::read(b"no object").expect_err("no ELF file");
}

#[test]
fn what_an_object_of_kpatch_replaces_and_uses_is_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = r#"
        #define IN(name) __attribute__((section(name), used))
        static int new_show(void) { return 1; }
        static char show[] IN(".kpatch.strings") = "show";
        static char counter[] IN(".kpatch.strings") = "counter.7";
        static char vmlinux[] IN(".kpatch.strings") = "vmlinux";
        static char ext4[] IN(".kpatch.strings") = "ext4";
        struct kpatch_patch_func {
            unsigned long new_addr, new_size, old_addr, old_size, sympos;
            char *name, *objname;
        };
        static struct kpatch_patch_func functions[] IN(".kpatch.funcs") = {
            { (unsigned long)new_show, 8, 0, 9, 3, show, ext4 },
        };
        struct kpatch_symbol {
            unsigned long src, sympos;
            unsigned char bind, type;
            char *name, *objname;
        };
        static struct kpatch_symbol symbols[] IN(".kpatch.symbols") = {
            { 0, 2, 0, 1, counter, ext4 }, { 0, 0, 1, 2, show, vmlinux }, { 0, 2, 0, 1, counter, ext4 },
        };
    "#;
    let object = fs::read(compile(directory.path(), "a.c", source, &[])).expect("own file");
    let KpatchObject { functions, symbols, new_globals } =
        KpatchObject::read(&object).expect("an object");
    let symbol = |object: &str, name: &str, position| LivepatchSymbol {
        object: object.to_owned(),
        name: name.to_owned(),
        position,
    };
    let show = ("ext4".to_owned(), "show".to_owned(), 3);
    let functions = functions.into_iter().map(|one| (one.object, one.name, one.position));
    assert_eq!(functions.collect::<Vec<_>>(), [show]);
    let uses = [symbol("ext4", "counter.7", 2), symbol("vmlinux", "show", 0)];
    assert_eq!(symbols.into_iter().collect::<Vec<_>>(), uses);
    assert!(new_globals.is_empty());
}

#[test]
fn symbols_of_an_object_have_their_file_and_section() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "static int own(void) { return 1; }\nint f(void) { return own(); }\n\
        int outside(void);\nint (*pointer)(void) = outside;\n";
    let path = compile(directory.path(), "a.c", source, &["-ffunction-sections"]);
    let found = object_symbols(&fs::read(path).expect("own file")).expect("an object");
    let get = |name: &str| found.iter().find(|symbol| symbol.name == name);
    let own = get("own").expect("it is defined");
    assert_eq!((own.binding, own.file.as_deref()), (SymbolBinding::Local, Some("a.c")));
    assert!(own.is_allocated && own.size > 0);
    let section = |name: &str| get(name).and_then(|symbol| symbol.section.clone());
    assert_eq!(section("own").expect("a section").1, ".text.own");
    assert_eq!(get("f").expect("it is defined").file, None);
    assert_eq!(get("outside"), None);
    object_symbols(b"no object").expect_err("no ELF file");
}
