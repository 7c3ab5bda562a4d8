use proptest::prelude::*;

use super::*;

const RAW: &str = "0000000000001000 A cpu_debug_store\n\
    ffffffff9ae00000 T _stext\nffffffff9ae00000 T _text\nffffffff9ae00040 t start\n\
    ffffffff9c000000 D data\nffffffffc0b02000 d state\t[xfs]\n\
    ffffffffc0a01040 t xfs_two\t[xfs]\nffffffffc0a01000 T xfs_one\t[xfs]\n\
    ffffffffc0901000 T ext4_one\t[ext4]\nffffffffc0001000 t bpf_prog_1\t[bpf]\n\
    ffffffffc0002000 t kprobe_x\t[__builtin__kprobes]\n";

const NORMAL: &str = "0 T _stext\n0 T _text\n40 t start\n1200000 D data\n\
    0 T ext4_one\t[ext4]\n40 t xfs_two\t[xfs]\n0 T xfs_one\t[xfs]\n";

fn read(text: &str) -> Result<Kallsyms, KallsymsError> {
    Kallsyms::read(text.as_bytes(), |_| true)
}

#[test]
fn addresses_are_gone_and_another_boot_gives_the_same_text() {
    let list = read(RAW).expect("symbols");
    assert_eq!(list.text(), NORMAL);
    assert_eq!((list.symbols(), list.modules(), list.has_offsets()), (7, 2, true));
    let other_boot = RAW.replace("ffffffff9", "ffffffff8").replace("ffffffffc0a", "ffffffffc1d");
    assert_eq!(read(&other_boot).expect("symbols"), list);
    assert_eq!(read(NORMAL).expect("the normal form"), list);
}

#[test]
fn hidden_addresses_leave_names_and_order() {
    let hidden: Vec<String> =
        RAW.lines().map(|line| format!("{:016x}{}", 0, &line[16..])).collect();
    let list = read(&hidden.join("\n")).expect("symbols");
    assert!(!list.has_offsets());
    assert_eq!(list.text().lines().nth(2), Some("0 t start"));
    assert_eq!(list.symbols(), 7);
}

#[test]
fn list_without_its_first_symbol_tells_no_address() {
    let list = read("ffffffff9ae00040 t start\nffffffff9ae00080 t next\n").expect("symbols");
    assert_eq!(list.text(), "0 t start\n0 t next\n");
}

#[test]
fn symbols_of_sections_that_nm_does_not_know_are_kept() {
    let list =
        read("ffffffff81000000 T _text\nffffffff81a8e000 ? __nosave_begin\n").expect("a list");
    assert_eq!(list.text(), "0 T _text\na8e000 ? __nosave_begin\n");
}

#[test]
fn modules_that_are_not_wanted_are_left_out() {
    let list = Kallsyms::read(RAW.as_bytes(), |name| name == "ext4").expect("symbols");
    assert_eq!(list.modules(), 1);
    assert!(!list.text().contains("xfs"), "{}", list.text());
}

#[test]
fn what_is_no_list_is_refused_with_its_line() {
    for (text, line) in [
        ("hello\n", 1),
        ("0 T _text\n0 T\n", 2),
        ("0 T _text\n+1 T a\n", 2),
        ("0 T _text\n0 TT a\n", 2),
        ("0 T _text\n0 T a b\n", 2),
        ("0 T _text\n0 T a\t[]\n", 2),
        ("0 T _text\n0 T a\t[../x]\n", 2),
        ("0 T _text\n\n", 2),
        ("", 1),
    ] {
        match read(text) {
            Err(KallsymsError::Line { line: found, .. }) => assert_eq!(found, line, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
    assert_eq!(read("0 A absolute\n0 T a\t[xfs]\n"), Err(KallsymsError::Empty));
    let many = "0 t a\n".repeat(KALLSYMS_SYMBOLS + 1);
    assert_eq!(read(&many), Err(KallsymsError::TooManySymbols));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Kallsyms::read(&bytes, |_| true);
    }

    #[test]
    fn normal_form_stays_as_it_is_and_holds_no_address(
        symbols in proptest::collection::vec(
            (0u64..1 << 20, "[tTdAw]", "[a-c_]{1,3}", proptest::option::of("[a-c]")), 1..30
        ),
        slide: u32,
    ) {
        let slide = 0xffff_ffff_0000_0000 | u64::from(slide & 0x7fff_ffff);
        let mut raw = format!("{slide:x} T _text\n");
        for (offset, kind, name, module) in &symbols {
            let module = module.as_ref().map(|name| format!("\t[{name}]")).unwrap_or_default();
            raw += &format!("{:x} {kind} {name}{module}\n", slide + offset);
        }
        let list = read(&raw).expect("symbols");
        prop_assert_eq!(&read(list.text()).expect("symbols"), &list);
        for line in list.text().lines() {
            let offset = line.split(' ').next().unwrap_or_default();
            prop_assert!(u64::from_str_radix(offset, 16).expect("a number") <= LARGEST_OFFSET);
        }
    }
}
