//! Which CVEs matter on the stock kernel, by what its base says that it is built from.

use std::{fs, path::Path};

use elivepatch_api::AssessmentResource;
use elivepatch_builder::{Builder, BuilderOptions};
use elivepatch_cve::{Applicability, LinuxVersion};
use elivepatch_end_to_end::{
    RELEASE, SHORT_LIMIT, ServerOptions, TestServer, cache_directory, make_base_ready, wait_until,
};
use elivepatch_model::{Architecture, TargetFacts};

const INTRODUCER: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
const FIX: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

/// Adds a record of a flaw in a file, fixed in a version of the 6.1 branch.
fn publish(feed: &Path, id: &str, file: &str, fixed: &str) {
    let path = feed.join("published").join(&id[4..8]).join(id);
    fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
    let record = serde_json::json!({
        "containers": {"cna": {
            "title": format!("flaw of {file}"),
            "descriptions": [{"lang": "en", "value": "All of it."}],
            "affected": [{"programFiles": [file]}],
        }},
        "cveMetadata": {"cveId": id},
    });
    fs::write(path.with_extension("json"), record.to_string()).expect("own file");
    let dyads = format!("4.20:{INTRODUCER}:{fixed}:{FIX}\n");
    fs::write(path.with_extension("dyad"), dyads).expect("own file");
}

/// A server that has read a feed, with the stock kernel's base ready.
fn server_with(feed: &str) -> TestServer {
    make_base_ready();
    let server = TestServer::start(ServerOptions {
        config: format!("[feed]\nsource = {feed:?}\n"),
        ..ServerOptions::default()
    });
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

/// Of the feed of August 2026 it is known by hand: 830 CVEs are fixed in 6.1.177 or later, of which 329 name
/// a file that is a compile unit of this kernel by its name in the debug information, and 103 one of vmlinux.
/// Two more name files below virt/kvm: their units are called arch/x86/kvm/../../../virt/kvm/… there.
#[test]
#[ignore = "needs the whole feed: ELIVEPATCH_TEST_CVE_FEED"]
fn counts_of_the_whole_feed_are_those_that_were_made_by_hand() {
    let name = "ELIVEPATCH_TEST_CVE_FEED";
    let path = std::env::var(name).unwrap_or_else(|_| panic!("{name} names no feed"));
    let snapshot = elivepatch_cve::feed::read(Path::new(&path)).expect("a feed");
    let published = snapshot.entries.iter().filter(|entry| !entry.rejected);
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
