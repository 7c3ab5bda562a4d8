//! What the documentation shows is what happens: each page's commands are run from its text, in their order, on a real
//! server, and on the stock kernel in QEMU.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use elivepatch_docs::{Mark, Place, pages};
use elivepatch_end_to_end::{
    Play, RELEASE, own_patch, patch, publish, publish_fix, stock_config_file,
};

/// The pages that have a test here.
const PLAYED: [&str; 13] = [
    "README.md",
    "docs/access.md",
    "docs/coming-from-elivepatch.md",
    "docs/cve-in-cron.md",
    "docs/cves.md",
    "docs/fleet.md",
    "docs/get-started.md",
    "docs/host.md",
    "docs/operation.md",
    "docs/patch-one-machine.md",
    "docs/patchability.md",
    "docs/run-a-server.md",
    "docs/signing.md",
];

/// The address of the server as pages show it.
const URL: &str = "127.0.0.1:8420";

/// What prints the fingerprint of the server.
const FINGERPRINT: &str = "elivepatch-server certificate 2>/dev/null";

fn demo(name: &str) -> PathBuf {
    patch(&format!("demo/{name}"))
}

fn checks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/meminfo-label.checks.toml")
}

/// A server as its first chapter makes it, with further keys in its config.
fn with_server(mut play: Play, config: &str) -> Play {
    play.gives("elivepatch-server init");
    play.serve(config);
    play
}

/// Runs the client on the server's machine: it orders a livepatch of these patches there.
fn order(patches: &[PathBuf]) -> String {
    let patches: String =
        patches.iter().map(|path| format!(" --patch {}", path.display())).collect();
    format!("elivepatch build{patches} --config {} --url {URL}", stock_config_file().display())
}

/// The config of a server that reads a feed and has the texts of fixes. The feed has a flaw with a fix, and one in code
/// that is not in the kernel.
fn config_with_feed(play: &mut Play) -> String {
    let home = play.stage().home();
    let (feed, fixes) = (home.join("feed"), home.join("fixes"));
    fs::create_dir_all(&fixes).expect("own directory");
    let commit = format!("{:040x}", 1001);
    publish_fix(&feed, "CVE-2026-1001", "fs/proc/meminfo.c", "6.1.177", &commit);
    fs::copy(demo("meminfo-label"), fixes.join(format!("{commit}.patch"))).expect("own file");
    publish(&feed, "CVE-2026-1003", "drivers/gpu/drm/radeon/si.c", "6.1.177");
    format!(
        "[feed]\nsource = {:?}\n\n[[fixes]]\nkind = \"directory\"\npath = {:?}\n",
        feed.to_str().expect("UTF-8"),
        fixes.to_str().expect("UTF-8")
    )
}

#[test]
fn every_page_with_commands_is_played() {
    let mut to_play = BTreeSet::new();
    for page in pages() {
        let is_run =
            |mark: &Mark| matches!(mark, Mark::Run { place, .. } if *place != Place::Package);
        if page.blocks.iter().filter_map(|block| block.mark.as_ref()).any(is_run) {
            to_play.insert(page.path);
        }
    }
    assert_eq!(to_play.into_iter().collect::<Vec<_>>(), PLAYED);
}

#[test]
fn get_started() {
    Play::of("docs/get-started.md")
        .file("meminfo-label.patch", &demo("meminfo-label"))
        .file("meminfo-label.checks.toml", &checks())
        .before("cp elivepatch /usr/bin/", Place::Host, "ln -s /bin/elivepatch elivepatch")
        .runs();
}

#[test]
#[ignore = "builds, and a machine under emulation: make test-full"]
fn readme() {
    let mut play = Play::of("README.md");
    let config = config_with_feed(&mut play);
    play.file("fix.patch", &demo("meminfo-label"))
        .instead_of("livepatch_fix_1a2b3c4d.ko", "livepatch_fix_*.ko")
        .serve_before("elivepatch cve", &config)
        .before("elivepatch cve", Place::Server, "elivepatch-server feed update")
        .runs();
}

#[test]
#[ignore = "builds, and a machine under emulation: make test-full"]
fn patch_one_machine() {
    with_server(Play::of("docs/patch-one-machine.md"), "")
        .file("fix.patch", &demo("meminfo-label"))
        .file("second.patch", &demo("meminfo-total"))
        .runs();
}

#[test]
#[ignore = "a build: make test-full"]
fn write_a_patchable_fix() {
    let mut play = with_server(Play::of("docs/patchability.md"), "");
    // The file that the patch touches, from the source that the base is made of.
    let file = "$(ls -d /var/cache/elivepatch/bases/*/tree | head -n 1)/fs/proc/meminfo.c";
    play.gives(&format!("mkdir -p tree/fs/proc; touch tree/Makefile tree/Kconfig tree/Kbuild; cp {file} tree/fs/proc/"));
    play.file("fix.patch", &demo("meminfo-label"))
        .file("fix.checks.toml", &checks())
        .instead_of("TREE", "tree")
        .instead_of("RELEASE", RELEASE)
        .instead_of("SERVER", URL)
        .runs();
}

#[test]
#[ignore = "a CVE run, and a machine under emulation: make test-full"]
fn cve_in_cron() {
    let mut play = Play::of("docs/cve-in-cron.md");
    play.gives("elivepatch-server init");
    let config = config_with_feed(&mut play);
    let shown = play.text_between("```toml\n", "```");
    play.instead_of(&shown, &config).runs();
}

#[test]
#[ignore = "CVE runs, and a machine under emulation: make test-full"]
fn cves() {
    let mut play = Play::of("docs/cves.md");
    let config = config_with_feed(&mut play);
    with_server(play, &config)
        .before("--facts host.facts.json", Place::Host, "elivepatch facts --output host.facts.json")
        .before("of the running kernel", Place::Server, "elivepatch-server feed update")
        .instead_of("https://SERVER", &format!("http://{URL}"))
        .instead_of("SERVER", URL)
        .instead_of("RELEASE", RELEASE)
        // Several stock kernels have that version: only a dry run answers.
        .instead_of("--kernel 6.1.176 ", "--kernel 6.1.176 --dry-run ")
        .runs();
}

#[test]
fn run_a_server() {
    // The machine that builds is the server's here, and has the group of no package.
    let worker = "timeout --preserve-status 30 elivepatch-server worker --data-directory /srv/worker/data \
        --cache-directory /srv/worker/cache 2>&1 | tee worker.log; grep 'the server takes this worker' worker.log #";
    Play::of("docs/run-a-server.md")
        .learn("elivepatch builds", "5d2f…", Place::Server, FINGERPRINT)
        .instead_of("-o root -g elivepatch ", "")
        .instead_of("elivepatch-server worker  ", worker)
        .carry("elivepatch enrol", "web-1.token")
        .instead_of("--token-file -", "--token-file - <web-1.token")
        .stop_server_before("cp -r /var/backups/elivepatch/. ")
        .before("cp -r /var/backups/elivepatch/. ", Place::Server, "rm -r /var/lib/elivepatch")
        .runs();
}

#[test]
fn access() {
    let id = "elivepatch-server token create --role read --name gone >/dev/null 2>&1
         elivepatch-server token list --json | tr -d ' ' | grep -o '\"id\":\"[0-9a-f]*' | head -n 1 | cut -d '\"' -f 4";
    Play::of("docs/access.md")
        .learn("token revoke", "5f1b0c9d2e3a", Place::Server, id)
        .learn("elivepatch builds", "5d2f…", Place::Server, FINGERPRINT)
        .serve_before("elivepatch builds", "")
        .runs();
}

#[test]
#[ignore = "a build: make test-full"]
fn operate_a_fleet() {
    let mut play = Play::of("docs/fleet.md");
    let config = config_with_feed(&mut play);
    let mut play = with_server(play, &config);
    let enrol = |name: &str| {
        format!(
            "elivepatch-server token create --role host | elivepatch enrol --url {URL} --token-file - \
             --name {name} --state-directory /srv/{name}"
        )
    };
    play.gives(&order(&[demo("meminfo-label")]));
    play.gives(&enrol("web-1"));
    play.gives(&enrol("db-1"));
    play.instead_of(" 17 ", " 1 ")
        .instead_of(" 17\n", " 1\n")
        .instead_of("unassign 4", "unassign 1")
        .instead_of("CVE-2026-63824", "CVE-2026-1001")
        // It was forgotten before.
        .before(
            "host hold --tag web",
            Place::Server,
            &format!("rm -r /srv/web-1; {}", enrol("web-1")),
        )
        .before("host exposure", Place::Server, "elivepatch-server feed update")
        .runs();
}

#[test]
#[ignore = "builds, and a machine under emulation: make test-full"]
fn host() {
    let built = format!(
        "elivepatch build --patch fix.patch --patch second.patch --url {URL} >/dev/null 2>&1
         elivepatch build --patch third.patch --url {URL} >/dev/null 2>&1
         basename livepatch_fix_*.ko .ko"
    );
    with_server(Play::of("docs/host.md"), "")
        .file("fix.patch", &demo("meminfo-label"))
        .file("second.patch", &demo("meminfo-total"))
        .file("third.patch", &own_patch("proc-fd"))
        .learn("apply MODULE.ko", "LIVEPATCH", Place::Host, &built)
        .instead_of("MODULE.ko", "livepatch_fix_*.ko")
        .instead_of("BUILD --url S", &format!("2 --url {URL}"))
        .learn(
            "apply MODULE.ko",
            "--to LIVEPATCH",
            Place::Host,
            "echo --to $(basename livepatch_third_*.ko .ko)",
        )
        // Nothing is locked out there.
        .instead_of("elivepatch unlock", r#"sh -c '! "$0" "$@"' elivepatch unlock"#)
        .before("elivepatch drop", Place::Host, "elivepatch apply livepatch_fix_*.ko")
        .instead_of("--patch FILE", &format!("--patch third.patch --url {URL}"))
        .instead_of("drop FIX", &format!("drop second.patch --url {URL}"))
        .runs();
}

#[test]
#[ignore = "a build: make test-full"]
fn coming_from_the_first_elivepatch() {
    let uuid = "1c6f3f0e-5b1d-4d2c-8f35-0d8a9b7c6e51";
    let mut play = with_server(Play::of("docs/coming-from-elivepatch.md"), "");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("old_client.py");
    play.gives(&format!(
        "mkdir session; cp {} session/config; cp {} session/main.patch; \
         /usr/bin/python3 {} http://{URL} {RELEASE} {uuid} session",
        stock_config_file().display(),
        demo("meminfo-label").display(),
        script.display()
    ));
    let stage = play
        .instead_of("5.1.6", RELEASE)
        .instead_of("\"UUID\": \"…\"", &format!("\"UUID\": \"{uuid}\""))
        .runs();
    let read = |path: &str| fs::read(stage.home().join(path)).expect("it was fetched");
    assert_eq!(read("livepatch.ko"), read("session/livepatch.ko"));
}

#[test]
#[ignore = "a build: make test-full"]
fn operation() {
    let mut play = Play::of("docs/operation.md");
    let config = config_with_feed(&mut play);
    let mut play = with_server(play, &config);
    play.gives(&order(&[demo("meminfo-label")]));
    play.gives(&format!("cp {} ported.patch", demo("meminfo-label").display()));
    play.gives(&format!(
        "mkdir -p root/proc/sys/kernel root/boot; cp {} root/boot/; echo {RELEASE} > root/proc/sys/kernel/osrelease
         echo '#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1' > root/proc/sys/kernel/version
         elivepatch facts --root root --output host.facts.json",
        stock_config_file().display()
    ));
    play.own_toolchain_root("debian-12-gcc-12");
    let base = "elivepatch-server base list --json | tr -d ' ' | grep -o '\"name\":\"[^\"]*' | head -n 1 | cut -d '\"' -f 4";
    play.learn("base pin", "base pin NAME", Place::Server, &format!("echo base pin $({base})"))
        .learn("base pin", "base unpin NAME", Place::Server, &format!("echo base unpin $({base})"))
        .learn(
            "base pin",
            "base remove NAME",
            Place::Server,
            &format!("echo base remove $({base})"),
        )
        .instead_of("--facts FILE", "--facts host.facts.json")
        .instead_of("RELEASE", RELEASE)
        .instead_of("NAME", "debian-12-gcc-12")
        .learn("public_keys", "RWQ…", Place::Server, "sed -n 2p export.pub")
        .instead_of("minisign -S -s KEY", "minisign -S -s /etc/elivepatch/export.key")
        .instead_of("CVE-2026-64109", "CVE-2026-1001")
        .instead_of("builds/17", "builds/1")
        .runs();
}

#[test]
fn signing() {
    let mut play = Play::of("docs/signing.md");
    play.gives("elivepatch-server init");
    play.runs();
}
