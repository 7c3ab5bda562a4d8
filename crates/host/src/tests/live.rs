//! What is live, what would be lost, and what keeps a livepatch in or out.

use elivepatch_model::{Fix, Sha256Digest};

use super::*;

/// The same livepatch with these fixes.
fn with_fixes(mut applying: Applying, fixes: &[(&str, &str)]) -> Applying {
    let manifest = applying.manifest.as_mut().expect("it has one");
    manifest.fixes = fixes
        .iter()
        .map(|(name, text)| Fix {
            name: (*name).to_owned(),
            digest: Sha256Digest::of(text.as_bytes()),
        })
        .collect();
    applying.manifest_text = Some(serde_json::to_vec(manifest).expect("plain data"));
    applying.patches = fixes.iter().map(|(_, text)| text.as_bytes().to_vec()).collect();
    applying
}

#[test]
fn texts_of_fixes_are_kept_with_their_livepatch_and_one_that_is_damaged_is_none() {
    let world = World::new();
    let one = with_fixes(world.livepatch("one"), &[("a.patch", "text a")]);
    apply(&world, &one).0.expect("it works");
    let directory = StateDirectory::at(Some(&world.state()));
    let digest = Sha256Digest::of(b"text a");
    let text = directory.patch(digest).expect("it can be read");
    assert_eq!(text.as_deref(), Some(&b"text a"[..]));
    assert_eq!(directory.patch(Sha256Digest::of(b"text b")).expect("it can be read"), None);
    let place = directory.module_path(one.module.digest).with_file_name("patches");
    fs::write(place.join(digest.to_string()), "another text").expect("own file");
    assert_eq!(directory.patch(digest).expect("it can be read"), None);
    // What is applied again with its texts mends them.
    assert!(matches!(apply(&world, &one).0, Ok(Applied::AlreadyActive)));
    assert!(directory.patch(digest).expect("it can be read").is_some());
    let id = one.module.build_id.as_ref().expect("it has one");
    let held = directory.held_with(id).expect("it can be read").expect("it is kept");
    assert_eq!(held.module.digest, one.module.digest);
}

#[test]
fn fixes_that_a_livepatch_does_not_hold_any_more_are_told_before_it_is_loaded() {
    let world = World::new();
    let one = with_fixes(world.livepatch("one"), &[("a.patch", "a"), ("b.patch", "b")]);
    let lost = |applying: &Applying| {
        let lost = with_host(&world, |host| host.would_lose(applying).expect("it can be told"));
        lost.map(|(name, fixes)| (name, fixes.into_iter().map(|fix| fix.name).collect::<Vec<_>>()))
    };
    assert_eq!(lost(&one), None, "nothing is live");
    apply(&world, &one).0.expect("it works");
    assert_eq!(lost(&one), None, "it is this one");
    let more =
        with_fixes(world.livepatch("two"), &[("a.patch", "a"), ("b.patch", "newer"), ("c", "c")]);
    assert_eq!(lost(&more), None, "a newer text of a fix is that fix");
    let fewer = with_fixes(world.livepatch("three"), &[("b.patch", "b")]);
    assert_eq!(lost(&fewer), Some(("one".to_owned(), vec!["a.patch".to_owned()])));
}

#[test]
fn livepatch_whose_module_is_held_is_taken_back_all_the_same() {
    let world = World::new();
    let one = world.livepatch("one");
    apply(&world, &one).0.expect("it works");
    world.write("sys/module/one/holders/user", "");
    let reverted = with_host(&world, |host| {
        host.revert(None, "asked for", &ApplyOptions::default(), &mut |_| {}).expect("it goes")
    });
    let Reverted::ToNone { from, held } = reverted else { panic!("{reverted:?}") };
    assert_eq!(from, "one");
    assert!(held.expect("it is held").contains("cannot be taken out of the kernel"));
    assert!(world.active().is_empty() && state(&world).current.is_none());
    assert_eq!(world.modules(), ["one"]);
    // What is there, disabled, cannot be loaded a second time.
    let problem = apply(&world, &one).0.expect_err("its module is there");
    assert!(matches!(problem, HostProblem::Stuck { .. }), "{problem}");
}

#[test]
fn kprobe_is_named_when_the_kernel_is_busy() {
    let world = World::new();
    let mut one = world.livepatch("one");
    one.module.functions = [PatchedFunction {
        object: "vmlinux".to_owned(),
        name: "meminfo_proc_show".to_owned(),
        position: 1,
    }]
    .into();
    world.fate(Fate::Busy(5));
    let problem = apply(&world, &one).0.expect_err("it is busy");
    assert!(!problem.hint().contains("kprobe"), "{}", problem.hint());
    let list = "ffffffff8134a1c0  k  meminfo_proc_show+0x0    [FTRACE]\n";
    world.write("sys/kernel/debug/kprobes/list", list);
    world.fate(Fate::Busy(5));
    let problem = apply(&world, &one).0.expect_err("it is busy");
    let hint = problem.hint();
    assert!(hint.contains("kprobe on meminfo_proc_show (vmlinux)"), "{hint}");
    // Where the kernel tells that the function is redirected, it is not tried at all.
    let enabled = "meminfo_proc_show (1) R I     M \tops: a\n";
    world.write("sys/kernel/tracing/enabled_functions", enabled);
    let told = obstacles(apply(&world, &one).0).join("; ");
    assert!(told.contains("a kprobe with a post handler redirects meminfo_proc_show"), "{told}");
}
