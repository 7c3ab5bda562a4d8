//! Orders for a machine on which a livepatch is live: the next one holds its fixes, and replaces it.

use axum::body::Bytes;
use elivepatch_api::{LivepatchResource, RunResource};
use elivepatch_model::{BehaviourCheck, BuildNumber, Fix, Sha256Digest};

use crate::{
    double::{CveScript, Desk, Double, Ended, PATCH, Script, manifest, success},
    facts::desk_with_host,
};

/// A fix that is live: its name, and its text.
const LIVE: [(&str, &[u8]); 2] =
    [("CVE-2026-1001-0123456789ab.patch", b"live one"), ("label.patch", b"live two")];

/// A machine on which a livepatch with both is loaded, with its facts in a file.
fn desk() -> Desk {
    let desk = desk_with_host();
    desk.write("host/sys/kernel/livepatch/livepatch_live/enabled", b"1\n");
    desk.write("host/sys/kernel/livepatch/livepatch_live/transition", b"0\n");
    let mut note = Vec::new();
    for word in [4_u32, 20, 3] {
        note.extend(word.to_ne_bytes());
    }
    note.extend(b"GNU\0");
    note.extend([0xcd; 20]);
    desk.write("host/sys/module/livepatch_live/notes/.note.gnu.build-id", &note);
    desk.run(&["facts", "--root", "host", "--output", "host.facts.json"]).expect(0, &[]);
    desk
}

fn fixes(texts: &[(&str, &[u8])]) -> Vec<Fix> {
    let fix = |(name, text): &(&str, &[u8])| Fix {
        name: (*name).to_owned(),
        digest: Sha256Digest::of(text),
    };
    texts.iter().map(fix).collect()
}

/// The server that made the live livepatch, and makes one of these fixes now.
fn script(made: &[(&str, &[u8])]) -> Script {
    let mut script = success();
    let mut live = manifest();
    live.release = "6.12.30-gentoo".parse().expect("a release");
    live.fixes = fixes(&LIVE);
    live.module.name = "livepatch_live".to_owned();
    live.module.build_id = Some("cd".repeat(20).parse().expect("a build-id"));
    live.module.digest = Sha256Digest::of(b"the live module");
    live.request.as_mut().expect("a request").checks = vec![BehaviourCheck {
        command: "cat /proc/meminfo".to_owned(),
        before: "Chunk".to_owned(),
        after: "CHUNK".to_owned(),
    }];
    script.live = Some(LivepatchResource { build: BuildNumber(3), manifest: live });
    script.patches = LIVE.iter().map(|(_, text)| Bytes::from_static(text)).collect();
    let mut new = manifest();
    new.release = "6.12.30-gentoo".parse().expect("a release");
    new.fixes = fixes(made);
    script.build.target.release = new.release.clone();
    script.manifest = serde_json::to_string(&new).expect("plain data");
    script.build.manifest = Some(new);
    script
}

/// Orders it, with the facts of the machine.
fn order(desk: &Desk, server: &Double, line: &[&str]) -> Ended {
    let more = ["--facts", "host.facts.json", "--no-baseline", "--output", "out", "--url"];
    desk.run(&[line, &more, &[&server.url]].concat())
}

const BUILD: [&str; 3] = ["build", "--patch", "meminfo.patch"];

#[test]
fn next_livepatch_is_ordered_with_what_is_live_and_replaces_it() {
    let desk = desk();
    let made = [LIVE[0], LIVE[1], ("meminfo.patch", PATCH)];
    let server = Double::start(script(&made));
    order(&desk, &server, &BUILD).expect(
        0,
        &[
            "incremental: the livepatch is to replace livepatch_live",
            "it keeps CVE-2026-1001-0123456789ab.patch, label.patch",
            "it adds meminfo.patch",
        ],
    );
    let parts = server.seen().parts;
    let sent: Vec<(&str, &[u8])> = parts
        .iter()
        .filter(|(name, ..)| name == "patch")
        .map(|(_, file, text)| (file.as_deref().expect("a name"), &text[..]))
        .collect();
    assert_eq!(sent, made);
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    let live = Sha256Digest::of(b"the live module").to_string();
    assert_eq!(request["options"]["replaces"], live);
    assert_eq!(
        request["checks"][0]["after"], "CHUNK",
        "what was seen of the live fixes is seen again"
    );
    assert!(desk.module().exists());

    // A livepatch without one of the live fixes is not what was ordered.
    let server = Double::start(script(&[("meminfo.patch", PATCH)]));
    order(&desk, &server, &[&BUILD[..], &["--force"]].concat())
        .expect(4, &["not what was ordered: it holds other patches"]);
}

#[test]
fn fix_that_is_live_is_told_and_not_doubled() {
    let desk = desk();
    desk.write("again.patch", LIVE[1].1);
    let server = Double::start(script(&LIVE));
    let ended = order(&desk, &server, &["build", "--patch", "again.patch", "--json"]);
    ended.expect(0, &["again.patch is live already, in livepatch_live"]);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&json["state"], &json["livepatch"]), (&"live".into(), &"livepatch_live".into()));
    assert!(server.seen().parts.is_empty(), "nothing is ordered");

    desk.write("label.patch", b"another text");
    order(&desk, &server, &["build", "--patch", "label.patch"])
        .expect(1, &["a fix label.patch with another text is live", "--drop NAME"]);
    let server = Double::start(script(&[LIVE[0], ("label.patch", b"another text")]));
    order(&desk, &server, &["build", "--patch", "label.patch", "--drop", "label"])
        .expect(0, &["it drops label.patch", "it adds label.patch"]);
}

#[test]
fn dropped_fix_is_left_out_and_the_last_one_is_for_revert() {
    let desk = desk();
    let server = Double::start(script(&[LIVE[1]]));
    order(&desk, &server, &["drop", "cve-2026-1001"])
        .expect(0, &["it keeps label.patch", "it drops CVE-2026-1001-0123456789ab.patch"]);
    let parts = server.seen().parts;
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(
        request["checks"],
        serde_json::json!([]),
        "which check was for which fix is not known"
    );
    order(&desk, &server, &["drop", "label", "CVE-2026-1001"])
        .expect(1, &["nothing would be left of livepatch_live", "elivepatch revert"]);
    order(&desk, &server, &["drop", "CVE-2026-9999"])
        .expect(1, &["no fix \"CVE-2026-9999\" is live", "live are:", "label.patch"]);
    order(&desk, &server, &["drop"]).expect(2, &["FIX"]);
}

#[test]
fn without_what_is_live_only_on_demand_and_with_what_it_would_lose() {
    let desk = desk();
    let server = Double::start(script(&[("meminfo.patch", PATCH)]));
    order(&desk, &server, &[&BUILD[..], &["--alone"]].concat()).expect(
        0,
        &["loading it takes out livepatch_live, and with it CVE-2026-1001-0123456789ab.patch, label.patch"],
    );
    let parts = server.seen().parts;
    assert_eq!(parts.iter().filter(|(name, ..)| name == "patch").count(), 1);
    let request: serde_json::Value = serde_json::from_slice(&parts[0].2).expect("JSON");
    assert_eq!(request.get("options"), None);
}

#[test]
fn what_is_live_and_not_known_is_refused_by_its_name() {
    let desk = desk();
    let mut foreign = script(&LIVE);
    foreign.live = None;
    let server = Double::start(foreign);
    order(&desk, &server, &BUILD).expect(
        1,
        &[
            "the livepatch livepatch_live (build-id cdcd",
            "neither this machine nor the server",
            "--alone",
        ],
    );

    // The server has the livepatch, and not a text any more: it can be given again.
    let made = [LIVE[0], LIVE[1], ("meminfo.patch", PATCH)];
    let mut forgetful = script(&made);
    forgetful.patches.pop();
    let server = Double::start(forgetful);
    order(&desk, &server, &BUILD).expect(
        1,
        &["the text of the fix label.patch", "is neither on this machine nor on", "--patch FILE"],
    );
    desk.write("given.patch", LIVE[1].1);
    order(&desk, &server, &[&BUILD[..], &["--patch", "given.patch"]].concat())
        .expect(0, &["given.patch is live already"]);

    // It is under way: nobody knows what will be live.
    desk.write("host/sys/kernel/livepatch/livepatch_live/transition", b"1\n");
    let facts = ["facts", "--root", "host", "--output", "host.facts.json", "--force"];
    desk.run(&facts).expect(0, &[]);
    let server = Double::start(script(&made));
    order(&desk, &server, &BUILD).expect(1, &["livepatch_live is in transition"]);
}

/// The server that made the live livepatch, with a run whose livepatch holds these fixes beside those of CVEs.
fn run_script(kept: &[(&str, &[u8])]) -> Script {
    let mut script = script(&LIVE);
    script.cves = CveScript::finished().with(|run: &mut RunResource| {
        run.kept = fixes(kept);
        run.livepatch = None;
    });
    script
}

const CVE: [&str; 2] = ["cve", "--always"];

#[test]
fn livepatch_of_cves_keeps_what_was_ordered_by_hand_and_is_live() {
    let desk = desk();
    let server = Double::start(run_script(&LIVE[1..]));
    order(&desk, &server, &CVE)
        .expect(5, &["the livepatch keeps label.patch, live in livepatch_live"]);
    let sent = |server: &Double| -> Vec<(String, Vec<u8>)> {
        let parts = server.seen().parts.into_iter().filter(|(name, ..)| name == "patch");
        parts.map(|(_, file, text)| (file.expect("a name"), text.to_vec())).collect()
    };
    // What a run has made, the next one makes again.
    assert_eq!(sent(&server), [("label.patch".to_owned(), LIVE[1].1.to_vec())]);

    let server = Double::start(run_script(&[]));
    order(&desk, &server, &[&CVE[..], &["--alone"]].concat()).expect(5, &[]);
    assert!(sent(&server).is_empty());

    // It is not known what is in it: what matters is told all the same, but nothing is loaded over it.
    let foreign = || Script { live: None, ..run_script(&[]) };
    let server = Double::start(foreign());
    let unknown = "neither this machine nor the server knows what is in it";
    order(&desk, &server, &CVE)
        .expect(5, &[unknown, "the livepatch will hold the fixes of CVEs only"]);
    let server = Double::start(foreign());
    order(&desk, &server, &[&CVE[..], &["--apply"]].concat()).expect(1, &[unknown, "--alone"]);
    assert!(server.seen().parts.is_empty(), "nothing is ordered");

    // The text is nowhere any more.
    let mut forgetful = run_script(&[]);
    forgetful.patches.pop();
    let server = Double::start(forgetful);
    order(&desk, &server, &CVE)
        .expect(1, &["the text of the fix label.patch", "hint: order without"]);
}
