//! The config file as users meet it.

use camino::Utf8Path;
use elivepatch_server::{
    ServerConfig,
    config::{CompatSection, ConfigError, Overrides, Places, TlsOverride, template},
};

fn parse(text: &str) -> Result<ServerConfig, ConfigError> {
    let path = Utf8Path::new("server.toml");
    ServerConfig::parse(text, path, &Places::of_the_system(), &Overrides::default())
}

fn error(text: &str) -> String {
    parse(text).expect_err("not usable").to_string()
}

#[test]
fn template_is_the_reference_documentation() {
    insta::assert_snapshot!(template(&Places::of_the_system(), &Overrides::default()));
}

#[test]
fn template_says_the_defaults_as_it_is_and_with_every_key_switched_on() {
    let places = Places::of_the_system();
    let text = template(&places, &Overrides::default());
    let defaults = ServerConfig::defaults(&places);
    assert_eq!(parse(&text).expect("valid"), defaults);
    // "#key = …" is a key, "# text" is a comment.
    let is_key = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let on: Vec<&str> =
        text.lines().map(|line| if is_key(line) { &line[1..] } else { line }).collect();
    let mut config = parse(&on.join("\n")).expect("valid");
    // These two are shown with an example: their default is to ask apt.
    assert!(config.debian.mirror.take().is_some());
    assert!(config.debian.security_mirror.take().is_some());
    assert_eq!(std::mem::take(&mut config.sources).len(), 8, "each of these is an example");
    // Without these there are no other recipes, and no budget.
    assert!(config.toolchain_recipes.take().is_some());
    assert!(config.cache.disk_budget_gib.take().is_some());
    assert_eq!(std::mem::take(&mut config.fixes).len(), 4, "each of these is an example");
    // Without these the server makes its own, when it needs one.
    assert_eq!(config.tls.enabled.take(), Some(true));
    assert!(config.tls.certificate.take().is_some());
    assert!(config.tls.key.take().is_some());
    // Without it, it hangs on the address.
    assert_eq!(config.compat.v1.take(), Some(true));
    // Where no tokens are wanted there are no limits but those that are named.
    let limits = config.v1_limits();
    let limits = [limits.orders, limits.orders_per_day, limits.kernels_per_day];
    assert_eq!(limits, [Some(4), Some(100), Some(4)]);
    config.compat = CompatSection::default();
    // Without these it is no machine that only builds.
    let worker = std::mem::take(&mut config.worker);
    assert!(worker.server.is_some() && worker.certificate.is_some());
    assert!(worker.token_file.is_some() && worker.name.is_some());
    // Nothing is read from the network unasked.
    assert!(config.feed.source.take().is_some());
    // The key for manifests is in the data directory, and modules are signed by nobody.
    let signing = std::mem::take(&mut config.signing);
    assert_eq!(signing.certificate().expect("named"), "/etc/elivepatch/module.crt.pem");
    assert!(signing.manifest_key.is_some() && signing.module_passphrase_file.is_some());
    assert_eq!(config, defaults);
    assert_eq!(config.manifest_key(), "/var/lib/elivepatch/manifest.key");
    let keys = on.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count();
    assert_eq!(keys, 101, "a key without documentation, or documentation without a key");
}

#[test]
fn unknown_key_and_wrong_type_are_named_with_their_line() {
    insta::assert_snapshot!(error("queue_limit = 5\nport = 80\n"));
    insta::assert_snapshot!(error("[builder]\njobs = \"two\"\n"));
    insta::assert_snapshot!(error("listen = \"localhost\"\n"));
    insta::assert_snapshot!(error("[builder\n"));
}

#[test]
fn every_value_that_cannot_be_used_is_named_at_once() {
    insta::assert_snapshot!(error(
        "listen = \"0.0.0.0:8420\"\ndata_directory = \"relative\"\nqueue_limit = 0\n\n\
         [builder]\nworkers = 0\nmemory_limit_mib = 1\nheader_objects = 0\n[debian]\nmirror = \"ftp://old\"\nsuites = [\"../x\"]\n\
         [hosts]\nreport_seconds = 5\n"
    ));
    let most = error("[hosts]\nreport_seconds = 86401\n");
    assert!(most.contains("hosts.report_seconds: 86401 is too much; 86400 is the most"), "{most}");
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let key_and_certificate = parse("[signing]\nmodule_key = \"/k.pem\"\n").expect("valid").signing;
    assert_eq!(key_and_certificate.certificate().expect("it is in the same file"), "/k.pem");
    for (lines, part) in [
        ("module_key = \"k.pem\"", "neither an absolute path nor a PKCS#11 URI"),
        ("module_key = \"pkcs11:object=modules\"", "certificate of a key in a token must be named"),
        ("module_certificate = \"/c.pem\"", "there is no module_key that it belongs to"),
        (
            "module_key = \"/k.pem\"\nmodule_passphrase_file = \"p\"",
            "\"p\" is not an absolute path",
        ),
        ("manifest_key = \"m\"", "\"m\" is not an absolute path"),
        ("module_hash = \"md5\"", "expected one of `sha256`, `sha384`, `sha512`"),
    ] {
        let text = error(&format!("[signing]\n{lines}\n"));
        assert!(text.contains(part) && text.contains("line "), "{part:?}: {text}");
    }
}

#[test]
fn disk_budget_in_which_not_even_one_kernel_fits_is_refused() {
    assert_eq!(
        parse("[cache]\ndisk_budget_gib = 5\n").expect("valid").cache.disk_budget_gib,
        Some(5)
    );
    insta::assert_snapshot!(error("[cache]\ndisk_budget_gib = 4\n"));
    insta::assert_snapshot!(error("toolchain_recipes = \"toolchains\"\n"));
}

#[test]
fn sources_that_cannot_serve_are_named() {
    insta::assert_snapshot!(error(
        "[[source]]\nrelease = \"6.12.117-a\"\npath = \"linux.tar.xz\"\n\
         [[source]]\nrelease = \"6.12.117-a\"\npath = \"/var/cache/elivepatch/linux\"\n"
    ));
    insta::assert_snapshot!(error("[[source]]\nrelease = \"../x\"\npath = \"/srv/linux\"\n"));
    insta::assert_snapshot!(error("[[source]]\nrelease = \"6.12.117-a\"\n"));
}

#[test]
fn named_source_that_cannot_serve_is_refused_with_its_name_and_line() {
    let named =
        |text: &str| error(&format!("queue_limit = 5\n[[source]]\nname = \"mine\"\n{text}"));
    for (text, expected) in [
        ("", "mine: a source has both, a name and a kind"),
        ("kind = \"rpm\"\n", "unknown variant `rpm`"),
        (
            "kind = \"directory\"\nurl = \"https://x.example/\"\n",
            "mine: url is not a key of the kind directory, which has path",
        ),
        ("kind = \"directory\"\npath = \"/usr/src/linux\"\n", "would be the same for all kernels"),
        ("kind = \"directory\"\npath = \"/usr/src/{name}\"\n", "something else in braces"),
        ("kind = \"directory\"\npath = \"/usr/../src/{release}\"\n", "is not an absolute path"),
        ("kind = \"tarball\"\n", "it needs one of url and path"),
        (
            "kind = \"tarball\"\nurl = \"https://k.example/linux-{version}.tar.xz\"\n",
            "must be checked",
        ),
        (
            "kind = \"tarball\"\nurl = \"ftp://k.example/linux-{version}.tar.xz\"\nkeyring = \"/k\"\n",
            "is not an http:// or https:// URL",
        ),
        (
            "kind = \"tarball\"\npath = \"/linux-{version}.tar\"\nsha256sums = \"http://k.example/sums\"\n",
            "by plain http must be signed",
        ),
        ("kind = \"git\"\nurl = \"ext::sh -c id\"\n", "does not begin with one of https://"),
        ("kind = \"git\"\nurl = \"ssh://-oProxyCommand=id/x\"\n", "does not begin with one of"),
        ("kind = \"git\"\nurl = \"file:///srv/linux\"\n", "does not begin with one of"),
        (
            "kind = \"git\"\npath = \"/srv/linux\"\ntag = \"--upload-pack=x{version}\"\n",
            "is not the name of a tag",
        ),
        (
            "kind = \"git\"\npath = \"/srv/linux\"\ntag = \"newest\"\n",
            "would be the same for all kernels",
        ),
        ("kind = \"debian\"\nvalid_until = false\n", "name its mirror"),
        ("kind = \"debian\"\nsuites = [\"../x\"]\n", "is not the name of a suite"),
        ("kind = \"debian\"\nsha256 = {{ \"a.deb\" = \"{D}\" }}\n", "in the directory packages"),
        ("kind = \"portage\"\n", "distfiles is missing"),
        ("kind = \"portage\"\ndistfiles = \"/d\"\npackage = \"../x\"\n", "is not a package"),
        ("kind = \"git\"\npath = \"/srv/linux\"\nreleases = [\"6.[0-9]\"]\n", "is not a pattern"),
    ] {
        let text = text.replace("{D}", &"0".repeat(64)).replace("{{", "{").replace("}}", "}");
        let told = named(&text);
        assert!(told.contains(expected), "{text}\n{told}");
        assert!(told.contains("line "), "{told}");
    }
    let twice = "[[source]]\nname = \"a\"\nkind = \"debian\"\n".repeat(2);
    assert!(
        error(&twice).contains("line 4: source: a: two sources have this name"),
        "{}",
        error(&twice)
    );
    let name = error("[[source]]\nname = \"a b\"\nkind = \"debian\"\n");
    assert!(name.contains("is not a name"), "{name}");
}

#[test]
fn values_that_would_overflow_are_refused() {
    for key in ["memory_limit_mib", "output_limit_mib", "disk_limit_mib"] {
        let text = error(&format!("[builder]\n{key} = 17592186044416\n"));
        assert!(text.contains(&format!("line 2: builder.{key}: ")), "{text}");
        assert!(text.contains("1048576 is the most"), "{text}");
    }
    let text = error("[builder]\nsilence_limit_seconds = 9223372036854775807\n");
    assert!(text.contains("builder.silence_limit_seconds: "), "{text}");
}

#[test]
fn workers_are_bounded_and_one_by_default() {
    assert_eq!(parse("").expect("valid").builder.workers, 1);
    assert_eq!(parse("[builder]\nworkers = 64\n").expect("valid").builder.workers, 64);
    let text = error("[builder]\nworkers = 65\n");
    assert!(text.contains("line 2: builder.workers: 65 is too much; 64 is the most"), "{text}");
}

#[test]
fn cache_and_data_must_be_apart() {
    let text = error("data_directory = \"/var/cache/elivepatch/data\"");
    assert!(text.contains("line 1: data_directory: "), "{text}");
    let text = error("cache_directory = \"/var/lib/elivepatch/cache\"");
    assert!(text.contains("line 1: cache_directory: "), "{text}");
}

#[test]
fn server_that_others_reach_wants_tokens_and_encrypts() {
    for (text, wants_tokens, encrypts) in [
        ("listen = \"[::]:8420\"\n", true, true),
        ("listen = \"10.1.2.3:8420\"\n[tls]\nenabled = false\n", true, false),
        ("", false, false),
        (
            "listen = \"[::1]:1\"\n[access]\ntokens = \"always\"\n[tls]\nenabled = true\n",
            true,
            true,
        ),
        ("listen = \"127.9.9.9:1\"\n[access]\ntokens = \"beyond-loopback\"\n", false, false),
    ] {
        let config = parse(text).expect(text);
        assert_eq!((config.wants_tokens(), config.encrypts()), (wants_tokens, encrypts), "{text}");
    }
}

#[test]
fn key_of_the_time_before_tokens_is_no_longer_needed() {
    insta::assert_snapshot!(error(
        "listen = \"0.0.0.0:8420\"\ni_know_that_there_is_no_authentication_yet = true\n"
    ));
}

#[test]
fn access_and_certificates_that_cannot_be_are_named() {
    insta::assert_snapshot!(error("[tls]\ncertificate = \"server.pem\"\n"));
    insta::assert_snapshot!(error("[tls]\nkey = \"/etc/ssl/key.pem\"\n"));
    insta::assert_snapshot!(error("[access]\ntokens = \"never\"\n"));
}

#[test]
fn command_line_wins_over_the_file_and_is_checked_as_well() {
    let path = Utf8Path::new("server.toml");
    let places = Places::of_the_system();
    let overrides = Overrides {
        listen: Some("127.0.0.1:9".parse().expect("an address")),
        ..Overrides::default()
    };
    let text = "listen = \"127.0.0.1:8\"";
    let config = ServerConfig::parse(text, path, &places, &overrides).expect("valid");
    assert_eq!(config.listen.port(), 9);
    let text = "listen = \"127.0.0.1:8\"\n[builder]\njobs = 2\n[tls]\nenabled = false\n";
    let parsed = |overrides| ServerConfig::parse(text, path, &places, &overrides).expect("valid");
    let old = Overrides { host: Some([127, 0, 0, 2].into()), ..Overrides::default() };
    assert_eq!(parsed(old).listen.to_string(), "127.0.0.2:8");
    let old = Overrides { port: Some(5000), jobs: Some(3), ..Overrides::default() };
    assert_eq!(parsed(old.clone()).listen.to_string(), "127.0.0.1:5000");
    assert_eq!(parsed(old).builder.jobs, 3);
    let old = Overrides { tls: Some(TlsOverride::Own), ..Overrides::default() };
    assert!(parsed(old).encrypts());
    let relative = Overrides { data_directory: Some("data".into()), ..Overrides::default() };
    assert!(ServerConfig::parse("", path, &places, &relative).is_err());
}

#[test]
fn api_of_the_first_elivepatch_is_on_where_no_tokens_are_wanted_or_when_it_is_switched_on() {
    let serves = |text: &str| parse(text).expect("valid").serves_v1();
    let network = "listen = \"0.0.0.0:5000\"\n";
    assert!(serves(""));
    assert!(!serves("[compat]\nv1 = false\n"));
    assert!(!serves("[access]\ntokens = \"always\"\n"));
    assert!(!serves(network));
    assert!(serves(&format!("{network}[compat]\nv1 = true\n")));
    assert!(error("[compat]\nv2 = true\n").contains("unknown field `v2`"));
}

#[test]
fn limits_of_the_first_elivepatchs_clients_are_not_0() {
    let limits = |text: &str| {
        let limits = parse(text).expect("valid").v1_limits();
        [limits.orders, limits.orders_per_day, limits.kernels_per_day]
    };
    let network = "listen = \"0.0.0.0:5000\"\n[compat]\norders = 9\n";
    assert_eq!(limits(network), [Some(9), Some(100), Some(4)]);
    assert_eq!(limits("[compat]\norders = 9\n"), [Some(9), None, None], "v2 has none there");
    for key in ["orders", "orders_per_day", "kernels_per_day"] {
        let told = error(&format!("[compat]\n{key} = 0\n"));
        let expected = format!("line 2: compat.{key}: 0 is too little; 1 is the least");
        assert!(told.contains(&expected), "{told}");
    }
}

#[test]
fn what_is_open_to_strangers_or_has_no_effect_is_warned_of() {
    let warnings = |text: &str| parse(text).expect("valid").v1_warnings().join("; ");
    assert_eq!(warnings(""), "");
    let open = "listen = \"0.0.0.0:5000\"\n[compat]\nv1 = true\n";
    assert!(
        warnings(open).contains("without a token") && warnings(open).contains("disk_budget_gib")
    );
    let bounded = format!("{open}[cache]\ndisk_budget_gib = 40\n");
    assert!(!warnings(&bounded).contains("disk_budget_gib"), "{}", warnings(&bounded));
    let alone = warnings("[compat]\naccept_unproven = true\n");
    assert!(alone.contains("as long as allow_unproven under [policy] is not true"), "{alone}");
    let both = "[policy]\nallow_unproven = true\n[compat]\naccept_unproven = true\n";
    assert_eq!(warnings(both), "");
}

#[test]
fn template_with_chosen_values_says_them() {
    let chosen = Overrides {
        listen: Some("127.0.0.1:9".parse().expect("an address")),
        data_directory: Some("/srv/data with \"quotes\"".into()),
        ..Overrides::default()
    };
    let config = parse(&template(&Places::of_the_system(), &chosen)).expect("valid");
    assert_eq!(config.listen.port(), 9);
    assert_eq!(config.data_directory, "/srv/data with \"quotes\"");
    assert_eq!(config.cache_directory, "/var/cache/elivepatch");
}

#[test]
fn source_of_fixes_that_cannot_serve_is_refused_with_its_line() {
    let of = |text: &str| error(&format!("queue_limit = 5\n[[fixes]]\n{text}"));
    for (text, expected) in [
        ("kind = \"ftp\"\n", "unknown variant `ftp`"),
        ("path = \"/srv/fixes\"\n", "missing field `kind`"),
        ("kind = \"directory\"\n", "line 2: fixes: a source of the kind directory has a path"),
        ("kind = \"git\"\npath = \"linux\"\n", "\"linux\" is not an absolute path"),
        (
            "kind = \"git\"\npath = \"/srv/linux\"\nurl = \"https://k.example/SHA\"\n",
            "url is not a key of the kind git, which has path",
        ),
        (
            "kind = \"livepatch-overlay\"\npath = \"/srv/overlay\"\nper_second = 1.0\n",
            "per_second is not a key of the kind livepatch-overlay",
        ),
        ("kind = \"http\"\n", "a source of the kind http has a url"),
        ("kind = \"http\"\nurl = \"http://k.example/SHA\"\n", "http is for this machine only"),
        ("kind = \"http\"\nurl = \"https://me:pw@k.example/SHA\"\n", "would be shown to others"),
        ("kind = \"http\"\nurl = \"https://k.example/\"\n", "must have SHA once"),
        (
            "kind = \"http\"\nurl = \"https://k.example/SHA\"\nper_second = 0.0\n",
            "per_second: 0 is not from 0.001 to 1000",
        ),
        (
            "kind = \"http\"\nurl = \"https://k.example/SHA\"\nper_second = nan\n",
            "per_second: NaN is not from 0.001 to 1000",
        ),
        (
            "kind = \"directory\"\npath = \"/srv/a\"\n[[fixes]]\nkind = \"directory\"\npath = \"/srv/a\"\n",
            "line 5: fixes: it is there twice",
        ),
    ] {
        let told = of(text);
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let fine = "[[fixes]]\nkind = \"http\"\nurl = \"http://127.0.0.1:1/SHA\"\nper_second = 0.5\n";
    assert_eq!(parse(fine).expect("valid").fixes.len(), 1);
}

#[test]
fn policy_on_fixes_is_read_and_what_it_cannot_mean_is_refused() {
    let policy = parse(
        "[policy]\nautomatic_cve_fixes = \"approved-only\"\ndeny_cves = [\"CVE-2026-63824\"]\ndeny_files = \
         [\"net/sctp/\", \"mm/mmap.c\"]\nlivepatch_functions = 10\nlivepatch_objects = 2\n",
    );
    let policy = policy.expect("valid").policy;
    assert_eq!((policy.livepatch_functions, policy.livepatch_objects), (10, 2));
    assert_eq!((policy.deny_cves.len(), policy.deny_files.len()), (1, 2));
    for (text, expected) in [
        ("automatic_cve_fixes = \"all\"\n", "unknown variant `all`"),
        ("deny_cves = [\"CVE-26\"]\n", "line 2: \"CVE-26\" is no CVE's name"),
        ("deny_files = [\"/net/sctp\"]\n", "line 2: policy.deny_files: \"/net/sctp\" is neither"),
        ("deny_files = [\"net/*\"]\n", "is neither a file in the kernel's tree"),
        ("deny_files = [\"\"]\n", "is neither a file"),
        ("deny_files = [\"../a\"]\n", "is neither a file"),
        (
            "livepatch_functions = 0\n",
            "policy.livepatch_functions: 0 is too little; 1 is the least",
        ),
        ("livepatch_objects = 0\n", "policy.livepatch_objects: 0 is too little"),
    ] {
        let told = error(&format!("[policy]\n{text}"));
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
