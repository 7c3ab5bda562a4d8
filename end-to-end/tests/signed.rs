//! Signed livepatches on kernels that do not know the key, and on one that does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use elivepatch_elf::SignedModule;
use elivepatch_end_to_end::{
    ClientRun, ServerOptions, TargetMachine, TestServer, cache_directory, facts_of_running,
    make_base_ready, own_patch, patch, program, runs_without_disk, stock_config_file,
};
use elivepatch_model::{Manifest, ModuleHash, Sha256Digest, SignatureTrial};

const BUILT_RELEASE: &str = "6.12.117-small";

/// A key of the tests, which nobody else trusts, and what is next to it.
fn of_tests(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernels/signing").join(name)
}

fn signing_config() -> String {
    let (key, certificate) = (of_tests("key.pem"), of_tests("certificate.pem"));
    format!(
        "[signing]\nmodule_key = {:?}\nmodule_certificate = {:?}\n",
        key.display().to_string(),
        certificate.display().to_string()
    )
}

/// The public key for the manifests of a server.
fn manifest_key(server: &TestServer) -> String {
    let text = fs::read_to_string(server.data_directory().join("manifest.pub")).expect("its key");
    text.lines().nth(1).expect("a key").to_owned()
}

/// The files that a client has stored: module, manifest and signature.
fn files(run: &ClientRun) -> [PathBuf; 3] {
    let module = run.place().join(&run.livepatch().1.module.file_name);
    let manifest = PathBuf::from(format!("{}.manifest.json", module.display()));
    let signature = PathBuf::from(format!("{}.minisig", manifest.display()));
    [module, manifest, signature]
}

/// Another key with its certificate, NAME.key and NAME.crt.
fn pair(place: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (key, certificate) = (place.join(format!("{name}.key")), place.join(format!("{name}.crt")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "30", "-subj"]);
    openssl.arg(format!("/CN={name}")).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    assert!(openssl.output().expect("openssl").status.success());
    (key, certificate)
}

#[test]
fn stock_kernel_takes_a_signed_livepatch_only_where_it_enforces_nothing_and_says_which_key_it_lacks()
 {
    make_base_ready();
    let server =
        TestServer::start(ServerOptions { config: signing_config(), ..ServerOptions::default() });
    let key = manifest_key(&server);
    let fix = patch("demo/meminfo-label");
    let run = server.build().args(["--manifest-key", &key]).patch(&fix).run().succeeds();
    let (module, manifest) = run.livepatch();
    let by = manifest.module.signature.as_ref().expect("it is signed");
    assert_eq!(by.signer, "O=elivepatch tests, CN=Nobody's kernel module key");
    let signed = SignedModule::split(&module).expect("it is signed");
    assert_eq!(by.unsigned, Sha256Digest::of(signed.content));
    // Debian's kernel has Debian's hash, and Debian's key.
    assert_eq!(by.hash, ModuleHash::Sha256);
    assert_eq!(manifest.trial.signature, Some(SignatureTrial::NotTrusted));

    let place = tempfile::tempdir().expect("a directory");
    // Another server makes the same livepatch, and signs it with another key.
    let (other_key, other_certificate) = pair(place.path(), "other");
    let config = format!(
        "[signing]\nmodule_key = {:?}\nmodule_certificate = {:?}\n",
        other_key.display().to_string(),
        other_certificate.display().to_string()
    );
    let other = TestServer::start(ServerOptions { config, ..ServerOptions::default() });
    other.rebuilds_to_the_same_bytes(&run, &stock_config_file(), &[fix]);

    let [module, manifest, signature] = files(&run);
    let tampered = place.path().join("tampered.json");
    let text = fs::read_to_string(&manifest).expect("own file");
    fs::write(&tampered, text.replace("meminfo-label.patch", "meminfo-lable.patch"))
        .expect("own file");
    let machine = TargetMachine::new(&[
        ("a.ko", &module),
        ("a.ko.manifest.json", &manifest),
        ("a.ko.manifest.json.minisig", &signature),
        ("tampered.ko", &module),
        ("tampered.ko.manifest.json", &tampered),
        ("tampered.ko.manifest.json.minisig", &signature),
        ("unsigned.ko", &module),
        ("unsigned.ko.manifest.json", &manifest),
    ]);
    let other = manifest_key(&other);
    let said = machine
        .start(
            &format!(
                "export ELIVEPATCH_MANIFEST_KEY={key}
                 run unsigned elivepatch apply /disk/unsigned.ko
                 run tampered elivepatch apply /disk/tampered.ko
                 run other elivepatch apply /disk/a.ko --manifest-key {other}
                 run signed elivepatch apply /disk/a.ko
                 run shutdown elivepatch boot --shutdown"
            ),
            "",
        )
        .goes_off();
    let refused = |name: &str, parts: &[&str]| {
        let ran = said.of(name);
        assert_eq!(ran.code, 1, "{name}: {}", ran.output);
        for part in parts {
            assert!(ran.output.contains(part), "{name}: {part:?} is missing: {}", ran.output);
        }
    };
    refused("unsigned", &["it is not signed"]);
    refused("tampered", &["does not fit"]);
    refused("other", &["it is signed by the key", "and must be by the key"]);
    said.done("signed");

    // The next start, with the key, with another one, and of a kernel that takes only what it trusts.
    let script = format!(
        "run other elivepatch boot --manifest-key {other}
         run none ls /sys/kernel/livepatch
         run boot elivepatch boot --manifest-key {key}
         run enforced cat /sys/module/module/parameters/sig_enforce
         run shutdown elivepatch boot --shutdown"
    );
    let said = machine.start(&script, "").goes_off();
    assert!(said.of("other").output.contains("it is signed by the key"));
    assert_eq!(said.done("none"), "");
    said.done("boot");
    let said = machine.start(&script, "module.sig_enforce=1").goes_off();
    assert_eq!(said.done("enforced").trim(), "Y");
    let boot = said.of("boot");
    assert_eq!(boot.code, 1, "{boot:?}");
    for part in ["does not have the key of O=elivepatch tests", &by.key_id, "mokutil --import"] {
        assert!(boot.output.contains(part), "{part:?} is missing: {}", boot.output);
    }
}

/// A module with a manifest that says of it what a server would, and is nothing but that.
fn forged(
    place: &Path,
    name: &str,
    module: &[u8],
    like: &Manifest,
    key_id: Option<&str>,
) -> [PathBuf; 2] {
    let mut manifest = like.clone();
    manifest.module.digest = Sha256Digest::of(module);
    manifest.module.size_bytes = module.len() as u64;
    match (key_id, &mut manifest.module.signature) {
        (Some(key_id), Some(by)) => key_id.clone_into(&mut by.key_id),
        (_, by) => *by = None,
    }
    let path = place.join(format!("{name}.ko"));
    let text = place.join(format!("{name}.ko.manifest.json"));
    fs::write(&path, module).expect("own directory");
    fs::write(&text, serde_json::to_vec(&manifest).expect("plain data")).expect("own directory");
    [path, text]
}

/// The base that the server has built for a livepatch.
fn base_of(manifest: &Manifest) -> PathBuf {
    let bases = fs::read_dir(cache_directory().join("bases")).expect("bases").flatten();
    let is_it = |path: &PathBuf| {
        let facts = fs::read_to_string(path.join("base.json")).unwrap_or_default();
        facts.contains(manifest.build_id.as_str())
    };
    bases.map(|entry| entry.path()).find(is_it).expect("the base")
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn kernel_that_trusts_the_key_takes_what_is_signed_and_nothing_else() {
    let source = std::env::var("ELIVEPATCH_TEST_SOURCE_6_12").expect("make test-full names it");
    let config = format!(
        "[policy]\nallow_unproven = true\n[[source]]\nrelease = \"{BUILT_RELEASE}\"\npath = \"{source}\"\n{}",
        signing_config()
    );
    let server = TestServer::start(ServerOptions { config, ..ServerOptions::default() });
    let kernel_config = of_tests("../6.12-small-signed.config");
    // The certificate is in the kernel's source, as its config says.
    let baseline = of_tests("trusted-key.patch");
    let fix = own_patch("built-meminfo");
    let command = server.client("build").args(["--accept-unproven", "--kernel", BUILT_RELEASE]);
    let command = command.args(["--config".as_ref(), kernel_config.as_os_str()]);
    let command = command.args(["--baseline".as_ref(), baseline.as_os_str()]);
    let run = command.patch(&fix).run().succeeds();
    let (_, manifest) = run.livepatch();
    assert_eq!(manifest.trial.signature, Some(SignatureTrial::Enforced));
    // Nothing names it but the kernel's config.
    assert_eq!(manifest.module.signature.as_ref().map(|by| by.hash), Some(ModuleHash::Sha512));

    // Once more, for a machine that runs this very kernel.
    let image = base_of(&manifest).join("vmlinuz");
    let root = facts_of_running(&image);
    let facts = root.path().join("facts.json");
    let mut command = Command::new(program("elivepatch"));
    command.arg("facts").args(["--root".as_ref(), root.path().as_os_str()]);
    command.args(["--config".as_ref(), kernel_config.as_os_str()]);
    command.args(["--baseline".as_ref(), baseline.as_os_str()]);
    command.args(["--output".as_ref(), facts.as_os_str()]);
    let ran = command.output().expect("elivepatch");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let command = server.client("build").args(["--facts".as_ref(), facts.as_os_str()]);
    let run = command.patch(&fix).run().succeeds();
    let (module, manifest) = run.livepatch();

    let place = tempfile::tempdir().expect("a directory");
    let signed = SignedModule::split(&module).expect("it is signed");
    let by = manifest.module.signature.as_ref().expect("it is signed");
    let unsigned = forged(place.path(), "unsigned", signed.content, &manifest, None);
    let mut changed = module.clone();
    let text = b"VMALLOCCHUNK";
    let at = changed.windows(text.len()).position(|window| window == text).expect("it is in it");
    changed[at] = b'v';
    let tampered = forged(place.path(), "tampered", &changed, &manifest, Some(&by.key_id));
    let other_id = "00".repeat(20);
    let other = forged(place.path(), "other", &module, &manifest, Some(&other_id));
    // What its manifest says of the key is right, and nobody has signed these bytes with it.
    let foreign = SignedModule { content: signed.content, signature: &[0x30, 0] }.join();
    let foreign = forged(place.path(), "foreign", &foreign, &manifest, Some(&by.key_id));
    let [own, own_manifest, _] = files(&run);
    let mut given: Vec<(String, PathBuf)> =
        vec![("signed.ko".to_owned(), own), ("signed.ko.manifest.json".to_owned(), own_manifest)];
    for path in [unsigned, tampered, other, foreign].concat() {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        given.push((name, path));
    }
    let given: Vec<(&str, &Path)> =
        given.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
    let said = runs_without_disk(
        &image,
        &given,
        "run enforced cat /sys/module/module/parameters/sig_enforce
         run unsigned elivepatch apply /files/unsigned.ko
         run other elivepatch apply /files/other.ko
         run tampered elivepatch apply /files/tampered.ko
         run foreign elivepatch apply /files/foreign.ko
         run none ls /sys/kernel/livepatch
         run signed elivepatch apply /files/signed.ko
         run seen grep -c VMALLOCCHUNK /proc/meminfo
         run revert elivepatch revert",
        "module.sig_enforce=1",
    );
    assert_eq!(said.done("enforced").trim(), "Y");
    for (name, code, parts) in [
        ("unsigned", 1, &["this one has none", "[signing]"][..]),
        (
            "other",
            1,
            &["it does not have the key of O=elivepatch tests", &other_id, "mokutil --import"],
        ),
        ("tampered", 6, &["did not take the module", "Nobody's kernel module key", &by.key_id]),
        ("foreign", 6, &["did not take the module", &by.key_id]),
    ] {
        let ran = said.of(name);
        assert_eq!(ran.code, code, "{name}: {}", ran.output);
        for part in parts {
            assert!(ran.output.contains(part), "{name}: {part:?} is missing: {}", ran.output);
        }
    }
    assert_eq!(said.done("none"), "");
    assert!(said.done("signed").contains("is active"));
    assert_eq!(said.done("seen").trim(), "1");
    said.done("revert");
}
