//! Manifests that must be signed, and kernels that load only signed modules.

use camino::Utf8Path;
use elivepatch_model::{ModuleHash, ModuleSignature, Sha256Digest};
use elivepatch_signature::{SecretKey, TrustedKeys, generate_keys};
use rustix::io::Errno;

use super::{
    fake::{Fate, World},
    *,
};

struct Key {
    secret: SecretKey,
    public: String,
}

impl Key {
    fn new(world: &World, name: &str) -> Self {
        let place = Utf8Path::from_path(world.place.path()).expect("UTF-8");
        let secret = place.join(format!("{name}.key"));
        let (_, public) = generate_keys(&secret, &place.join(format!("{name}.pub"))).expect("keys");
        Self { secret: SecretKey::read(&secret).expect("a key"), public }
    }

    fn sign(&self, mut applying: Applying) -> Applying {
        let text = applying.manifest_text.as_deref().expect("it has a manifest");
        let signature = self.secret.sign(text, "a manifest").expect("signed");
        applying.manifest_signature = Some(signature.into_bytes());
        applying
    }

    /// The machine was registered at a server that signs with this key.
    fn enrols(&self, world: &World) {
        let directory = StateDirectory::at(Some(&world.state()));
        let name = "web-17".parse().expect("a name");
        let mut enrolment = Enrolment::new("http://127.0.0.1:1".to_owned(), name, "t".to_owned());
        enrolment.manifest_key = Some(self.public.clone());
        directory.enrol(&directory.lock().expect("free"), &enrolment).expect("written");
    }
}

#[test]
fn machine_with_a_key_loads_only_what_it_has_signed() {
    let world = World::new();
    let (key, other) = (Key::new(&world, "ours"), Key::new(&world, "theirs"));
    let one = world.livepatch("one");
    key.enrols(&world);
    let refused = |applying: &Applying| obstacles(apply(&world, applying).0).join("; ");
    let (ours, theirs) = (key.secret.id().to_string(), other.secret.id().to_string());
    let told = refused(&one);
    assert!(told.contains("it is not signed") && told.contains(&ours), "{told}");
    let told = refused(&other.sign(one.clone()));
    assert!(told.contains(&ours) && told.contains(&theirs), "{told}");
    let mut tampered = key.sign(one.clone());
    tampered.manifest_text.as_mut().expect("it is there").push(b' ');
    assert!(refused(&tampered).contains("does not fit"));
    assert!(world.modules().is_empty());
    // Nothing of what was refused was kept.
    let directory = StateDirectory::at(Some(&world.state()));
    assert!(directory.held_digests().expect("it can be read").is_empty());

    apply(&world, &key.sign(one.clone())).0.expect("it is signed");
    // What is named on the command line counts more than what the machine was given.
    let trusting = TrustedKeys::parse_or_read(&other.public).expect("a key");
    let trusting = directory.clone().trusting(trusting);
    let two = world.livepatch("two");
    let mut host = Host::open(&world.machine, &trusting).expect("it is free");
    let options = ApplyOptions::default();
    host.apply(&other.sign(two.clone()), &options, &mut |_| {}).expect("it is signed by that one");
    host.apply(&key.sign(two), &options, &mut |_| {}).expect_err("it is signed by the other one");
}

#[test]
fn signature_is_kept_and_verified_at_every_boot_and_return() {
    let world = World::new();
    let key = Key::new(&world, "ours");
    let (one, two) = (key.sign(world.livepatch("one")), world.livepatch("two"));
    // The second was loaded before there was a key.
    apply(&world, &one).0.expect("it works");
    end_guard(&world);
    apply(&world, &two).0.expect("it works");
    world.write("proc/uptime", "10000.0 1.0\n");
    with_host(&world, |host| assert!(!host.is_guarded()));
    world.reboot("0002");
    assert!(matches!(boot(&world), Ok(Booted::Loaded { ref name, .. }) if name == "two"));
    key.enrols(&world);
    let directory = StateDirectory::at(Some(&world.state()));
    let status = Status::look(&world.machine, &directory).expect("a status");
    assert!(status.notes[0].contains("two will not be loaded at the next boot"), "{status:?}");
    world.reboot("0003");
    // The one before it is signed, and proven.
    let booted = boot(&world).expect("something was done");
    assert!(matches!(booted, Booted::Loaded { ref name, .. } if name == "one"), "{booted:?}");
    with_host(&world, |host| {
        let to = Some(host.find("two").expect("it is kept"));
        let problem = host.revert(to, "asked for", &ApplyOptions::default(), &mut |_| {});
        let told = obstacles(problem.map(|_| Applied::AlreadyActive)).join("; ");
        assert!(told.contains("it is not signed"), "{told}");
    });
    // Somebody changes what is kept.
    let place = world.state().join("livepatches").join(one.module.digest.to_string());
    let text = fs::read_to_string(place.join("manifest.json")).expect("it is kept");
    fs::write(place.join("manifest.json"), text.replace("one.patch", "two.patch"))
        .expect("own file");
    world.reboot("0004");
    let told = obstacles(boot(&world).map(|_| Applied::AlreadyActive)).join("; ");
    assert!(told.contains("is not signed") || told.contains("does not fit"), "{told}");
    assert!(world.active().is_empty());
    // The right one puts it right.
    apply(&world, &one).0.expect("it is signed");
    world.reboot("0005");
    assert!(matches!(boot(&world), Ok(Booted::Loaded { ref name, .. }) if name == "one"));
    // Another manifest of the same module takes no signature away.
    let mut other = key.sign(one.clone());
    other.manifest_text.as_mut().expect("it is there").push(b'\n');
    let other = key.sign(other);
    apply(&world, &other).0.expect("it is signed");
    world.reboot("0006");
    assert!(matches!(boot(&world), Ok(Booted::Loaded { ref name, .. }) if name == "one"));
}

#[test]
fn harmful_livepatch_goes_also_when_nothing_that_is_trusted_can_take_its_place() {
    for unreadable in [false, true] {
        let world = World::new();
        let key = Key::new(&world, "ours");
        let (one, two) = (world.livepatch("one"), key.sign(world.livepatch("two")));
        apply(&world, &one).0.expect("there is no key yet");
        end_guard(&world);
        key.enrols(&world);
        apply(&world, &two).0.expect("it is signed");
        if unreadable {
            fs::write(world.state().join("enrolment.json"), "{").expect("own file");
        }
        world.write("proc/sys/kernel/tainted", "4224");
        let guarded =
            with_host(&world, |host| host.guard(&mut |_| {}).expect("it can be looked at"));
        assert!(matches!(guarded, Guarded::TakenBack { ref name, .. } if name == "two"));
        assert!(world.modules().is_empty(), "neither the bad one, nor one that is not signed");
        let told = obstacles(apply(&world, &one).0).join("; ");
        let expected = if unreadable { "enrolment.json" } else { "it is not signed" };
        assert!(told.contains(expected), "{told}");
    }
}

/// What `/proc/keys` shows root: of Debian's kernel, shortened.
const KEYS: &str = "\
02f5c3c5 I------     1 perm 1f030000     0     0 asymmetri Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1: X509.rsa bb419ea1 []
1a39af66 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 2
2b4ba4f2 I--Q---     2 perm 1f3f0000     0 65534 keyring   _uid.0: empty
";

/// A livepatch that is signed by the key with this id.
fn signed_by(world: &World, name: &str, key_id: &str) -> Applying {
    let mut applying = world.livepatch(name);
    applying.module.is_signed = true;
    let manifest = applying.manifest.as_mut().expect("it has one");
    manifest.module.signature = Some(ModuleSignature {
        signer: "CN=Our modules".to_owned(),
        key_id: key_id.to_owned(),
        hash: ModuleHash::Sha512,
        unsigned: Sha256Digest::of(b"x"),
    });
    applying
}

#[test]
fn kernel_that_loads_only_signed_modules_is_asked_for_the_key_before() {
    let known = "6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1";
    let unknown = known.replace("6cc", "000");
    for (file, text) in [
        ("sys/module/module/parameters/sig_enforce", "Y\n"),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
    ] {
        let world = World::new();
        world.write(file, text);
        world.write("proc/keys", KEYS);
        let told = obstacles(apply(&world, &world.livepatch("one")).0).join("; ");
        assert!(told.contains("this one has none"), "{told}");
        let outcome = apply(&world, &signed_by(&world, "two", &unknown)).0;
        let Err(HostProblem::Obstacles { ref obstacles, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        let told = obstacles[0].to_string();
        assert!(told.contains("CN=Our modules") && told.contains(&unknown), "{told}");
        assert!(obstacles[0].hint().contains("mokutil --import"), "{}", obstacles[0].hint());
        apply(&world, &signed_by(&world, "three", &known.to_uppercase()))
            .0
            .expect("it has the key");
    }
    // What does not show its keyrings decides alone, and so does a kernel that takes any module.
    let world = World::new();
    world.write("sys/module/module/parameters/sig_enforce", "Y\n");
    world.write("proc/keys", "");
    apply(&world, &signed_by(&world, "one", &unknown)).0.expect("nothing is known of its keys");
    let world = World::new();
    world.write("proc/keys", KEYS);
    apply(&world, &signed_by(&world, "one", &unknown)).0.expect("it does not enforce them");
}

#[test]
fn kernel_that_refuses_a_signature_is_told_with_the_key_and_how_to_enrol_it() {
    let world = World::new();
    let one = signed_by(&world, "one", "abcd");
    for (errno, parts) in [
        (Errno::KEYREJECTED, ["not signed by a key that the kernel trusts", "mokutil --import"]),
        (Errno::NOKEY, ["has no key for its signature", "mokutil --import"]),
        (Errno::BADMSG, ["its signature is damaged", "fetch it from the server again"]),
    ] {
        world.fate(Fate::Refused(errno));
        let problem = apply(&world, &one).0.expect_err("it is refused");
        let told = format!("{problem}; {}", problem.hint());
        for part in parts.iter().chain(&["CN=Our modules (key id abcd)"]) {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    world.fate(Fate::Refused(Errno::INVAL));
    let problem = apply(&world, &one).0.expect_err("it is refused");
    assert!(matches!(problem, HostProblem::Refused { .. }), "{problem:?}");
}
