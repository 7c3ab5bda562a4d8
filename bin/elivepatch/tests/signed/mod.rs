//! Manifests that are signed, and clients that have a key.

use std::fs;

use camino::Utf8Path;
use elivepatch_model::{Manifest, ModuleHash, ModuleSignature, Sha256Digest};
use elivepatch_signature::{SecretKey, generate_keys};

use crate::double::{Desk, Double, MODULE, MODULE_NAME, manifest, success};

/// A key that signs, and the text of its public half.
struct Key {
    secret: SecretKey,
    public: String,
}

impl Key {
    fn new(desk: &Desk, name: &str) -> Self {
        let place = Utf8Path::from_path(desk.path()).expect("UTF-8");
        let secret = place.join(format!("{name}.key"));
        let (_, public) = generate_keys(&secret, &place.join(format!("{name}.pub"))).expect("keys");
        Self { secret: SecretKey::read(&secret).expect("a key"), public }
    }

    fn sign(&self, text: &str) -> Option<String> {
        Some(self.secret.sign(text.as_bytes(), "a manifest").expect("signed"))
    }

    fn id(&self) -> String {
        self.secret.id().to_string()
    }
}

#[test]
fn manifest_is_verified_before_its_module_is_fetched_and_stored_with_its_signature() {
    let desk = Desk::new();
    let key = Key::new(&desk, "server");
    let mut script = success();
    script.signature = key.sign(&script.manifest);
    let server = Double::start(script);
    desk.build(&server.url, &["--manifest-key", &key.public]).expect(0, &[]);
    let manifest_name = format!("{MODULE_NAME}.manifest.json");
    let signature_name = format!("{manifest_name}.minisig");
    assert_eq!(desk.results(), [MODULE_NAME, &manifest_name, &signature_name]);
    // The program minisign verifies what lies there.
    let mut minisign = std::process::Command::new("minisign");
    minisign
        .args(["-V", "-P", &key.public, "-m"])
        .arg(desk.path().join("out").join(&manifest_name));
    assert!(minisign.output().expect("minisign").status.success());

    // Signed anew, it is the same livepatch.
    let mut script = success();
    script.signature = key.sign(&script.manifest);
    let server = Double::start(script);
    desk.build(&server.url, &["--manifest-key", "server.pub"]).expect(0, &[]);
}

#[test]
fn manifest_that_is_not_signed_as_it_must_be_is_refused_and_no_module_fetched() {
    let desk = Desk::new();
    let (key, other) = (Key::new(&desk, "server"), Key::new(&desk, "other"));
    let text = success().manifest;
    let (ours, theirs) = (key.id(), other.id());
    let tampered = text.replace("kpatch", "kpatcH");
    assert_ne!(tampered, text);
    for (manifest, signature, parts) in [
        (&text, None, vec!["it is not signed", &ours]),
        (&text, other.sign(&text), vec![&ours, &theirs]),
        (&tampered, key.sign(&text), vec!["does not fit", "something else"]),
        (&text, key.sign("the manifest of another build"), vec!["does not fit"]),
        (&text, Some("no signature".to_owned()), vec!["none of minisign's"]),
        // What is signed is not looked at, and so it cannot be found wrong in another way.
        (&"{".to_owned(), None, vec!["it is not signed"]),
    ] {
        let mut script = success();
        script.manifest.clone_from(manifest);
        script.signature = signature;
        let server = Double::start(script);
        let ended = desk.build(&server.url, &["--manifest-key", &key.public]);
        let parts = [&parts[..], &["the manifest of build 7", "cannot be trusted", "hint: "]];
        ended.expect(4, &parts.concat());
        assert!(desk.results().is_empty());
        assert_eq!(server.seen().modules, 0, "{ended:#?}");
    }
    // Without a key all of that is as it was, and a signature is kept for who has one.
    let mut script = success();
    script.signature = other.sign(&text);
    desk.build(&Double::start(script).url, &[]).expect(0, &[]);
    assert_eq!(desk.results().len(), 3);
    desk.build("127.0.0.1:9", &["--manifest-key", "nothing-there"])
        .expect(2, &["--manifest-key", "cannot read the key nothing-there"]);
}

#[test]
fn apply_of_a_file_looks_at_the_signature_before_the_module() {
    let desk = Desk::new();
    let key = Key::new(&desk, "server");
    // It is no module, which is not said before the manifest is trusted.
    fs::write(desk.path().join("a.ko"), "no module").expect("own file");
    fs::write(desk.path().join("a.ko.manifest.json"), "{}").expect("own file");
    let apply = |more: &[&str]| {
        let state = desk.path().join("state");
        let state = state.to_str().expect("UTF-8");
        desk.run(
            &[&["apply", "./a.ko", "--dry-run", "--state-directory", state][..], more].concat(),
        )
    };
    let key_option = ["--manifest-key", key.public.as_str()];
    apply(&key_option).expect(1, &["a.ko.manifest.json cannot be trusted", "it is not signed"]);
    let signature = key.sign("{}").expect("signed");
    fs::write(desk.path().join("a.ko.manifest.json.minisig"), signature).expect("own file");
    apply(&key_option).expect(1, &["cannot read the manifest", "missing field"]);
}

#[test]
fn rebuild_compares_what_is_before_the_signatures() {
    let desk = Desk::new();
    let key = Key::new(&desk, "server");
    let signed = |content: &[u8], signature: &[u8], key_id: &str| {
        let module = elivepatch_elf::SignedModule { content, signature }.join();
        let mut manifest = manifest();
        manifest.module.digest = Sha256Digest::of(&module);
        manifest.module.size_bytes = module.len() as u64;
        manifest.module.signature = Some(ModuleSignature {
            signer: "CN=ours".to_owned(),
            key_id: key_id.to_owned(),
            hash: ModuleHash::Sha512,
            unsigned: Sha256Digest::of(content),
        });
        (module, manifest)
    };
    let (_, then) = signed(MODULE, b"by the one", "aa");
    let text = serde_json::to_string(&then).expect("plain data");
    let name = format!("{MODULE_NAME}.manifest.json");
    fs::write(desk.path().join(&name), &text).expect("own file");
    let rebuild = |module: &[u8], now: &Manifest, key_option: &[&str]| {
        let mut script = success();
        script.module = module.to_vec();
        script.manifest = serde_json::to_string(now).expect("plain data");
        script.signature = key.sign(&script.manifest);
        let server = Double::start(script);
        desk.run(&[&["rebuild", &name, "--url", &server.url][..], key_option].concat())
    };
    let (module, now) = signed(MODULE, b"by the other", "bb");
    let ended = rebuild(&module, &now, &[]);
    ended.expect(0, &[]);
    for part in
        ["identical", "all before them is the same", "signer of the module: CN=ours (key aa"]
    {
        assert!(ended.stdout.contains(part), "{part:?} is missing in {ended:#?}");
    }
    // What the server says of its module does not count.
    let (module, mut now) = signed(b"\x7fELF something else", b"by the other", "bb");
    now.module.signature = then.module.signature.clone();
    rebuild(&module, &now, &[]).expect(3, &[]);
    // The manifest of then must be signed, too, where there is a key.
    let key_option = ["--manifest-key", key.public.as_str()];
    let (module, now) = signed(MODULE, b"by the one", "aa");
    rebuild(&module, &now, &key_option).expect(1, &["cannot be trusted"]);
    let signature = key.sign(&text).expect("signed");
    fs::write(desk.path().join(format!("{name}.minisig")), signature).expect("own file");
    rebuild(&module, &now, &key_option).expect(0, &[]);
}
