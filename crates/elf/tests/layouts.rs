//! Layouts of data structures as the real compiler describes them.

#[allow(dead_code, reason = "modules are of no use here")]
mod common;

use common::compile;
use elivepatch_elf::{ElfError, Layouts, same_code};

/// What differs between two source texts, compiled as kernel objects are.
fn changes_with(options: &[&str], original: &str, patched: &str) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let layouts = |name: &str, source: &str| {
        let flags = ["-g", "-O2", "-ffunction-sections", "-fdata-sections"];
        let options: Vec<&str> = flags.iter().chain(options).copied().collect();
        let object = compile(directory.path(), name, source, &options);
        Layouts::read(&std::fs::read(object).expect("an object")).expect("debug information")
    };
    let (original, patched) = (layouts("original.c", original), layouts("patched.c", patched));
    // The names of the files differ only because the test needs two.
    let text =
        |change: &elivepatch_elf::LayoutChange| change.to_string().replace(" (patched.c)", "");
    original.changes(&patched).iter().map(text).collect()
}

fn changes(original: &str, patched: &str) -> Vec<String> {
    let default = changes_with(&[], original, patched);
    // The same in every form that compilers of served kernels write.
    for options in [
        &["-gdwarf-4"][..],
        &["-gdwarf-5"],
        &["-gdwarf-5", "-fdebug-types-section"],
        &["-gdwarf-4", "-fdebug-types-section"],
        &["-gdwarf-2", "-gstrict-dwarf"],
    ] {
        assert_eq!(changes_with(options, original, patched), default, "{options:?}");
    }
    default
}

#[test]
fn functions_that_are_called_another_way_are_named() {
    const SOURCE: &str = "struct a; int first(struct a *x, unsigned y) { return y; }\n\
        void second(const char *text, ...) { (void)text; }\n\
        static __attribute__((noinline)) int third(int x) { return x; }\n\
        int fourth(int x) { return third(x); }\n";
    let directory = tempfile::tempdir().expect("a temporary directory");
    let read = |source: &str| {
        let object = compile(directory.path(), "a.c", source, &["-g", "-O2"]);
        Layouts::read(&std::fs::read(object).expect("an object")).expect("debug information")
    };
    let changed = |old: &str, new: &str| {
        let changes = read(SOURCE).signature_changes(&read(&SOURCE.replace(old, new)));
        let text = |change: &elivepatch_elf::SignatureChange| {
            format!("{}: {} -> {}", change.function, change.old, change.new)
        };
        changes.iter().map(text).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        changed("first(struct a *x,", "first(struct a *x, long z,"),
        "first: int (struct a *, unsigned int) -> int (struct a *, long int, unsigned int)"
    );
    assert_eq!(
        changed("(const char *text, ...)", "(const char *text)"),
        "second: void (char *, ...) -> void (char *)"
    );
    assert_eq!(changed("int fourth", "char *fourth").split(':').next(), Some("fourth"));
    // Others than in this file call none of these in another way.
    for (old, new) in [
        ("unsigned y", "const unsigned y"),
        ("unsigned y", "int y"),
        ("third(int x)", "third(long x)"),
        ("return y", "return y + 1"),
        ("int fourth", "int fifth(void) { return 5; }\nint fourth"),
    ] {
        assert_eq!(changed(old, new), "", "{new}");
    }
}

/// A function that uses a structure, behind its definition.
fn using(definition: &str) -> String {
    format!("{definition}\nint get(struct s *s) {{ return sizeof *s + s->a; }}\n")
}

fn of_structs(original: &str, patched: &str) -> Vec<String> {
    changes(&using(original), &using(patched))
}

#[test]
fn equal_sources_have_no_changes() {
    let source = "struct s { int a : 3, b : 5; struct { long c; union { char d; void *e; }; }; \
        enum { ONE, TWO } f; const char *names[4]; int flexible[]; };";
    assert_eq!(of_structs(source, source), Vec::<String>::new());
}

#[test]
fn new_member_and_what_it_pushes_along_is_named() {
    assert_eq!(
        of_structs("struct s { int a; long b; };", "struct s { int a; long n; long b; };"),
        [
            "struct s has 24 bytes instead of 16",
            "struct s: n is new at offset 8",
            "struct s: b moves from offset 8 to 16",
        ]
    );
}

#[test]
fn member_in_a_hole_is_seen_though_nothing_moves() {
    assert_eq!(
        of_structs("struct s { int a; long b; };", "struct s { int a, n; long b; };"),
        ["struct s: n is new at offset 4"]
    );
}

#[test]
fn removed_renamed_and_exchanged_members_are_seen() {
    assert_eq!(
        of_structs("struct s { int a, b; };", "struct s { int a, c; };"),
        ["struct s: b at offset 4 is gone", "struct s: c is new at offset 4"]
    );
    assert_eq!(
        of_structs("struct s { int a, b, c; };", "struct s { int a, c, b; };"),
        ["struct s: b moves from offset 4 to 8", "struct s: c moves from offset 8 to 4"]
    );
}

#[test]
fn types_that_read_the_bytes_in_another_way_are_seen() {
    let of = |old: &str, new: &str| {
        let text = |member: &str| format!("struct s {{ int a; {member}; }};");
        of_structs(&text(old), &text(new))
    };
    assert_eq!(
        of("long b", "double b"),
        ["struct s: b becomes double of 8 bytes, and was long int of 8 bytes"]
    );
    assert_eq!(
        of("char b[8]", "char b[6]"),
        ["struct s: b becomes char[6] of 6 bytes, and was char[8] of 8 bytes"]
    );
    assert_eq!(
        of("struct x *b", "struct y *b"),
        ["struct s: b becomes struct y * of 8 bytes, and was struct x * of 8 bytes"]
    );
    assert_eq!(
        of("struct x { short c, d; } b", "struct y { int c; } b"),
        ["struct s: b becomes struct y of 4 bytes, and was struct x of 4 bytes"]
    );
    // One representation.
    assert_eq!(of("int b", "unsigned b"), Vec::<String>::new());
    assert_eq!(of("int b", "struct wrapped { int counter; } b"), Vec::<String>::new());
    assert_eq!(of("char *b", "const unsigned char *b"), Vec::<String>::new());
    assert_eq!(of("unsigned b", "enum { A } b"), Vec::<String>::new());
}

#[test]
fn structure_inside_another_is_named_with_the_outer_one() {
    let source =
        |inner: &str| format!("struct inner {{ {inner} }}; struct s {{ int a; struct inner i; }};");
    assert_eq!(
        of_structs(&source("short x, y;"), &source("short y, x;")),
        ["struct inner: x moves from offset 0 to 2", "struct inner: y moves from offset 2 to 0",]
    );
    assert_eq!(
        of_structs(&source("int x;"), &source("int x, y;")),
        [
            "struct inner has 8 bytes instead of 4",
            "struct inner: y is new at offset 4",
            "struct s has 12 bytes instead of 8",
            "struct s: i becomes struct inner of 8 bytes, and was struct inner of 4 bytes",
        ]
    );
}

#[test]
fn members_of_anonymous_structures_and_unions_have_their_place_in_the_whole() {
    let source =
        |inner: &str| format!("struct s {{ int a; union {{ long b; struct {{ {inner} }}; }}; }};");
    assert_eq!(
        of_structs(&source("short c, d;"), &source("short n, c, d;")),
        [
            "struct s: n is new at offset 8",
            "struct s: c moves from offset 8 to 10",
            "struct s: d moves from offset 10 to 12",
        ]
    );
    // As anonymous members are added around others.
    assert_eq!(
        of_structs(
            "struct s { int a; long b; };",
            "struct s { int a; union { long b; char n; }; };"
        ),
        ["struct s: n is new at offset 8"]
    );
}

#[test]
fn bit_fields_have_places_of_their_own() {
    let source = |fields: &str| format!("struct s {{ int a; unsigned {fields}; }};");
    assert_eq!(
        of_structs(&source("b : 3, c : 5"), &source("b : 3, n : 1, c : 4")),
        [
            "struct s: n is new at offset 4 bit 3",
            "struct s: c moves from offset 4 bit 3 to 4 bit 4",
        ]
    );
    assert_eq!(
        of_structs(&source("b : 3, c : 5"), &source("b : 3, c : 6")),
        ["struct s: c becomes unsigned int:6, and was unsigned int:5"]
    );
    assert_eq!(
        of_structs(&source("b : 3, : 2, c : 3"), &source("b : 3, : 3, c : 3")),
        ["struct s: c moves from offset 4 bit 5 to 4 bit 6"]
    );
}

#[test]
fn structure_known_by_a_typedef_only_is_compared() {
    let source = |members: &str| {
        format!("typedef struct {{ {members} }} box_t; int get(box_t *s) {{ return s->a; }}")
    };
    assert_eq!(
        changes(&source("int a;"), &source("char n; int a;")),
        [
            "box_t has 8 bytes instead of 4",
            "box_t: n is new at offset 0",
            "box_t: a moves from offset 0 to 4",
        ]
    );
    let source = |typedef: &str| format!("{typedef} struct s {{ int a; number b; }};");
    assert_eq!(
        of_structs(&source("typedef int number;"), &source("typedef short number;")),
        ["struct s: b becomes number of 2 bytes, and was number of 4 bytes"]
    );
}

#[test]
fn structure_that_is_new_or_gone_is_no_change() {
    let (with, without) =
        ("struct s { int a; }; struct n { int x; }; struct n n;", "struct s { int a; };");
    assert_eq!(of_structs(without, with), Vec::<String>::new());
    assert_eq!(of_structs(with, without), Vec::<String>::new());
    // Only declared there: no memory was laid out by this object.
    assert_eq!(
        of_structs(
            "struct o; struct s { int a; struct o *o; };",
            "struct o { int x; }; struct s { int a; struct o *o; }; int y(struct o *o) { return o->x; }"
        ),
        Vec::<String>::new()
    );
}

#[test]
fn structures_of_functions_are_told_apart() {
    let source = |one: &str, two: &str| {
        format!(
            "int one(void) {{ static struct s {{ {one} }} s; return s.a++; }}
             int two(void) {{ static struct s {{ {two} }} s; return s.a++; }}"
        )
    };
    assert_eq!(
        changes(&source("int a;", "long a;"), &source("int a;", "long a;")),
        Vec::<String>::new()
    );
    assert_eq!(
        changes(&source("int a;", "long a;"), &source("int a;", "long a, b;")),
        ["two: struct s has 16 bytes instead of 8", "two: struct s: b is new at offset 8",]
    );
}

#[test]
fn variables_with_an_address_are_compared_and_those_on_the_stack_are_not() {
    let source = |global: &str, local: &str| {
        format!(
            "struct {{ {global} }} v; int get(int x) {{ volatile {local} y = x; return y + v.a; }}"
        )
    };
    assert_eq!(changes(&source("int a;", "int"), &source("int a;", "long")), Vec::<String>::new());
    // kpatch sees a variable's size and content; this one has the same of both.
    assert_eq!(
        changes(&source("short a, b;", "int"), &source("int a;", "int")),
        ["variable v becomes struct (anonymous), and was struct (anonymous)"]
    );
    // Constants come with the code that reads them.
    let table = |entries: &str| {
        format!("const int table[] = {{ {entries} }}; int get(int x) {{ return table[x]; }}")
    };
    assert_eq!(changes(&table("1, 2"), &table("1, 2, 3")), Vec::<String>::new());
}

#[test]
fn constants_that_memory_may_hold_must_keep_their_values() {
    let source =
        |constants: &str| format!("struct s {{ int a; enum state {{ {constants} }} state; }};");
    assert_eq!(
        of_structs(&source("IDLE, BUSY, STATE_MAX"), &source("IDLE, NEW, BUSY, STATE_MAX")),
        ["enum constant BUSY is 2 instead of 1"]
    );
    assert_eq!(
        of_structs(&source("IDLE, BUSY, NR_STATES"), &source("IDLE, BUSY, NEW, NR_STATES")),
        Vec::<String>::new()
    );
    assert_eq!(
        of_structs(
            &source("IDLE, NR_BUSY, LAST_OF_ALL"),
            &source("IDLE, NEW, NR_BUSY, LAST_OF_ALL")
        ),
        ["enum constant LAST_OF_ALL is 3 instead of 2", "enum constant NR_BUSY is 2 instead of 1"]
    );
    assert_eq!(
        of_structs(
            &source("A, B, __E_LAST, E_MAX = __E_LAST - 1"),
            &source("A, B, C, __E_LAST, E_MAX = __E_LAST - 1")
        ),
        Vec::<String>::new()
    );
}

#[test]
fn object_without_debug_information_is_an_error() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The assembler compresses only what gets smaller.
    let members: String = (0..500).map(|number| format!("int member_{number};")).collect();
    let source = format!("struct s {{ {members} }} s;");
    let read = |options: &[&str]| {
        let object = compile(directory.path(), "plain.c", &source, options);
        Layouts::read(&std::fs::read(object).expect("an object"))
    };
    let missing = read(&[]).expect_err("no debug information");
    assert!(matches!(missing, ElfError::NoDebugInformation { problem: "is missing", .. }));
    let compressed = read(&["-g", "-gz=zlib"]).expect_err("compressed");
    assert!(matches!(compressed, ElfError::NoDebugInformation { problem: "is compressed", .. }));
}

#[test]
fn only_debug_information_may_differ_in_the_same_code() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let same = |original: &str, patched: &str| {
        let [original, patched] = [original, patched].map(|source| {
            let flags = ["-g", "-O2", "-ffunction-sections", "-fdata-sections"];
            let object = compile(directory.path(), "object.c", source, &flags);
            std::fs::read(object).expect("an object")
        });
        assert_ne!(original, patched);
        same_code(&original, &patched).expect("objects")
    };
    let code = "int other(int); static int count; int get(int x) { count += x; return other(x); }";
    // Other lines, and other types.
    assert!(same(code, &format!("\n\nstruct unused {{ int x; }} *unused(void);{code}")));
    assert!(same(
        code,
        &code.replace("int x)", "int y)").replace("(x)", "(y)").replace("+= x", "+= y")
    ));
    for (from, to) in [
        ("+= x", "+= 2 * x"),
        ("other", "another"),
        ("static int count", "static int count = 1"),
        ("static int count", "static int __attribute__((aligned(16))) count"),
        ("static int count", "int count"),
        ("get", "set"),
    ] {
        assert!(!same(code, &code.replace(from, to)), "{to}");
    }
    let file = |name: &str| {
        let object =
            compile(directory.path(), name, "static int x; int get(void) { return x++; }", &[]);
        std::fs::read(object).expect("an object")
    };
    assert!(same_code(&file("a.c"), b"no object").is_err());
}

#[test]
fn damaged_debug_information_is_read_or_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = using(
        "typedef int number; struct i { number b : 3, c : 4; }; struct s { int a; struct i i[3]; \
         struct { union { char d; struct s *e; }; }; enum { ONE, TWO } f; }; struct s table[9];",
    );
    let object = compile(directory.path(), "object.c", &source, &["-g"]);
    let original = std::fs::read(object).expect("an object");
    // A fixed sequence of pseudo-random numbers (Knuth's MMIX), so that a failure comes again.
    let mut state: u64 = 3;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        refused += usize::from(Layouts::read(&bytes).is_err());
    }
    assert!((100..19_900).contains(&refused), "{refused} of 20,000 refused");
}
