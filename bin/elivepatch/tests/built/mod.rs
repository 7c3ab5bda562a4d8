//! Livepatches for kernels that the server has built itself: its vmlinux has another build-id than the
//! target's, and something else must prove that they are equal.

use std::fs;

use elivepatch_model::{BaseKind, BuildIdFit, ElfBuildId, FitRecord, Manifest, SymbolFitRecord};

use crate::{
    double::{CveScript, Desk, Double, Ended, Script, manifest, success},
    facts::desk_with_host,
};

const RELEASE: &str = "6.12.30-gentoo";

fn build_id(byte: &str) -> ElfBuildId {
    byte.repeat(20).parse().expect("a build-id")
}

/// The facts of a Gentoo machine whose image has the build-id `cdcd…`.
fn desk() -> Desk {
    let desk = desk_with_host();
    let words = [4_u32, 20, 3].map(u32::to_ne_bytes).concat();
    let notes = [&words[..], b"GNU\0", &[0xcd; 20]].concat();
    fs::create_dir_all(desk.path().join("host/sys/kernel")).expect("a directory");
    fs::write(desk.path().join("host/sys/kernel/notes"), notes).expect("a file");
    desk.run(&["facts", "--root", "host", "--output", "h.json"]).expect(0, &[]);
    desk
}

/// What the server built for it, with the build-id `abab…`; the symbols prove that it fits.
fn built() -> Manifest {
    let mut built = manifest();
    built.release = RELEASE.parse().expect("a release");
    built.base = BaseKind::Built;
    let request = built.request.as_mut().expect("a request");
    request.target.release = built.release.clone();
    request.target.build_id = Some(build_id("cd"));
    let symbols = SymbolFitRecord { names: 20_000, sizes: true, modules: Vec::new() };
    let (build_id, symbols) = (BuildIdFit::Different, Some(symbols));
    built.fit = Some(FitRecord { build_id, symbols, ..FitRecord::default() });
    built
}

fn unproven() -> FitRecord {
    FitRecord {
        not_proven: vec!["nothing to compare with".to_owned()],
        accepted_unproven: true,
        ..FitRecord::default()
    }
}

fn script(manifest: &Manifest) -> Script {
    let mut script = success();
    script.manifest = serde_json::to_string(manifest).expect("plain data");
    script.build.target.release = manifest.release.clone();
    script.cves = CveScript::finished().with(|run| {
        run.target.release = manifest.release.clone();
        run.target.build_id = Some(build_id("cd"));
    });
    script
}

/// What the client says, for a build and for a CVE run.
fn ordered(desk: &Desk, script: impl Fn() -> Script, more: &[&str]) -> [Ended; 2] {
    let server = Double::start(script());
    let common = ["--facts", "h.json", "--output", "out", "--url", &server.url];
    let build = ["build", "--patch", "meminfo.patch"];
    let built = desk.run(&[&build[..], &common, more].concat());
    let server = Double::start(script());
    let common = ["--facts", "h.json", "--output", "out", "--url", &server.url];
    [built, desk.run(&[&["cve", "--always"][..], &common, more].concat())]
}

#[test]
fn livepatch_of_a_built_kernel_is_taken_though_the_build_ids_differ() {
    let desk = desk();
    let [built, run] = ordered(&desk, || script(&built()), &[]);
    built.expect(0, &[]);
    run.expect(5, &[]);
    assert!(run.stdout.contains("livepatch: out/livepatch-meminfo.ko"), "{run:#?}");
}

#[test]
fn livepatch_of_a_built_kernel_for_another_image_is_refused() {
    let desk = desk();
    let mut other = built();
    other.request.as_mut().expect("a request").target.build_id = Some(build_id("ef"));
    let mut unknown = built();
    unknown.request.as_mut().expect("a request").target.build_id = None;
    let mut silent = built();
    silent.request = None;
    let mut same = built();
    same.fit.as_mut().expect("a record").build_id = BuildIdFit::Equal;
    for (manifest, reason) in [
        (other, format!("it was made for the image {}, not", build_id("ef"))),
        (unknown, "it was made for an image without a known build-id, not".to_owned()),
        (silent, "does not say for which image it was asked".to_owned()),
        (same, format!("calls the image {} the very one", build_id("ab"))),
    ] {
        for ended in ordered(&desk, || script(&manifest), &["--accept-unproven"]) {
            ended.expect(4, &["is not what was ordered", &reason]);
        }
        assert!(desk.results().is_empty());
    }
}

#[test]
fn unproven_livepatch_of_a_built_kernel_is_taken_only_when_it_was_asked_for() {
    let desk = desk();
    let mut accepted = built();
    accepted.fit = Some(unproven());
    let mut without_a_word = built();
    without_a_word.fit = Some(FitRecord::default());
    let mut silent = built();
    silent.fit = None;
    for manifest in [&accepted, &without_a_word, &silent] {
        for ended in ordered(&desk, || script(manifest), &[]) {
            ended.expect(4, &["nothing proves that the kernel which the server has built"]);
        }
    }
    for manifest in [&without_a_word, &silent] {
        for ended in ordered(&desk, || script(manifest), &["--accept-unproven"]) {
            ended.expect(4, &["nothing proves that"]);
        }
    }
    assert!(desk.results().is_empty());
    let [built, run] = ordered(&desk, || script(&accepted), &["--accept-unproven"]);
    built.expect(0, &[]);
    run.expect(5, &[]);
}

/// Whoever follows a run did not begin it: what the build was asked for counts.
#[test]
fn followed_run_takes_what_was_asked_for_when_it_was_begun() {
    let desk = desk();
    let mut accepted = built();
    accepted.fit = Some(unproven());
    for (is_asked, code) in [(true, 5), (false, 4)] {
        let mut script = script(&accepted);
        script.build.options.accept_unproven = is_asked;
        let server = Double::start(script);
        desk.run(&["cve", "--run", "3", "--url", &server.url, "--output", "out"]).expect(code, &[]);
    }
}

#[test]
fn stock_kernel_must_still_have_the_build_id_that_was_told() {
    let desk = desk();
    let mut prepared = built();
    prepared.base = BaseKind::Prepared;
    for ended in ordered(&desk, || script(&prepared), &[]) {
        ended.expect(4, &[&format!("it is for the image {}, not", build_id("ab"))]);
    }
    assert!(desk.results().is_empty());
}
