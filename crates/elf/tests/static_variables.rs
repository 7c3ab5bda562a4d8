//! Which function static local variables belong to, in objects that the real compiler made.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use elivepatch_elf::static_variables;

/// The variables of a name in a source text, as `FUNCTION SIZE`, `-` for those of the file.
fn owners_with(options: &[&str], source: &str, name: &str) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options: Vec<&str> =
        ["-g", "-O2", "-fdata-sections"].iter().chain(options).copied().collect();
    let object = common::compile(directory.path(), "a.c", source, &options);
    let bytes = std::fs::read(object).expect("an object");
    let variables = static_variables(&bytes).expect("debug information");
    let of_name = variables.get(name).into_iter().flatten();
    of_name
        .map(|variable| {
            format!("{} {}", variable.function.as_deref().unwrap_or("-"), variable.size)
        })
        .collect()
}

fn owners(source: &str, name: &str) -> Vec<String> {
    let mut found = owners_with(&[], source, name);
    for options in [&["-gdwarf-4"][..], &["-gdwarf-5"], &["-fno-data-sections"]] {
        assert_eq!(owners_with(options, source, name), found, "{options:?}");
    }
    found.sort();
    found
}

#[test]
fn variables_of_one_name_are_told_apart_by_their_functions() {
    let source = r#"
        static int count = 7;
        int *of_file(void) { return &count; }
        int f(void) { static int count; return ++count; }
        int g(int x) { if (x) { static long count = 5; return ++count; } return 0; }
    "#;
    assert_eq!(owners(source, "count"), ["- 4", "f 4", "g 8"]);
}

#[test]
fn variable_of_an_inlined_function_is_that_functions() {
    let source = r#"
        static inline __attribute__((always_inline)) int next(void) { static int last; return ++last; }
        static __attribute__((noinline)) int other(void) { static int last; return last += 2; }
        int f(void) { return next() + other(); }
        int g(void) { return next() * 2; }
    "#;
    assert_eq!(owners(source, "last"), ["next 4", "other 4"]);
}

#[test]
fn names_that_the_kernel_makes_unique_by_a_number_are_one_name() {
    let source = r#"
        int f(void) { static int __UNIQUE_ID_state_41; return ++__UNIQUE_ID_state_41; }
        int g(void) { static int __UNIQUE_ID_state_42; return ++__UNIQUE_ID_state_42; }
        int h(void) { static int state2; return ++state2; }
        int i(void) { static int n; return ++n; }
    "#;
    assert_eq!(owners(source, "__UNIQUE_ID_state"), ["f 4", "g 4"]);
    assert_eq!(owners(source, "state"), ["h 4"]);
    // objtool does not cut what would leave one letter.
    assert_eq!(owners(source, "n"), Vec::<String>::new());
}

#[test]
fn variable_that_moves_to_another_function_shows() {
    let before = "int f(void) { static int count; return ++count; }\nint g(void) { return 1; }\n";
    let after = "int f(void) { return 1; }\nint g(void) { static int count; return ++count; }\n";
    assert_eq!(owners(before, "count"), ["f 4"]);
    assert_eq!(owners(after, "count"), ["g 4"]);
}

#[test]
fn what_can_be_written_is_told_from_constants() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "const int *f(int x) { static const int table[] = { 1, 2 }; return table + x; }\n\
        int g(void) { static int state; return ++state; }\n";
    let object = common::compile(directory.path(), "a.c", source, &["-g", "-O2"]);
    let bytes = std::fs::read(object).expect("an object");
    let variables = static_variables(&bytes).expect("debug information");
    assert!(!variables["table"][0].is_writable && variables["state"][0].is_writable);
}
