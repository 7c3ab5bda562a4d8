//! Which CVEs matter on the stock kernel, by what its base says that it is built from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use elivepatch_api::AssessmentResource;
use elivepatch_builder::{Builder, BuilderOptions};
use elivepatch_cve::{Applicability, LinuxVersion};
use elivepatch_end_to_end::{
    RELEASE, SHORT_LIMIT, ServerOptions, TestServer, cache_directory, make_base_ready, own_patch,
    patch, program, publish, publish_fix, wait_until,
};
use elivepatch_model::{Architecture, Manifest, TargetFacts};

/// A server that has read a feed, with the stock kernel's base ready.
fn server_with(feed: &str) -> TestServer {
    server_with_config(format!("[feed]\nsource = {feed:?}\n"))
}

fn server_with_config(config: String) -> TestServer {
    make_base_ready();
    let server = TestServer::start(ServerOptions { config, ..ServerOptions::default() });
    // It reads the feed by itself when it starts.
    wait_until("the feed", SHORT_LIMIT, || {
        let run = server.client("cve").args(["--dry-run", "--kernel", RELEASE]).run();
        assert!(
            run.code == Some(0) || run.stderr.contains("has read no CVE feed"),
            "{}",
            run.stderr
        );
        (run.code == Some(0)).then_some(())
    });
    server
}

/// The behaviour checks of two fixes.
const CHECKS: &str = r#"
[[check]]
cve = "CVE-2026-1001"
command = "grep -i vmallocchunk /proc/meminfo"
before = "VmallocChunk:"
after = "VMALLOCCHUNK:"

[[check]]
cve = "CVE-2026-1005"
command = "grep -i vmalloctotal /proc/meminfo"
before = "VmallocTotal:"
after = "VMALLOCTOTAL:"
"#;

/// What the client saves of a machine on which a livepatch is active. `/proc` and `/sys` are stand-ins.
fn facts_with_loaded(place: &Path, livepatch: &Manifest) -> PathBuf {
    let name = &livepatch.module.name;
    let id = livepatch.module.build_id.as_ref().expect("the engine gives modules a build-id");
    let id = hex::decode(id.as_str()).expect("digits");
    let mut note = Vec::new();
    for word in [4, u32::try_from(id.len()).expect("it is short"), 3] {
        note.extend(word.to_ne_bytes());
    }
    note.extend([b"GNU\0", &id[..]].concat());
    let root = place.join("root");
    for (path, content) in [
        ("proc/sys/kernel/osrelease".to_owned(), format!("{RELEASE}\n").as_bytes()),
        ("proc/sys/kernel/version".to_owned(), b"#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1\n"),
        (format!("sys/kernel/livepatch/{name}/enabled"), b"1\n"),
        (format!("sys/kernel/livepatch/{name}/transition"), b"0\n"),
        (format!("sys/module/{name}/notes/.note.gnu.build-id"), &note),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs::write(path, content).expect("own file");
    }
    let facts = place.join("host.facts.json");
    let mut command = Command::new(program("elivepatch"));
    command.args(["facts", "--root"]).arg(&root).arg("--output").arg(&facts);
    let ran = command.output().expect("the client");
    assert!(ran.status.success(), "{ran:?}");
    facts
}

fn assessed(server: &TestServer, arguments: &[&str]) -> AssessmentResource {
    let run = server.client("cve").args(["--dry-run", "--json", "--kernel", RELEASE]);
    let run = run.args(arguments).run().succeeds();
    serde_json::from_str(&run.stdout).expect("JSON")
}

#[test]
fn cves_are_judged_by_what_the_stock_kernel_is_built_from() {
    let feed = tempfile::tempdir().expect("a directory");
    for (id, file, fixed) in [
        ("CVE-2026-1001", "mm/mmap.c", "6.1.177"),
        ("CVE-2026-1002", "net/netfilter/nf_tables_api.c", "6.1.180"),
        ("CVE-2026-1003", "drivers/gpu/drm/radeon/si.c", "6.1.177"),
        ("CVE-2026-1004", "mm/moved_elsewhere.c", "6.1.177"),
        ("CVE-2026-1005", "mm/mmap.c", "6.1.100"),
        ("CVE-2026-1006", "mm/mmap.c", "7.2"),
    ] {
        publish(feed.path(), id, file, fixed);
    }
    let server = server_with(feed.path().to_str().expect("UTF-8"));
    let found = assessed(&server, &[]);
    assert_eq!(found.linux_version, "6.1.176");
    assert!(found.base.as_ref().is_some_and(|base| base.starts_with(RELEASE)), "{found:?}");
    let verdicts: Vec<String> =
        found.counts.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
    assert_eq!(verdicts, ["already-fixed 1", "candidate 3", "mainline-only 1", "not-built 1"]);
    let parents = |id: &str| {
        let cve = found.cves.iter().find(|cve| cve.id.to_string() == id).expect("it may matter");
        match &cve.applicability {
            Applicability::Candidate { parents, doubt, .. } => (parents.join(" "), doubt.clone()),
            other => panic!("{id}: {other:?}"),
        }
    };
    assert_eq!(parents("CVE-2026-1001"), ("vmlinux".to_owned(), None));
    assert_eq!(parents("CVE-2026-1002"), ("nf_tables".to_owned(), None));
    let (place, doubt) = parents("CVE-2026-1004");
    assert!(place.is_empty() && doubt.is_some_and(|doubt| doubt.contains("may lie elsewhere")));

    // As a person reads it.
    let explain = ["--dry-run", "--kernel", RELEASE, "--explain", "CVE-2026-1003"];
    let run = server.client("cve").args(explain).run().succeeds();
    for part in ["not-built: the code is not in this kernel", "All of it."] {
        assert!(run.stdout.contains(part), "{part:?} is missing: {}", run.stdout);
    }
    let listed = ["--dry-run", "--kernel", RELEASE, "--verdict", "candidate"];
    let run = server.client("cve").args(listed).run().succeeds();
    assert!(run.stdout.contains("CVE-2026-1001") && !run.stdout.contains("CVE-2026-1003"));
    let unknown = ["--dry-run", "--kernel", RELEASE, "--explain", "CVE-2020-9999"];
    let run = server.client("cve").args(unknown).run();
    assert!(run.code == Some(1) && run.stderr.contains("has no CVE-2020-9999"), "{}", run.stderr);
}

/// From the feed to a livepatch of several fixes, and on to the next one.
#[test]
fn fixes_of_cves_become_one_livepatch_and_what_is_new_is_added_to_it() {
    let place = tempfile::tempdir().expect("a directory");
    let (feed, fixes) = (place.path().join("feed"), place.path().join("fixes"));
    fs::create_dir(&fixes).expect("own directory");
    let add = |number: u32, file: &str, fixed: &str, patch: &Path| {
        let commit = format!("{number:040x}");
        publish_fix(&feed, &format!("CVE-2026-{number}"), file, fixed, &commit);
        fs::copy(patch, fixes.join(format!("{commit}.patch"))).expect("own file");
    };
    add(1001, "fs/proc/meminfo.c", "6.1.177", &patch("demo/meminfo-label"));
    add(1002, "fs/proc/meminfo.c", "6.1.178", &own_patch("changed-data-FAIL"));
    publish(&feed, "CVE-2026-1003", "drivers/gpu/drm/radeon/si.c", "6.1.177");
    publish(&feed, "CVE-2026-1004", "mm/mmap.c", "7.2");
    let (feed_path, fixes_path) = (feed.to_str().expect("UTF-8"), fixes.to_str().expect("UTF-8"));
    let config = format!(
        "[feed]\nsource = {feed_path:?}\n[[fixes]]\nkind = \"directory\"\npath = {fixes_path:?}\n"
    );
    let server = server_with_config(config.clone());
    let config_file = place.path().join("server.toml");
    let data = server.data_directory().to_str().expect("UTF-8");
    fs::write(&config_file, format!("data_directory = {data:?}\n{config}")).expect("own directory");
    let checks = place.path().join("checks.toml");
    fs::write(&checks, CHECKS).expect("own file");
    let state = place.path().join("state");
    let output = place.path().join("output");
    fs::create_dir(&output).expect("own directory");
    let cve = |arguments: &[&str]| {
        let run = server.client("cve").args(["--kernel", RELEASE]);
        let run = run.args(["--state-directory".as_ref(), state.as_os_str()]);
        let run = run.args(["--checks".as_ref(), checks.as_os_str()]);
        run.args(["--output".as_ref(), output.as_os_str()]).args(arguments).run()
    };
    let html = place.path().join("report.html");
    let vex = place.path().join("report.json");
    let files =
        ["--html", html.to_str().expect("UTF-8"), "--openvex", vex.to_str().expect("UTF-8")];
    let first = cve(&files);
    // One needs a reboot, one waits for a person.
    assert_eq!(first.code, Some(5), "{}{}", first.stdout, first.stderr);
    for part in ["1 fixed live", "1 needs a reboot", "1 is not in this kernel", "1 waits for you"] {
        assert!(first.stdout.contains(part), "{part:?} is missing: {}", first.stdout);
    }
    let unmade = "the checks of CVE-2026-1005 were not made: its fix is not in the livepatch";
    assert!(first.stderr.contains(unmade), "{}", first.stderr);
    let explained = cve(&["--explain", "CVE-2026-1002"]);
    assert!(explained.stdout.contains("data-changed"), "{}", explained.stdout);
    assert!(fs::read_to_string(&html).expect("a page").contains("CVE-2026-1001"));
    let document: serde_json::Value =
        serde_json::from_slice(&fs::read(&vex).expect("a document")).expect("JSON");
    let status = |id: &str| {
        let mut statements = document["statements"].as_array().expect("a list").iter();
        let found = statements.find(|statement| statement["vulnerability"]["name"] == id);
        found.map(|statement| statement["status"].as_str().expect("a text").to_owned())
    };
    assert_eq!(status("CVE-2026-1001").as_deref(), Some("fixed"));
    assert_eq!(status("CVE-2026-1002").as_deref(), Some("affected"));
    assert_eq!(status("CVE-2026-1003").as_deref(), Some("not_affected"));
    let modules = || {
        let mut found: Vec<_> = fs::read_dir(&output)
            .expect("own directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|name| name == "ko"))
            .collect();
        found.sort();
        found
    };
    assert_eq!(modules().len(), 1);

    // From cron, with nothing new: nothing is done, and nothing is said.
    let again = cve(&[]);
    assert_eq!((again.code, again.stdout.as_str(), again.stderr.as_str()), (Some(0), "", ""));

    // One more: it alone is built, and the set.
    let builds = || server.log().matches("build begins").count();
    let before = builds();
    add(1005, "fs/proc/meminfo.c", "6.1.179", &patch("demo/meminfo-total"));
    let mut update = Command::new(program("elivepatch-server"));
    update.args(["feed", "update", "--config"]).arg(&config_file);
    let update = update.output().expect("the server's program");
    assert!(update.status.success(), "{update:?}");
    let second = cve(&[]);
    assert_eq!(second.code, Some(5), "{}{}", second.stdout, second.stderr);
    assert!(second.stdout.contains("2 fixed live"), "{}", second.stdout);
    assert!(second.stdout.contains("CVE-2026-1005"), "news: {}", second.stdout);
    assert_eq!(builds() - before, 2, "the new fix alone, and both together");
    assert_eq!(modules().len(), 2);
    let manifests = || {
        modules().into_iter().map(|module| {
            let text = fs::read(format!("{}.manifest.json", module.display())).expect("a manifest");
            serde_json::from_slice::<Manifest>(&text).expect("a manifest")
        })
    };
    let both = manifests().max_by_key(|manifest| manifest.fixes.len()).expect("two of them");
    let names: Vec<&str> = both.fixes.iter().map(|fix| fix.name.as_str()).collect();
    assert_eq!(names, ["CVE-2026-1001-000000000000.patch", "CVE-2026-1005-000000000000.patch"]);
    assert_eq!(both.functions.len(), 1);
    // Its trial replaced the first livepatch, and both fixes held after it.
    let single = manifests().min_by_key(|manifest| manifest.fixes.len()).expect("two of them");
    let replaced = both.trial.replaced.as_ref().expect("the earlier livepatch was active");
    assert_eq!(replaced.digest, single.module.digest);
    let seen = |manifest: &Manifest| -> Vec<String> {
        let checks = manifest.trial.checks.iter();
        checks
            .map(|check| check.output_after.split(':').next().expect("a label").to_owned())
            .collect()
    };
    assert_eq!(seen(&single), ["VMALLOCCHUNK"], "that of a fix that is not in it is not made");
    assert_eq!(seen(&both), ["VMALLOCCHUNK", "VMALLOCTOTAL"]);

    // On a machine where the second one is active, nothing of it is left to be done.
    for (loaded, live) in [(&single, 1), (&both, 2)] {
        let facts = facts_with_loaded(&place.path().join(live.to_string()), loaded);
        let asked = ["--dry-run", "--json", "--facts", facts.to_str().expect("UTF-8")];
        let run = server.client("cve").args(asked).run().succeeds();
        let found: AssessmentResource = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!(found.counts.get("already-live"), Some(&live), "{:?}", found.counts);
    }

    // Where somebody has ordered another fix by hand, and it is live, the livepatch of the CVEs holds that one, too.
    let by_hand = server.build().patch(&own_patch("proc-fd")).run().succeeds();
    let (_, by_hand) = by_hand.livepatch();
    let facts = facts_with_loaded(&place.path().join("by-hand"), &by_hand);
    let run = server.client("cve").args(["--facts".as_ref(), facts.as_os_str()]);
    let run = run.args(["--output".as_ref(), output.as_os_str()]).args(["--always"]);
    let run = run.args(["--state-directory".as_ref(), state.as_os_str()]).run();
    assert_eq!(run.code, Some(5), "{}{}", run.stdout, run.stderr);
    let keeps = format!("the livepatch keeps proc-fd.patch, live in {}", by_hand.module.name);
    assert!(run.stderr.contains(&keeps), "{}", run.stderr);
    let all = manifests().max_by_key(|manifest| manifest.fixes.len()).expect("three of them");
    let held: Vec<&str> = all.fixes.iter().map(|fix| fix.name.as_str()).collect();
    assert_eq!(held, ["proc-fd.patch", names[0], names[1]]);
}

/// Of the feed of August 2026 it is known by hand: 830 CVEs are fixed in 6.1.177 or later, of which 329 name
/// a file that is a compile unit of this kernel by its name in the debug information, and 103 one of vmlinux.
/// Two more name files below virt/kvm: their units are called arch/x86/kvm/../../../virt/kvm/… there.
#[test]
#[ignore = "needs the whole feed: ELIVEPATCH_TEST_CVE_FEED"]
fn counts_of_the_whole_feed_are_those_that_were_made_by_hand() {
    let name = "ELIVEPATCH_TEST_CVE_FEED";
    let path = std::env::var(name).unwrap_or_else(|_| panic!("{name} names no feed"));
    let snapshot = elivepatch_cve::feed::read(Path::new(&path)).expect("a feed");
    let entries = snapshot.entries.load().expect("it was kept");
    let published = entries.iter().filter(|entry| !entry.rejected);
    assert_eq!(published.clone().count(), 14_626, "another feed has other counts");
    make_base_ready();
    let place = tempfile::tempdir().expect("a directory");
    let path = |path: &Path| camino::Utf8PathBuf::from_path_buf(path.to_owned()).expect("UTF-8");
    let options = BuilderOptions::new(path(&cache_directory()));
    let builder = Builder::open(options, &path(place.path())).expect("a builder");
    let target = TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64);
    let kernel = builder.inventory(&target).expect("a cache").expect("its base is ready");
    let built = &kernel.built;
    let target: LinuxVersion = "6.1.176".parse().expect("a version");
    let later = published.filter(|entry| {
        let fixes = entry.dyads.iter().filter_map(|dyad| dyad.fixed.as_ref());
        fixes
            .map(|fix| fix.version)
            .any(|fixed| fixed.branch() == target.branch() && fixed > target)
    });
    let parents = later.map(|entry| {
        let files = entry.record.program_files.iter();
        files.filter_map(|file| built.compiled.get(file)).flatten().collect::<Vec<_>>()
    });
    let parents: Vec<_> = parents.collect();
    let in_kernel = parents.iter().filter(|parents| !parents.is_empty()).count();
    let in_vmlinux = parents.iter().filter(|parents| parents.iter().any(|p| p.is_empty())).count();
    assert_eq!((parents.len(), in_kernel, in_vmlinux), (830, 329 + 2, 103));
}
