use std::{collections::HashMap, time::Duration};

use elivepatch_patch::{
    SourcePatch,
    patchability::{Surroundings, check},
};

use super::support::{F, Tree, patch};

/// A patch of many files, and one of many functions that change, come and go, of `size` times 1,000
/// lines: what is looked up for each of them must not be searched for among all.
fn many(size: usize) -> [String; 3] {
    let new = |number: usize| {
        format!("--- /dev/null\n+++ b/fs/n{number}.c\n@@ -0,0 +1 @@\n+int n{number};\n")
    };
    let both = |text: &dyn Fn(usize, usize) -> String, count: usize| {
        let side = |marker, which| -> String {
            (0..count * size).map(|n| format!("{marker}{}\n", text(n, which))).collect()
        };
        side('-', 0) + &side('+', 1)
    };
    let come_and_go = both(
        &|number, which| match number % 2 {
            0 => format!("int f{number}(int a) {{ return {which}; }}"),
            _ => format!("int g{number}_{which}(int a) {{ return 1; }}"),
        },
        600,
    );
    let init = both(
        &|number, which| match number % 2 {
            0 => format!("static int f{number}(int a) {{ return {which}; }}"),
            _ => format!("int __init i{number}(int a) {{ return f{number}({which}); }}"),
        },
        600,
    );
    let files: String = (0..500 * size).map(new).collect();
    [files, patch("fs/x.c", "", &(come_and_go + " x")), patch("fs/x.c", "", &(init + " x"))]
}

#[test]
fn many_files_and_functions_are_judged_in_linear_time() {
    let time = |text: &String| {
        let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let begin = processor_time();
        check(&[("fix".to_owned(), parsed)], &Surroundings::default());
        processor_time() - begin
    };
    for (number, (small, large)) in many(1).iter().zip(&many(8)).enumerate() {
        let (small, large) = (time(small), time(large));
        let limit = (small * 24).max(Duration::from_millis(300));
        println!("set {number}: {small:?}, {large:?}");
        assert!(large < limit, "set {number} takes {large:?}, an eighth of it {small:?}");
    }
}

/// Texts that a light reader of C could be slow with, of about `size` times 1,000 lines.
fn hostile(size: usize) -> [String; 8] {
    let lines = |marker: char, count: usize, text: &dyn Fn(usize) -> String| -> String {
        (0..count * size).map(|number| format!("{marker}{}\n", text(number))).collect()
    };
    let define = |value: usize| move |number: usize| format!("#define A{number} {value}");
    let constant =
        |value: usize| move |number: usize| format!("static const int c{number} = {value};");
    [
        lines('-', 500, &define(1)) + &lines('+', 500, &define(2)),
        lines('+', 1000, &|_| "{ (".to_owned()) + " x",
        lines('+', 1000, &|_| "\tstatic int n;".to_owned()) + " x",
        lines('+', 600, &|number| format!("int f{number}(int a) {{ }}")) + " x",
        lines('-', 400, &constant(1)) + &lines('+', 400, &constant(2)),
        lines('+', 1000, &|_| "#if A (".to_owned()) + " x",
        lines('-', 1000, &|_| "f(".to_owned()) + "+x",
        lines('+', 1000, &|_| "/* \" '".to_owned()) + " x",
    ]
}

/// What this thread has used of the processor: on a busy machine the clock says nothing.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let used = statistics.split(' ').next().and_then(|used| used.parse().ok());
    Duration::from_nanos(used.expect("nanoseconds on the processor"))
}

fn time_of(lines: &str) -> Duration {
    let text = patch("fs/x.c", F, lines);
    let patches = [("fix".to_owned(), SourcePatch::parse(text.as_bytes()).expect("a patch"))];
    let old = lines.lines().filter(|line| !line.starts_with('+'));
    let old: String = old.map(|line| format!("{}\n", &line[1..])).collect();
    let tree = Tree(HashMap::from([("fs/x.c", old)]));
    let begin = processor_time();
    check(&patches, &Surroundings::default());
    check(&patches, &Surroundings { config: None, tree: Some(&tree) });
    processor_time() - begin
}

/// Eight times the text takes eight times as long, and thrice that at most. What is quadratic takes
/// 64 times as long.
#[test]
fn hostile_text_is_judged_in_linear_time() {
    for (number, (small, large)) in hostile(1).iter().zip(&hostile(8)).enumerate() {
        let (small, large) = (time_of(small), time_of(large));
        let limit = (small * 24).max(Duration::from_secs(1));
        println!("set {number}: {small:?}, {large:?}");
        assert!(large < limit, "set {number} takes {large:?}, an eighth of it {small:?}");
    }
}
