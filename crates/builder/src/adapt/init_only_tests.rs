//! Tests of what may be left out, by the texts.

use super::*;

const ORIGINAL: &str = "static int limit;\nstatic int run(void)\n{\n\treturn limit;\n}\n\
    static int __init setup(void)\n{\n\tlimit = 1;\n\treturn 0;\n}\n";

/// A file of a fix, with `run` and `setup` changed as the texts say.
fn sides(fix: &str, run: &str, setup: &str) -> (Sides, Vec<InitChange>) {
    let patched = ORIGINAL.replace("\treturn limit;\n", run).replace("\tlimit = 1;\n", setup);
    let kept: Vec<&str> = ORIGINAL.lines().collect();
    // No line of the original occurs twice but those that both sides have as often.
    let mut next = 0;
    let old_lines = patched.lines().map(|line| {
        let at = kept[next..].iter().position(|old| *old == line)?;
        next += at + 1;
        Some(next)
    });
    let side = Sides {
        file: ChangedFile { path: format!("{fix}.c"), fix: fix.into(), moves_lines: true },
        original: ORIGINAL.into(),
        old_lines: old_lines.collect(),
        patched: patched.clone().into(),
    };
    (side, init_changes(ORIGINAL.as_bytes(), patched.as_bytes()))
}

fn reason(files: Vec<(Sides, Vec<InitChange>)>) -> Option<String> {
    let (sides, changes): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    what_stands_against(&sides, &changes)
}

const RUN: &str = "\treturn old();\n";
const SETUP: &str = "\tprepare();\n\tlimit = 1;\n";

#[test]
fn left_out_function_is_as_it_was_and_its_lines_have_their_numbers() {
    let (side, changes) = sides("fix", "\told();\n\treturn limit;\n", SETUP);
    let (text, old_lines) = side.without(&changes);
    let text = String::from_utf8(text).expect("text");
    assert_eq!(text, ORIGINAL.replace("\treturn limit;\n", "\told();\n\treturn limit;\n"));
    let expected: Vec<Option<usize>> =
        [1, 2, 3].into_iter().map(Some).chain([None]).chain((4..=10).map(Some)).collect();
    assert_eq!(old_lines, expected);
}

#[test]
fn shared_name_keeps_the_change() {
    assert_eq!(reason(vec![sides("fix", "\told();\n\treturn limit;\n", SETUP)]), None);
    let shared = sides("fix", "\tprepare();\n\treturn limit;\n", SETUP);
    let said = reason(vec![shared]).expect("a reason");
    assert_eq!(said, "the change to setup is tied to run() in fix.c by prepare");
    // Also one on a line that goes away, and one of another fix.
    let (removed, other) = (sides("fix", RUN, "\tlimit = 2;\n"), sides("b", RUN, "\tlimit = 1;\n"));
    assert!(reason(vec![removed, other]).expect("a reason").ends_with("by limit"));
}

#[test]
fn name_anywhere_in_a_function_that_changes_keeps_the_change() {
    // The changed line of run() does not name it.
    let said = reason(vec![sides("fix", "\told();\n\treturn limit;\n", "\tlimit = 2;\n")]);
    assert!(said.expect("a reason").ends_with("run() in fix.c by limit"));
}

/// Init code and a function in files of one fix, each with its text before and after.
fn pair(init: [&str; 2], run: [&str; 2]) -> Option<String> {
    let side = |name: &str, [before, after]: [&str; 2]| {
        let kept: Vec<&str> = before.lines().collect();
        let old_lines = after.lines().map(|line| {
            let old = kept.iter().position(|old| *old == line)?;
            Some(old + 1)
        });
        let side = Sides {
            file: ChangedFile { path: name.into(), fix: "fix".into(), moves_lines: false },
            original: before.into(),
            old_lines: old_lines.collect(),
            patched: after.into(),
        };
        (side, init_changes(before.as_bytes(), after.as_bytes()))
    };
    let init = init.map(|body| format!("static int __init setup(void)\n{{\n{body}\n}}\n"));
    let run = run.map(|body| format!("int run(int len)\n{{\n{body}\n}}\n"));
    let files = [("a.c", &init), ("b.c", &run)];
    reason(files.map(|(name, [old, new])| side(name, [old, new])).into())
}

#[test]
fn buffer_and_the_bound_of_what_is_written_into_it_belong_together() {
    let allocate = ["\tbuf = kmalloc(64, GFP_KERNEL);", "\tbuf = kmalloc(128, GFP_KERNEL);"];
    let bound = ["\tif (len > 64)\n\t\treturn 0;", "\tif (len > 128)\n\t\treturn 0;"];
    let said = pair(allocate, bound).expect("a reason");
    assert_eq!(said, "the change to setup is tied to other changes in b.c by 128, 64");
    // The bound is written in another way, and the buffer is used on a line that stays.
    let use_it = "\n\tmemset(buf, 0, len);";
    let bound = bound.map(|text| text.replace("128", "2 * OLD").replace("64", "OLD") + use_it);
    let said = pair(allocate, [&bound[0], &bound[1]]).expect("a reason");
    assert_eq!(said, "the change to setup is tied to run() in b.c by buf");
    // No word of it: what relies on the memory need not name it.
    let said = pair(allocate, ["\treturn len;", "\treturn -len;"]).expect("a reason");
    assert!(said.starts_with("the change to setup is where it calls kmalloc()"), "{said}");
    let pages = ["\tp = __get_free_pages(mask, 0);", "\tp = __get_free_pages(mask, 1);"];
    let bound = ["\tif (len > SIZE)\n\t\treturn 0;", "\tif (len > 2 * SIZE)\n\t\treturn 0;"];
    assert!(pair(pages, bound).is_some());
}

#[test]
fn handler_is_a_tie_unless_it_is_registered_as_before() {
    let run = ["\treturn len;", "\treturn -len;"];
    let mode = ["\tadd(\"name\", 0, run);", "\tadd(\"name\", 0400, run);"];
    assert_eq!(pair(mode, run), None);
    let flags = ["\tadd(\"name\", 0, run);", "\tadd(\"name\", ONE_SHOT, run);"];
    let said = pair(flags, run).expect("a reason");
    assert_eq!(said, "the change to setup is tied to run() in b.c by run");
    assert!(pair(["\tadd();", "\tadd();\n\tstart(run);"], run).is_some());
}

#[test]
fn fix_of_nothing_else_keeps_the_change() {
    let said = reason(vec![
        sides("first", "\treturn limit;\n", SETUP),
        sides("second", "\told();\n\treturn limit;\n", "\tlimit = 1;\n"),
    ]);
    assert_eq!(said.expect("a reason"), "first changes nothing else");
}
