//! What is shown of a module in a file, whoever has made it.

use std::{fs, process::Command};

use elivepatch_model::{Fix, Sha256Digest};

use crate::double::{Desk, Double, manifest, success};

/// An object with what a module says of itself.
fn module(desk: &Desk, name: &str, more: &str) {
    let source = format!(
        "__asm__(\".section .modinfo,\\\"a\\\"\\n.asciz \\\"name={name}\\\"\\n\
         .asciz \\\"vermagic=6.1.0-50-cloud-amd64 SMP \\\"\\n{more}\
         .section .note.gnu.build-id,\\\"a\\\",@note\\n.long 4,20,3\\n.asciz \\\"GNU\\\"\\n\
         .fill 20,1,0x17\\n.text\");"
    );
    desk.write("module.c", source.as_bytes());
    let output = format!("{name}.ko");
    let ran = Command::new("gcc")
        .args(["-c", "-o", &output, "module.c"])
        .current_dir(desk.path())
        .output()
        .expect("gcc");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

const LIVEPATCH: &str = ".asciz \\\"livepatch=Y\\\"\\n";

#[test]
fn module_without_a_manifest_tells_what_stands_in_it_and_that_this_is_all() {
    let desk = Desk::new();
    let hostile = ".asciz \\\"author=a\\033[2Jb\\\"\\n";
    module(&desk, "foreign", &format!("{LIVEPATCH}{hostile}"));
    let ended = desk.run(&["show", "foreign.ko"]);
    ended.expect(0, &[]);
    for part in [
        "foreign",
        "6.1.0-50-cloud-amd64 SMP",
        &"17".repeat(20),
        "neither kpatch nor klp-build has made it",
        "it has no manifest",
        "signature",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\u{1b}'), "{}", ended.stdout);
    let ended = desk.run(&["show", "foreign.ko", "--json"]);
    ended.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&json["is_livepatch"], &json["signed"]), (&true.into(), &false.into()));
    assert!(json["unknown"].is_string() && json.get("manifest").is_none(), "{json}");

    module(&desk, "driver", "");
    let ended = desk.run(&["show", "./driver.ko"]);
    ended.expect(0, &[]);
    assert!(ended.stdout.contains("no livepatch: it does not say livepatch=Y"), "{}", ended.stdout);
    // What the kernel's build appends to a module that it signs.
    let path = desk.path().join("foreign.ko");
    let mut signed = fs::read(&path).expect("a module");
    signed.extend(b"~Module signature appended~\n");
    fs::write(&path, signed).expect("own file");
    let json = desk.run(&["show", "foreign.ko", "--json"]).stdout;
    assert!(json.contains("\"signed\": true"), "{json}");
}

#[test]
fn manifest_beside_a_module_is_shown_in_words_and_that_of_another_module_is_not() {
    let desk = Desk::new();
    module(&desk, "mine", LIVEPATCH);
    let bytes = fs::read(desk.path().join("mine.ko")).expect("a module");
    let mut manifest = manifest();
    manifest.module.digest = Sha256Digest::of(&bytes);
    manifest.fixes = vec![Fix {
        name: "0001-cve-2026-1001\u{1b}[31m.patch".to_owned(),
        digest: Sha256Digest::of(b"a fix"),
    }];
    desk.write("mine.ko.manifest.json", &serde_json::to_vec(&manifest).expect("JSON"));
    let ended = desk.run(&["show", "mine.ko"]);
    ended.expect(0, &[]);
    let digest = format!("{:.12}", Sha256Digest::of(b"a fix").to_string());
    for part in [
        "fixes CVE-2026-1001)",
        &digest,
        &format!("build-id {}", "ab".repeat(20)),
        "passed on 6.1.0-50-cloud-amd64",
        "2026-11-23 10:00 UTC by elivepatch 0.1.0",
        "debian-12-gcc-12 (gcc-12)",
        "not compared: an older server has built it",
        "not loaded and not kept on this machine",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\u{1b}'), "{}", ended.stdout);

    manifest.module.digest = Sha256Digest::of(b"another module");
    desk.write("mine.ko.manifest.json", &serde_json::to_vec(&manifest).expect("JSON"));
    let ended = desk.run(&["show", "mine.ko"]);
    ended.expect(0, &["the manifest beside mine.ko is of another module"]);
    assert!(!ended.stdout.contains("CVE-2026-1001"), "{}", ended.stdout);
    desk.write("mine.ko.manifest.json", b"{");
    desk.run(&["show", "mine.ko"]).expect(1, &["cannot read the manifest mine.ko.manifest.json"]);
}

#[test]
fn what_is_no_module_is_refused_by_its_name() {
    let desk = Desk::new();
    module(&desk, "whole", LIVEPATCH);
    let whole = fs::read(desk.path().join("whole.ko")).expect("a module");
    desk.write("text.ko", b"no module\x1b[2J");
    desk.write("empty.ko", b"");
    desk.write("half.ko", &whole[..whole.len() / 2]);
    for name in ["text.ko", "empty.ko", "half.ko"] {
        let ended = desk.run(&["show", name]);
        ended.expect(1, &[name, "hint: "]);
        assert!(!ended.stderr.contains('\u{1b}') && ended.stdout.is_empty(), "{ended:#?}");
    }
    let huge = fs::File::create(desk.path().join("huge.ko")).expect("own file");
    huge.set_len(257 << 20).expect("a sparse file");
    desk.run(&["show", "huge.ko"]).expect(1, &["huge.ko", "it has more than"]);
    desk.run(&["show", "nothing.ko"]).expect(1, &["cannot read the module nothing.ko"]);
    fs::create_dir(desk.path().join("directory.ko")).expect("own directory");
    desk.run(&["show", "directory.ko"]).expect(1, &["cannot read the module directory.ko"]);
    desk.run(&["show", "livepatch_nowhere"])
        .expect(1, &["\"livepatch_nowhere\" is no livepatch that is known", "elivepatch list"]);
}

#[test]
fn number_alone_is_a_build() {
    let (desk, server) = (Desk::new(), Double::start(success()));
    let ended = desk.run(&["show", "7", "--url", &server.url]);
    ended.expect(0, &[]);
    assert!(ended.stdout.contains("meminfo_proc_show (vmlinux)"), "{}", ended.stdout);
    desk.run(&["show", "8", "--url", &server.url]).expect(1, &["there is no build 8"]);
    for wrong in ["0", "99999999999999999999", ""] {
        desk.run(&["show", wrong]).expect(2, &["a build has a number: 1, 2, 3"]);
    }
    desk.run(&["show", "7"]).expect(2, &["no server is given"]);
}
