use super::*;

const LISTING: &str = "
     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS a.c
     2: ffffffff81000000    16 FUNC    LOCAL  DEFAULT    1 first
     3: ffffffff81000010    32 FUNC    LOCAL  DEFAULT    1 twin
     4: ffffffff81000030    16 FUNC    LOCAL  DEFAULT    1 twin
     5: ffffffff81000040     0 NOTYPE  LOCAL  DEFAULT    1 label
     6: ffffffff81000040    16 FUNC    GLOBAL DEFAULT    1 last
     7: ffffffff81000030    16 FUNC    LOCAL  DEFAULT    1 __pfx_last
     8: ffffffff82000000    16 OBJECT  GLOBAL DEFAULT    2 data
";

const RUNNING: [(u64, &str); 5] = [
    (0xffff_ffff_9100_0000, "first"),
    (0xffff_ffff_9100_0010, "twin"),
    (0xffff_ffff_9100_0030, "twin"),
    (0xffff_ffff_9100_0040, "last"),
    (0xffff_ffff_9100_0040, "label"),
];

fn compare(running: &[(u64, &str)]) -> Result<SymbolFitRecord, Vec<String>> {
    let lines = running.iter().map(|(address, name)| format!("{address:016x} t {name}\n"));
    let text: String = lines.collect();
    let parsed = Kallsyms::parse(text.as_bytes()).expect("a text of the kernel");
    compare_vmlinux(&parsed, &SymbolListing::parse(LISTING))
}

#[test]
fn same_kernel_at_another_address_fits_with_its_sizes() {
    let record = compare(&RUNNING).expect("the same kernel");
    assert_eq!(record, SymbolFitRecord { names: 5, sizes: true, modules: Vec::new() });
}

#[test]
fn without_addresses_names_and_order_are_compared() {
    let hidden = RUNNING.map(|(_, name)| (0, name));
    let record = compare(&hidden).expect("the same kernel");
    assert_eq!((record.names, record.sizes), (5, false));
    let mut swapped = hidden;
    swapped.swap(0, 1);
    let lines = compare(&swapped).expect_err("another order");
    assert!(lines[0].contains("twin comes before first"), "{lines:?}");
}

#[test]
fn function_that_one_side_lacks_is_named() {
    let lines = compare(&RUNNING[1..]).expect_err("one is missing");
    assert_eq!(lines, ["the base has first, and the running kernel has not"]);
    let more = [&RUNNING[..], &[(0xffff_ffff_9100_0050, "more")]].concat();
    let lines = compare(&more).expect_err("one is there in excess");
    assert_eq!(lines, ["the running kernel has more, and the base has not"]);
    let lines = compare(&[&RUNNING[..2], &RUNNING[3..]].concat()).expect_err("one of two");
    assert_eq!(lines, ["the base has twin, and the running kernel has not"]);
}

#[test]
fn other_size_of_a_function_is_found_by_the_next_one() {
    let mut longer = RUNNING;
    for (address, _) in &mut longer[2..] {
        *address += 16;
    }
    let lines = compare(&longer).expect_err("another size");
    assert_eq!(lines, ["from twin to twin are 48 bytes in the running kernel, and 32 in the base"]);
}

#[test]
fn data_between_sections_may_have_another_size() {
    let listing = format!(
        "{LISTING}     9: ffffffff83000000    16 FUNC    LOCAL  DEFAULT    3 init_first\n\
         10: ffffffff83000010    16 FUNC    LOCAL  DEFAULT    3 init_second\n\
         11: ffffffff83002000    16 FUNC    LOCAL  DEFAULT    5 exit_first\n\
         12: ffffffff83002010    16 FUNC    LOCAL  DEFAULT    5 exit_second\n"
    );
    // The certificates between .init.text and .exit.text are larger by a page.
    let with = |second: u64, exit_second: u64| {
        let init = 0xffff_ffff_9300_0000_u64;
        let more = [
            (init, "init_first"),
            (init + second, "init_second"),
            (init + 0x3000, "exit_first"),
            (init + 0x3000 + exit_second, "exit_second"),
        ];
        let running = [&RUNNING[..], &more].concat();
        let lines = running.iter().map(|(address, name)| format!("{address:x} t {name}\n"));
        let text: String = lines.collect();
        let parsed = Kallsyms::parse(text.as_bytes()).expect("a text of the kernel");
        compare_vmlinux(&parsed, &SymbolListing::parse(&listing))
    };
    assert_eq!(with(0x10, 0x10).expect("the same code").names, 9);
    let lines = with(0x10, 0x20).expect_err("another size in .exit.text");
    assert_eq!(
        lines,
        ["from exit_first to exit_second are 32 bytes in the running kernel, and 16 in the base"]
    );
    assert_eq!(with(0x18, 0x10).expect_err("another size in .init.text").len(), 1);
}

#[test]
fn module_is_compared_by_names_and_places_and_without_its_init_code() {
    let function = |section: &str, value| ModuleFunction { section: section.to_owned(), value };
    let expected = ModuleFunctions::from([
        ("read".to_owned(), vec![function(".text", 0)]),
        ("write".to_owned(), vec![function(".text", 64)]),
        ("start".to_owned(), vec![function(".init.text", 0)]),
    ]);
    let symbol = |address, name| RunningSymbol { address, name };
    let base = 0xffff_ffff_c000_0000_u64;
    let same = [symbol(base, "read"), symbol(base + 64, "write")];
    assert_eq!(compare_module("ext4", &same, &expected), Ok(()));
    let moved = [symbol(base, "read"), symbol(base + 80, "write")];
    let lines = compare_module("ext4", &moved, &expected).expect_err("another size");
    assert!(lines[0].contains("write lies elsewhere, seen from read"), "{lines:?}");
    let other = [symbol(0, "read"), symbol(0, "append")];
    let lines = compare_module("ext4", &other, &expected).expect_err("other functions");
    assert_eq!(lines.len(), 2, "{lines:?}");
}
#[test]
fn first_function_of_a_module_counts_in_the_normal_form() {
    let function = |value| vec![ModuleFunction { section: ".text".to_owned(), value }];
    let expected = ModuleFunctions::from([
        ("read".to_owned(), function(0)),
        ("write".to_owned(), function(64)),
    ]);
    let found = |distance: u64| {
        let first = 0xffff_ffff_c000_0000_u64;
        let raw = format!(
            "ffffffff81000000 T _text\n{first:x} t read\t[ext4]\n{:x} t write\t[ext4]\n",
            first + distance
        );
        let normal = elivepatch_model::Kallsyms::read(raw.as_bytes(), |_| true);
        let normal = normal.expect("a text of the kernel");
        assert!(normal.text().contains("\n0 t read\t[ext4]\n"), "{normal:?}");
        let running = Kallsyms::parse(normal.text().as_bytes()).expect("the normal form");
        compare_module("ext4", &running.modules["ext4"], &expected)
    };
    assert_eq!(found(64), Ok(()));
    let lines = found(80).expect_err("read has another size");
    assert!(lines[0].contains("write lies elsewhere, seen from read"), "{lines:?}");
}

#[test]
fn all_that_differs_is_told_and_what_is_not_loaded() {
    let function = |value| vec![ModuleFunction { section: ".text".to_owned(), value }];
    let expected = ModuleFunctions::from([("read".to_owned(), function(0))]);
    let functions_of = |_: &str| Ok(expected.clone());
    let text = |vmlinux: &str| {
        let lines = RUNNING.iter().map(|(address, name)| format!("{address:x} t {name}\n"));
        let lines: String = lines.collect();
        format!("{lines}{vmlinux}0 t read\t[ext4]\n0 t append\t[xfs]\n")
    };
    let modules = BTreeSet::from(["ext4", "nfs", "xfs"]);
    let compare = |text: &str| {
        let running = Kallsyms::parse(text.as_bytes()).expect("a text of the kernel");
        let listing = SymbolListing::parse(LISTING);
        compare_all(&running, &listing, &modules, &functions_of).expect("it can be compared")
    };
    let fit = compare(&text(""));
    assert_eq!(fit.symbols.expect("vmlinux is equal").modules, ["ext4"]);
    assert_eq!(fit.not_loaded, ["nfs"]);
    assert_eq!(fit.failures.len(), 1, "{:?}", fit.failures);
    assert!(fit.failures[0].message.contains("xfs"), "{:?}", fit.failures);
    let fit = compare(&text("ffffffff91000050 t more\n"));
    assert_eq!((fit.symbols, fit.failures.len()), (None, 2));
    assert!(fit.failures[0].message.contains("has more"), "{:?}", fit.failures);
}
