//! Whether compiled objects are what a linked image or a module holds, by the real compiler and linker.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use elivepatch_elf::{
    CodeDifference, CodeFit, CodeImage, CompiledCode, DifferenceKind, ImageSymbols, ModuleCode,
    VmlinuxCode, VmlinuxFile,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// Calls, a jump table's worth of text, variables of several sections, a cold part, a weak function.
const EXEC: &str = r#"
    extern int open_file(const char *, int), close_file(const char *, int);
    extern int counters[8];
    extern void panic(const char *) __attribute__((noreturn, cold));
    static int opened, closed;
    static const char *const names[] = { "first", "second", "third" };
    __attribute__((weak)) int arch_hook(int x) { return x + 1; }
    static __attribute__((noinline)) int helper(int x) { return open_file("a text", x) + opened; }
    int do_exec(int x)
    {
        opened += x;
        if (x > 77)
            panic("too many");
        return helper(x) + counters[x & 7] + arch_hook(x) + names[x % 3][0];
    }
    int state(void) { return opened * 2 + closed; }
    __attribute__((section(".init.text"))) int start(int x) { closed = x; return do_exec(x); }
"#;

/// What it is linked with.
const REST: &str = r#"
    int counters[8];
    int arch_hook(int x) { return x + 2; }
    int open_file(const char *name, int x) { return name[0] + x; }
    int close_file(const char *name, int x) { return name[0] - x; }
    void __attribute__((noreturn)) panic(const char *text) { for (;;) counters[0] = text[0]; }
    int _start(void) { return 0; }
"#;

const FLAGS: [&str; 9] = [
    "-O2",
    "-c",
    "-fno-pic",
    "-fno-pie",
    "-mcmodel=kernel",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-fno-common",
];

/// Runs a compiler or linker that must succeed.
fn run(command: &mut Command) {
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

struct Kernel {
    directory: TempDir,
}

impl Kernel {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Compiles a text to an object.
    fn compile(&self, name: &str, text: &str, more: &[&str]) -> Vec<u8> {
        let (source, object) = (self.path(&format!("{name}.c")), self.path(&format!("{name}.o")));
        fs::create_dir_all(source.parent().expect("a parent")).expect("own directory");
        fs::write(&source, text).expect("own file");
        let base = Path::new(name).file_name().expect("a name").to_string_lossy().into_owned();
        let place = source.parent().expect("a parent");
        run(Command::new("gcc").current_dir(place).args(FLAGS).args(more).args([
            &format!("{base}.c"),
            "-o",
            &format!("{base}.o"),
        ]));
        fs::read(object).expect("an object")
    }

    /// Links objects to an image; gives its symbols as `readelf` lists them.
    fn link(&self, objects: &[&str]) -> String {
        run(Command::new("ld")
            .current_dir(self.directory.path())
            .args([
                "-nostdlib",
                "-static",
                "-z",
                "max-page-size=4096",
                "--build-id=0x0123456789abcdef",
            ])
            .args(["-Ttext=0xffffffff81000000", "-o", "vmlinux"])
            .args(objects.iter().map(|name| format!("{name}.o"))));
        let listing = Command::new("readelf")
            .args(["--symbols", "--wide"])
            .arg(self.path("vmlinux"))
            .output()
            .expect("readelf");
        // What is in a bootable image has no symbols.
        run(Command::new("strip").arg(self.path("vmlinux")));
        String::from_utf8(listing.stdout).expect("UTF-8")
    }

    /// Links objects to a module.
    fn link_module(&self, objects: &[&str]) -> Vec<u8> {
        run(Command::new("ld")
            .current_dir(self.directory.path())
            .args(["-r", "-o", "m.ko"])
            .args(objects.iter().map(|name| format!("{name}.o"))));
        run(Command::new("strip").arg("--strip-debug").arg(self.path("m.ko")));
        fs::read(self.path("m.ko")).expect("a module")
    }

    fn compare(&self, object: &[u8], listing: &str) -> CodeFit {
        let code = CompiledCode::read(object).expect("an object");
        let mut names = HashSet::new();
        code.add_names(&mut names);
        let file = VmlinuxFile::open(&self.path("vmlinux")).expect("an image");
        let symbols = ImageSymbols::from_listing(listing, &names);
        CodeFit::compare(&code, &CodeImage::Vmlinux(VmlinuxCode::new(&file, symbols)))
            .expect("a real object")
    }
}

fn with_module(object: &[u8], module: &[u8]) -> CodeFit {
    let code = CompiledCode::read(object).expect("an object");
    let module = ModuleCode::read(module).expect("a module");
    CodeFit::compare(&code, &CodeImage::Module(module)).expect("a real object")
}

/// The kernel of the two files, with the objects and the symbols.
fn kernel() -> (Kernel, Vec<u8>, String) {
    let kernel = Kernel::new();
    let object = kernel.compile("exec", EXEC, &[]);
    kernel.compile("rest", REST, &[]);
    // Another object before it, so that nothing is at the beginning of its section.
    let padding = "int padding_data = 3; const char *padding(void) { return \"first\"; }";
    kernel.compile("padding", padding, &[]);
    let listing = kernel.link(&["padding", "exec", "rest"]);
    (kernel, object, listing)
}

fn only_difference(fit: &CodeFit) -> (&str, &DifferenceKind) {
    match fit.differences.as_slice() {
        [CodeDifference { function, kind }] => (function, kind),
        other => panic!("one difference was expected, not {other:?}"),
    }
}

#[test]
fn object_that_was_linked_is_equal_and_its_weak_function_overridden() {
    let (kernel, object, listing) = kernel();
    let fit = kernel.compare(&object, &listing);
    assert!(fit.holds(), "{fit:?}");
    assert_eq!(fit.overridden, ["arch_hook"]);
    let functions: Vec<&str> = fit.equal.iter().map(String::as_str).collect();
    assert_eq!(functions, ["do_exec", "do_exec.cold", "helper", "start", "state"]);
    assert!(fit.fields >= 8, "{fit:?}");

    let module = kernel.link_module(&["padding", "exec"]);
    let fit = with_module(&object, &module);
    assert!(fit.holds(), "{fit:?}");
    assert!(fit.equal.iter().any(|name| name == "arch_hook"), "nothing overrides it there");
    assert!(fit.fields >= 8, "{fit:?}");
}

#[test]
fn one_changed_byte_is_found_with_its_function_and_place() {
    let (kernel, object, listing) = kernel();
    let line = listing.lines().find(|line| line.ends_with(" helper")).expect("a symbol");
    let address = line.split_ascii_whitespace().nth(1).expect("an address");
    let address = u64::from_str_radix(address, 16).expect("an address");
    let image = kernel.path("vmlinux");
    let mut bytes = fs::read(&image).expect("own file");
    // .text begins at a page of the file.
    let text = 0x1000 + usize::try_from(address - 0xffff_ffff_8100_0000).expect("near");
    bytes[text] ^= 1;
    fs::write(&image, &bytes).expect("own file");
    let fit = kernel.compare(&object, &listing);
    let (function, kind) = only_difference(&fit);
    assert_eq!(function, "helper");
    assert!(matches!(kind, DifferenceKind::Byte { offset: 0, .. }), "{kind:?}");
}

#[test]
fn other_options_of_the_compiler_are_found() {
    let (kernel, _, listing) = kernel();
    let object = kernel.compile("exec", EXEC, &["-O1"]);
    let fit = kernel.compare(&object, &listing);
    assert!(!fit.holds());
    let object = kernel.compile("exec", EXEC, &["-fno-omit-frame-pointer"]);
    assert!(!kernel.compare(&object, &listing).holds());
}

#[test]
fn field_that_leads_elsewhere_is_found_though_no_other_byte_differs() {
    let (kernel, object, listing) = kernel();
    let module = kernel.link_module(&["padding", "exec"]);
    for (from, to, symbol) in [
        // Another function of the same kind.
        ("open_file(\"a text\", x)", "close_file(\"a text\", x)", "close_file"),
        // Another text of the same length.
        ("open_file(\"a text\"", "open_file(\"a next\"", "the text \"a next\" (there: \"a text\")"),
        // Another static variable.
        ("+ opened; }", "+ closed; }", ""),
        ("counters[x & 7]", "others[x & 7]", "others"),
    ] {
        let other = EXEC
            .replace(from, to)
            .replace("extern int counters[8];", "extern int counters[8], others[8];");
        let changed = kernel.compile("exec", &other, &[]);
        let sizes = |object: &[u8]| -> usize {
            let code = elivepatch_elf::object_symbols(object).expect("an object");
            code.iter().map(|one| usize::try_from(one.size).expect("small")).sum()
        };
        assert_eq!(sizes(&object), sizes(&changed), "{to}: only fields differ");
        for fit in [kernel.compare(&changed, &listing), with_module(&changed, &module)] {
            let found = fit.differences.iter().any(|one| {
                matches!(&one.kind, DifferenceKind::Target { symbol: found, .. } if found.contains(symbol))
            });
            assert!(found, "{to}: {fit:?}");
        }
    }
}

#[test]
fn number_in_place_of_a_field_of_a_module_is_found() {
    const TEXT: &str = "struct table { void (*read)(void); void (*write)(void); };\n\
        extern void read_it(void), write_it(void);\n\
        void fill(struct table *table) { table->read = read_it; table->write = WRITE; }\n\
        void clear(struct table *table) { table->read = 0; }\n";
    let kernel = Kernel::new();
    let object = kernel.compile("table", TEXT, &["-mno-sse", "-DWRITE=write_it"]);
    let module = kernel.link_module(&["table"]);
    assert!(with_module(&object, &module).holds());
    let without = kernel.compile("table", TEXT, &["-mno-sse", "-DWRITE=0"]);
    let fit = with_module(&without, &module);
    let (function, kind) = only_difference(&fit);
    assert_eq!(function, "fill");
    // movq $read_it, (%rdi) and movq $0, 8(%rdi), whose number begins after four bytes.
    assert_eq!(*kind, DifferenceKind::Number { offset: 11 });
    // The other way round the field leads nowhere.
    let fit = with_module(&object, &kernel.link_module(&["table"]));
    let (function, kind) = only_difference(&fit);
    assert_eq!(function, "fill");
    assert!(matches!(kind, DifferenceKind::Target { offset: 11, .. }), "{kind:?}");
}

#[test]
fn call_of_the_hook_may_have_become_nothing_with_its_field() {
    const TEXT: &str = "int traced(int x) { return x + 1; }\n";
    let kernel = Kernel::new();
    let object = kernel.compile("traced", TEXT, &["-pg", "-mfentry", "-fno-pie"]);
    let module = kernel.link_module(&["traced"]);
    assert!(with_module(&object, &module).holds());
    // As `objtool --mnop` leaves it: five bytes that do nothing, and a relocation that is a note.
    let call = [0xe8, 0, 0, 0, 0];
    let at = object.windows(5).position(|bytes| bytes == call).expect("a call");
    let mut nop = object.clone();
    nop[at..at + 5].copy_from_slice(&[0x0f, 0x1f, 0x44, 0x00, 0x00]);
    assert!(!with_module(&object, &nop).holds(), "the field is still there");
    let rela = object
        .windows(16)
        .position(|bytes| bytes[..8] == 1_u64.to_le_bytes() && matches!(bytes[8], 2 | 4))
        .expect("a relocation");
    nop[rela + 8] = 0;
    let fit = with_module(&object, &nop);
    assert!(fit.holds(), "{fit:?}");
}

#[test]
fn merged_texts_of_wide_characters_end_with_their_first_zero() {
    let wide = |function: &str, texts: [&str; 2]| {
        let [one, two] = texts;
        format!(
            "extern void use(const void *); void {function}(void) {{ use(L\"{one}\"); use(L\"{two}\"); }}\n"
        )
    };
    let flags = &["-fshort-wchar"];
    let kernel = Kernel::new();
    kernel.compile("early", &wide("early", ["BootOrder", "SecureBoot"]), flags);
    let text = wide("late", ["Setup", "BootOrder"]);
    let object = kernel.compile("late", &text, flags);
    kernel.compile("rest", "void use(const void *text) { } int _start(void) { return 0; }", &[]);
    let listing = kernel.link(&["early", "late", "rest"]);
    let module = kernel.link_module(&["early", "late"]);
    for fit in [kernel.compare(&object, &listing), with_module(&object, &module)] {
        assert!(fit.holds() && fit.fields >= 4, "{fit:?}");
    }
    // A character that differs in its upper byte only, and one behind a zero byte.
    for (from, to) in [("Setup", "Se\\x0174up"), ("Setup", "Setur")] {
        let changed = kernel.compile("late", &text.replace(from, to), flags);
        for fit in [kernel.compare(&changed, &listing), with_module(&changed, &module)] {
            let (function, kind) = only_difference(&fit);
            assert_eq!(function, "late");
            assert!(matches!(kind, DifferenceKind::Target { .. }), "{kind:?}");
        }
    }
}

#[test]
fn static_functions_of_files_of_one_name_are_told_apart() {
    let kernel = Kernel::new();
    let text = |number| {
        format!(
            "extern int open_file(const char *, int);\n\
             static __attribute__((noinline)) int show(int x) {{ return open_file(\"x\", x) ^ {number}; }}\n\
             static int (*const table[])(int) __attribute__((used)) = {{ show }};\n"
        )
    };
    let mut objects = Vec::new();
    for number in [3, 5] {
        objects.push(kernel.compile(&format!("d{number}/main"), &text(number), &[]));
    }
    kernel.compile("rest", REST, &[]);
    let listing = kernel.link(&["d3/main", "d5/main", "rest"]);
    for object in &objects {
        let fit = kernel.compare(object, &listing);
        assert_eq!(fit.ambiguous, ["show"], "nothing says which one it is");
        assert!(!fit.holds());
    }
    // A function that others see says it.
    for number in [3, 5] {
        let more = format!("{}int api{number}(int x) {{ return show(x); }}\n", text(number));
        kernel.compile(&format!("d{number}/main"), &more, &[]);
    }
    let object = fs::read(kernel.path("d5/main.o")).expect("an object");
    let listing = kernel.link(&["d3/main", "d5/main", "rest"]);
    let fit = kernel.compare(&object, &listing);
    assert!(fit.holds(), "{fit:?}");
    assert_eq!(fit.equal, ["api5", "show"]);
    // The other one's code under this one's name.
    let swapped = format!("{}int api5(int x) {{ return show(x); }}\n", text(3));
    let fit = kernel.compare(&kernel.compile("d5/main", &swapped, &[]), &listing);
    let (function, kind) = only_difference(&fit);
    assert_eq!(function, "show");
    assert!(matches!(kind, DifferenceKind::Byte { .. }), "{kind:?}");
}

#[test]
fn function_of_another_size_and_one_that_is_missing_are_named() {
    let (kernel, _, listing) = kernel();
    let longer = EXEC.replace("+ opened; }", "+ opened * 12345 + x / 3; }");
    let fit = kernel.compare(&kernel.compile("exec", &longer, &[]), &listing);
    let helper = fit.differences.iter().find(|one| one.function == "helper").expect("it differs");
    assert!(matches!(helper.kind, DifferenceKind::Size { .. }), "{helper:?}");
    let more = format!("{EXEC}int more(int x) {{ return x; }}\n");
    let fit = kernel.compare(&kernel.compile("exec", &more, &[]), &listing);
    let more = fit.differences.iter().find(|one| one.function == "more").expect("it differs");
    assert_eq!(more.kind, DifferenceKind::Missing);
}

#[test]
fn compiler_says_its_version() {
    let kernel = Kernel::new();
    let object = kernel.compile("exec", EXEC, &[]);
    let code = CompiledCode::read(&object).expect("an object");
    assert!(code.compiler().is_some_and(|text| text.starts_with("GCC: (")), "{code:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// A damaged object or module is compared or refused; nothing else happens.
    #[test]
    fn damaged_files_are_compared_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        of_module in any::<bool>(),
    ) {
        let (object, module) = FILES.get_or_init(|| {
            let kernel = Kernel::new();
            let object = kernel.compile("exec", EXEC, &[]);
            let module = kernel.link_module(&["exec"]);
            (object, module)
        });
        let (mut object, mut module) = (object.clone(), module.clone());
        let changed = if of_module { &mut module } else { &mut object };
        for (index, byte) in changes {
            let at = index.index(changed.len());
            changed[at] = byte;
        }
        if let (Ok(code), Ok(module)) = (CompiledCode::read(&object), ModuleCode::read(&module)) {
            let _ = CodeFit::compare(&code, &CodeImage::Module(module));
        }
    }
}

static FILES: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
