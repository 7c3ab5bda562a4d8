use elivepatch_api::AssessmentRequest;
use elivepatch_cve::{CveId, Cvss, Dyad, parse_dyads};
use elivepatch_model::{Architecture, Distribution, MachineFacts};

use super::{
    version::{is_upper_bound, upstream, version},
    *,
};

const A: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
const B: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

/// A kernel with one file in vmlinux and one in a module.
#[derive(Debug)]
struct Known(BuiltFiles);

impl Inventories for Known {
    fn find(&self, target: &TargetFacts) -> Result<Option<Inventory>, String> {
        if target.release.as_str() == "6.1.0-broken" {
            return Err("it is damaged".to_owned());
        }
        Ok(Some(inventory(self.0.clone())))
    }

    fn stock_config(&self, _release: &KernelRelease) -> Result<Vec<u8>, Failure> {
        unreachable!("an assessment needs no config")
    }

    fn stock_releases(&self, _version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        unreachable!("an assessment answers for a version")
    }
}

fn inventory(built: BuiltFiles) -> Inventory {
    Inventory {
        base: "6.1.0-50-cloud-amd64-abc".to_owned(),
        version: Some("6.1.176-1".to_owned()),
        built,
        has_file: Box::new(|path| path != "mm/userfaultfd.c"),
        left_out: Box::new(|path| {
            let (file, object) = (path.to_owned(), path.replace(".c", ".o"));
            Some(LeftOut { file, options: vec!["CONFIG_NONE".to_owned()], object })
        }),
    }
}

fn known() -> Known {
    let compiled = [
        ("mm/mmap.c".to_owned(), ["".to_owned()].into()),
        ("fs/ext4/inode.c".to_owned(), ["ext4".to_owned()].into()),
    ];
    Known(BuiltFiles { compiled: compiled.into(), ..BuiltFiles::default() })
}

fn id(number: u32) -> CveId {
    format!("CVE-2026-{number}").parse().expect("a name")
}

fn facts(number: u32, file: &str, dyads: &str, score: Option<f32>) -> CveFacts {
    let dyads: Vec<Dyad> = parse_dyads(dyads).expect("dyads");
    let cvss = score.map(|score| Cvss { score, vector: String::new() });
    let program_files = vec![file.to_owned()];
    CveFacts { id: id(number), title: "t".to_owned(), rejected: false, cvss, program_files, dyads }
}

fn assess(
    request: &AssessmentRequest,
    asked: &BTreeSet<CveId>,
    facts: &[CveFacts],
    feed: &FeedStatus,
    inventories: Option<&dyn Inventories>,
) -> Result<AssessmentResource, AppError> {
    let grounds = Grounds::find(request, inventories)?;
    Ok(judge(request, asked, facts, feed, grounds, &Found::default()))
}

fn request(release: &str) -> AssessmentRequest {
    let target = TargetFacts::new(release.parse().expect("a release"), Architecture::X86_64);
    AssessmentRequest { target, linux_version: None, explain: Vec::new() }
}

fn status() -> FeedStatus {
    let (data_at, read_at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    FeedStatus {
        source: String::new(),
        revision: None,
        data_at,
        read_at,
        changed_at: read_at,
        counts: elivepatch_store::FeedCounts::default(),
        is_stale: false,
        is_imported: false,
        is_outdated: false,
    }
}

fn feed() -> Vec<CveFacts> {
    let own = format!("4.20:{A}:6.1.177:{B}\n");
    vec![
        facts(1001, "mm/mmap.c", &own, Some(5.5)),
        facts(1002, "fs/ext4/inode.c", &own, None),
        facts(1003, "drivers/none.c", &own, Some(9.8)),
        facts(1004, "mm/mmap.c", &format!("4.20:{A}:6.1.100:{B}\n"), None),
        facts(1005, "mm/mmap.c", &format!("4.20:{A}:7.2:{B}\n"), Some(7.8)),
        facts(1006, "mm/mmap.c", &format!("6.6:{A}:0:0\n"), None),
        facts(1007, "mm/userfaultfd.c", &own, Some(1.0)),
        CveFacts { rejected: true, ..facts(1008, "mm/mmap.c", &own, None) },
    ]
}

fn assessed(request: &AssessmentRequest) -> AssessmentResource {
    let explained = request.explain.iter().copied().collect();
    assess(request, &explained, &feed(), &status(), Some(&known())).expect("it can be told")
}

#[test]
fn each_cve_counts_once_and_those_that_may_matter_are_listed_the_worst_first() {
    let found = assessed(&request("6.1.0-50-cloud-amd64"));
    assert_eq!(found.linux_version, "6.1.176");
    assert_eq!(found.base.as_deref(), Some("6.1.0-50-cloud-amd64-abc"));
    let counts: Vec<String> =
        found.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    assert_eq!(
        counts,
        [
            "already-fixed 1",
            "candidate 3",
            "mainline-only 1",
            "not-affected 1",
            "not-built 1",
            "rejected 1"
        ]
    );
    let ids: Vec<CveId> = found.cves.iter().map(|cve| cve.id).collect();
    assert_eq!(ids, [id(1003), id(1005), id(1001), id(1002), id(1007)]);
    assert!(found.cves.iter().all(|cve| cve.description.is_none()));
    let json = serde_json::to_value(&found.cves[0].applicability).expect("plain data");
    assert_eq!(
        json,
        serde_json::json!({
            "verdict": "not-built", "files": ["drivers/none.c"],
            "left_out": [
                {"file": "drivers/none.c", "options": ["CONFIG_NONE"], "object": "drivers/none.o"}
            ],
        })
    );
}

#[test]
fn modules_that_the_machine_has_not_loaded_are_told() {
    let mut request = request("6.1.0-50-cloud-amd64");
    let loaded_modules = Some(vec!["xfs".to_owned()]);
    request.target.machine = Some(MachineFacts { loaded_modules, ..MachineFacts::default() });
    assert_eq!(assessed(&request).counts["not-loaded"], 1);
}

#[test]
fn cve_that_is_asked_for_is_in_the_answer_whatever_it_is() {
    let mut request = request("6.1.0-50-cloud-amd64");
    request.explain = vec![id(1004), id(1008)];
    let found = assessed(&request);
    let explained: Vec<CveId> =
        found.cves.iter().filter(|cve| cve.description.is_some()).map(|cve| cve.id).collect();
    assert_eq!(explained, [id(1004), id(1008)]);
}

#[test]
fn version_comes_from_what_knows_it_best() {
    let version_of = |request: &AssessmentRequest, known: bool| {
        let inventory = known.then(|| inventory(BuiltFiles::default()));
        version(request, inventory.as_ref(), None)
            .map(|found| (found.linux.to_string(), found.origin))
    };
    let told = |text: &str, origin| Ok::<_, ()>((text.to_owned(), origin));
    let debian = request("6.1.0-50-cloud-amd64");
    let base = version_of(&debian, true).map_err(drop);
    assert_eq!(base, told("6.1.176", "from the source of its base"));
    assert!(version_of(&debian, false).is_err(), "an ABI is no version");
    for release in
        ["5.15.0-91-generic", "6.12.0-custom", "6.4.0-default", "6.13.0-rc", "6.13.0-rcx"]
    {
        assert!(version_of(&request(release), false).is_err(), "{release}");
    }
    let mut with_version = debian.clone();
    with_version.target.kernel_version =
        Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.187-1 (2026-09-02)".to_owned());
    assert_eq!(version_of(&with_version, true).map_err(drop), told("6.1.187", "from uname -v"));
    for (release, version) in
        [("6.12.30-gentoo-r1", "6.12.30"), ("7.3.4+deb13-cloud-amd64", "7.3.4"), ("6.12.0", "6.12")]
    {
        let found = version_of(&request(release), false).map_err(drop);
        assert_eq!(found, told(version, "from the release"));
    }
    let mut asked = debian;
    asked.linux_version = Some("6.1.180".to_owned());
    assert_eq!(version_of(&asked, true).map_err(drop), told("6.1.180", "as asked for"));
    asked.linux_version = Some("6.1-rcx".to_owned());
    assert!(version_of(&asked, true).is_err());
}

#[test]
fn versions_of_packages_and_sources_tell_that_of_linux() {
    for (version, linux) in [
        ("6.1.176-1", "6.1.176"),
        ("7.3.4-1~bpo13+1", "7.3.4"),
        ("6.13~rc3-1~exp1", "6.13-rc3"),
        ("6.13-rc3", "6.13-rc3"),
        ("6.13", "6.13"),
    ] {
        assert_eq!(upstream(version).map(|found| found.to_string()).as_deref(), Some(linux));
    }
    let found = version(&request("6.13.0-rc3"), None, None).expect("it tells");
    assert_eq!(found.linux.to_string(), "6.13-rc3");
}

#[test]
fn distributions_that_carry_fixes_make_it_an_upper_bound() {
    let of = |id: &str, release: &str| {
        let mut target = request(release).target;
        let distribution = Some(Distribution { id: id.to_owned(), version: None, name: None });
        target.machine = Some(MachineFacts { distribution, ..MachineFacts::default() });
        is_upper_bound(&target)
    };
    for (distribution, release) in [
        ("ubuntu", "6.8.12"),
        ("linuxmint", "6.8.12"),
        ("nobody-knows-it", "6.8.12"),
        ("debian", "5.14.0-503.el9.x86_64"),
        // Proxmox says that it is Debian, and has Ubuntu's kernel.
        ("debian", "6.8.12-4-pve"),
        ("gentoo", "6.8.12-generic"),
    ] {
        assert!(of(distribution, release), "{distribution} {release}");
    }
    for (distribution, release) in [
        ("debian", "6.1.0-50-cloud-amd64"),
        ("gentoo", "6.12.30-gentoo"),
        ("debian", "6.12.30-custom"),
    ] {
        assert!(!of(distribution, release), "{distribution} {release}");
    }
    // Nothing is known but the release.
    let bare = |release: &str| is_upper_bound(&request(release).target);
    for release in [
        "5.15.0-91-generic",
        "6.4.0-150600.21-default",
        "5.14.0-503.el9_5.x86_64",
        "6.1.100-109.amzn2023.x86_64",
        "5.15.0-1053-aws",
        "5.15.0-205.el8uek.x86_64",
    ] {
        assert!(bare(release), "{release}");
    }
    for release in ["6.12.30", "6.1.0-50-cloud-amd64", "6.12.30-gentoo-r1", "6.12.30-awsome"] {
        assert!(!bare(release), "{release}");
    }
}

#[test]
fn base_that_is_in_doubt_is_not_used_and_the_doubt_is_told() {
    let mut broken = self::request("6.1.0-broken");
    let error = assess(&broken, &BTreeSet::new(), &feed(), &status(), Some(&known()))
        .expect_err("no version");
    assert!(error.to_string().contains("it is damaged"), "{error}");
    broken.linux_version = Some("6.1.176".to_owned());
    let found = assess(&broken, &BTreeSet::new(), &feed(), &status(), Some(&known()))
        .expect("it can be told");
    assert_eq!((found.base, found.base_doubt.as_deref()), (None, Some("it is damaged")));
    assert_eq!(found.counts["candidate"], 4);
}

#[test]
fn kernel_without_a_base_leaves_all_code_as_built() {
    let mut request = request("6.1.0-50-cloud-amd64");
    request.linux_version = Some("6.1.176".to_owned());
    let found =
        assess(&request, &BTreeSet::new(), &feed(), &status(), None).expect("it can be told");
    assert_eq!((found.base, found.counts.get("not-built")), (None, None));
    assert_eq!(found.counts["candidate"], 4);
}
