//! What is part of builds' keys, and when the symbols are.

use super::*;
use crate::Architecture;

fn release(text: &str) -> KernelRelease {
    text.parse().expect("a release")
}

fn tree(name: &str, text: &[u8]) -> SourceIdentity {
    SourceIdentity::Tree { release: release(name), digest: Sha256Digest::of(text) }
}

fn named(patterns: &[&str], text: &[u8]) -> NamedIdentity {
    NamedIdentity {
        releases: patterns.iter().map(|text| text.parse().expect("a pattern")).collect(),
        digest: Sha256Digest::of(text),
        builds_kernels: true,
        places: Vec::new(),
        files: BTreeMap::new(),
        content: None,
    }
}

fn building(patterns: &[&str]) -> SourceIdentity {
    SourceIdentity::Named(named(patterns, b"one"))
}

fn debian() -> SourceIdentity {
    SourceIdentity::Named(NamedIdentity { builds_kernels: false, ..named(&[], b"debian") })
}

fn words(sources: &[SourceIdentity], name: &str) -> String {
    let identity = BuilderIdentity {
        common: "0.2.0+abc".to_owned(),
        sources: sources.to_vec(),
        ..BuilderIdentity::default()
    };
    identity.of_builds_for(&release(name))
}

#[test]
fn source_of_another_release_does_not_decide() {
    let first = [tree("6.12.1-a", b"one"), tree("7.3.4-b", b"two")];
    let edited = [tree("6.12.1-a", b"one"), tree("7.3.4-b", b"changed")];
    assert_eq!(words(&first, "6.12.1-a"), words(&edited, "6.12.1-a"));
    assert_ne!(words(&first, "7.3.4-b"), words(&edited, "7.3.4-b"));
    assert_eq!(words(&first, "6.1.0-50-cloud-amd64"), "0.2.0+abc");
    let digest = Sha256Digest::of(b"one");
    assert_eq!(words(&first, "6.12.1-a"), format!("0.2.0+abc 6.12.1-a {digest}"));
}

#[test]
fn named_source_decides_for_the_releases_that_it_may_serve() {
    let source = |patterns: &[&str], text| [SourceIdentity::Named(named(patterns, text))];
    let (first, edited) = (source(&["6.12.*"], b"one"), source(&["6.12.*"], b"two"));
    assert_ne!(words(&first, "6.12.31"), words(&edited, "6.12.31"));
    assert_eq!(words(&first, "6.1.31"), words(&edited, "6.1.31"));
    let (first, edited) = (source(&[], b"one"), source(&[], b"two"));
    assert_ne!(words(&first, "6.1.31"), words(&edited, "6.1.31"));
}

#[test]
fn file_on_the_server_decides_for_its_own_kernel_only() {
    let source = |text: &[u8]| {
        [SourceIdentity::Named(NamedIdentity {
            places: vec!["/src/{release}".parse().expect("a template")],
            files: BTreeMap::from([("/src/6.1.31".to_owned(), Sha256Digest::of(text))]),
            ..named(&[], b"config")
        })]
    };
    let (first, edited) = (source(b"one"), source(b"two"));
    assert_ne!(words(&first, "6.1.31"), words(&edited, "6.1.31"));
    assert_eq!(words(&first, "6.1.32"), words(&edited, "6.1.32"));
}

#[test]
fn what_is_there_for_all_kernels_decides_for_each() {
    let source = |text: &[u8]| {
        let content = Some(Sha256Digest::of(text));
        [SourceIdentity::Named(NamedIdentity { content, ..named(&[], b"config") })]
    };
    assert_ne!(words(&source(b"one"), "6.1.31"), words(&source(b"two"), "6.1.31"));
}

#[test]
fn order_of_trees_and_named_sources_decides_and_what_is_behind_a_tree_does_not() {
    let (tree, other) = (tree("6.12.31-a", b"tree"), tree("6.12.31-a", b"other"));
    let first = [tree.clone(), building(&[])];
    let turned = [building(&[]), tree.clone()];
    assert_ne!(words(&first, "6.12.31-a"), words(&turned, "6.12.31-a"));
    assert_eq!(words(&first, "6.12.31-a"), words(&[tree.clone(), other], "6.12.31-a"));
    assert_eq!(words(&first, "6.12.31-b"), words(&turned, "6.12.31-b"));
}

#[test]
fn symbols_are_needed_where_the_server_may_build_the_kernel() {
    let stock = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.57-1 (2025-11-05)";
    let own = "#1 SMP PREEMPT_DYNAMIC Mon Nov 2 10:00:00 UTC 2026";
    let needs = |sources: &[SourceIdentity], version: Option<&str>, has_baseline| {
        let identity = BuilderIdentity { sources: sources.to_vec(), ..BuilderIdentity::default() };
        let target = TargetFacts {
            build_id: Some("0123456789abcdef".parse().expect("a build-id")),
            kernel_version: version.map(str::to_owned),
            ..TargetFacts::new(release("6.12.57+deb13-amd64"), Architecture::X86_64)
        };
        let unknown = TargetFacts { build_id: None, ..target.clone() };
        let use_of = identity.use_of_symbols(&unknown, has_baseline);
        assert_eq!(use_of, SymbolUse::Decide, "without a build-id always");
        identity.use_of_symbols(&target, has_baseline)
    };
    let (none, at_hand, decide) = (SymbolUse::None, SymbolUse::AtHand, SymbolUse::Decide);
    let of_gentoo = building(&["*-gentoo*"]);
    // Debian's archive that nobody named is the last one.
    assert_eq!(needs(&[], Some(stock), false), none);
    assert_eq!(needs(&[], Some(own), false), none);
    assert_eq!(needs(&[of_gentoo, debian()], Some(own), false), none);
    // The archive may have lost it, or never had it.
    assert_eq!(needs(&[debian(), building(&[])], Some(stock), false), at_hand);
    assert_eq!(needs(&[building(&[]), debian()], Some(stock), false), decide);
    assert_eq!(needs(&[building(&[])], Some(stock), false), decide);
    let tree = tree("6.12.57+deb13-amd64", b"tree");
    assert_eq!(needs(std::slice::from_ref(&tree), Some(stock), false), decide);
    assert_eq!(needs(&[debian(), tree.clone()], Some(stock), false), at_hand);
    // A source of stock kernels passes these on to the next one.
    for (version, has_baseline) in [(Some(own), false), (None, false), (Some(stock), true)] {
        let sources = [debian(), building(&[])];
        assert_eq!(needs(&sources, version, has_baseline), decide, "{version:?}");
        let sources = [debian(), tree.clone()];
        assert_eq!(needs(&sources, version, has_baseline), decide, "{version:?}");
    }
}

#[test]
fn stamp_is_that_of_the_same_builder_only() {
    let stamp = |sources: &[SourceIdentity]| {
        let identity = BuilderIdentity {
            common: "1.2.0+a b c".to_owned(),
            sources: sources.to_vec(),
            rules: "x 1".to_owned(),
        };
        identity.stamp()
    };
    let whole = || NamedIdentity {
        places: vec!["/srv/{release}.tar".parse().expect("a template")],
        files: BTreeMap::from([("/srv/6.1.0.tar".to_owned(), Sha256Digest::of(b"file"))]),
        content: Some(Sha256Digest::of(b"content")),
        ..named(&["6.1.*"], b"one")
    };
    let of = |named: NamedIdentity| stamp(&[SourceIdentity::Named(named)]);
    assert_eq!(of(whole()), of(whole()));
    assert_eq!(of(whole()).version(), "1.2.0+a");
    let others = [
        stamp(&[]),
        stamp(&[tree("6.1.0", b"one")]),
        stamp(&[tree("6.1.1", b"one")]),
        stamp(&[tree("6.1.0", b"two")]),
        stamp(&[tree("6.1.0", b"one"), tree("6.1.1", b"one")]),
        stamp(&[tree("6.1.1", b"one"), tree("6.1.0", b"one")]),
        of(whole()),
        of(NamedIdentity { digest: Sha256Digest::of(b"two"), ..whole() }),
        of(NamedIdentity { releases: Vec::new(), ..whole() }),
        of(NamedIdentity { builds_kernels: false, ..whole() }),
        of(NamedIdentity { places: Vec::new(), ..whole() }),
        of(NamedIdentity { files: BTreeMap::new(), ..whole() }),
        of(NamedIdentity { content: None, ..whole() }),
    ];
    let allowing = BuilderStamp { rules: "x 2".to_owned(), ..of(whole()) };
    assert!(!others.contains(&allowing));
    for (index, one) in others.iter().enumerate() {
        assert!(!others[..index].contains(one), "{index}: {one:?}");
    }
}
