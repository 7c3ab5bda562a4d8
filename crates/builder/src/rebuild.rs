//! What a rebuild must have in common with the livepatch that it makes again.

use elivepatch_model::{Failure, FailureClass, RebuildOf, SourceRecord, ToolchainRecord};

use crate::BuildOrder;

/// What a rebuild that differs is told to do.
const HINT: &str = "rebuild on a server that has the same, or compare all the same: \
                    elivepatch rebuild --anyway";

/// The text that chooses among the versions of a release: `uname -v` of the target; where it is not
/// known, the version that the livepatch to be made again was compiled from, in the same form.
pub(crate) fn kernel_version(order: &BuildOrder) -> Option<String> {
    order.target.kernel_version.clone().or_else(|| {
        let rebuild = order.rebuild.as_ref().filter(|rebuild| rebuild.source.kind == "debian")?;
        Some(format!("Debian {}", rebuild.source.version))
    })
}

/// Refuses to go on with another source, unless the order says to.
pub(crate) fn check_source(order: &BuildOrder, found: &SourceRecord) -> Result<(), Failure> {
    let Some(rebuild) = strict(order) else { return Ok(()) };
    let then = &rebuild.source;
    if then.is_same(found) {
        return Ok(());
    }
    let (old, new) = (then.lines(), found.lines());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("then: {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("now:  {line}"));
    let message = format!(
        "the livepatch was compiled from {} {}, and the source here, {} {}, is another one",
        then.kind, then.version, found.kind, found.version
    );
    Err(Failure::new(FailureClass::RebuildDiffers, message, HINT).with_details(gone.chain(come)))
}

/// Refuses to go on with another toolchain root, unless the order says to.
pub(crate) fn check_toolchain(order: &BuildOrder, found: &ToolchainRecord) -> Result<(), Failure> {
    let Some(rebuild) = strict(order) else { return Ok(()) };
    let then = &rebuild.toolchain;
    if then == found {
        return Ok(());
    }
    let line = |when: &str, record: &ToolchainRecord| {
        format!("{when}: {} {}, {}", record.name, record.digest, record.compiler)
    };
    let message = if then.name == found.name {
        format!(
            "the toolchain root {} has other packages than when the livepatch was built",
            then.name
        )
    } else {
        format!("the livepatch was built with the toolchain root {}, not {}", then.name, found.name)
    };
    Err(Failure::new(FailureClass::RebuildDiffers, message, HINT)
        .with_details([line("then", then), line("now", found)]))
}

/// The livepatch that must be met exactly.
fn strict(order: &BuildOrder) -> Option<&RebuildOf> {
    order.rebuild.as_ref().filter(|rebuild| !rebuild.anyway)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use elivepatch_model::{Architecture, BuildKey, PackageRecord, Sha256Digest, TargetFacts};

    use super::*;

    fn source(digest: &[u8]) -> SourceRecord {
        let package = PackageRecord {
            name: "linux-source-6.1".to_owned(),
            version: "6.1.176-1".to_owned(),
            digest: Sha256Digest::of(digest),
        };
        SourceRecord {
            kind: "debian".to_owned(),
            version: "6.1.176-1".to_owned(),
            packages: vec![package],
            ..SourceRecord::default()
        }
    }

    fn toolchain(digest: &[u8]) -> ToolchainRecord {
        ToolchainRecord {
            name: "debian-12-gcc-12".to_owned(),
            digest: Sha256Digest::of(digest),
            compiler: "gcc-12 (Debian 12.2.0-14) 12.2.0".to_owned(),
        }
    }

    fn order(anyway: bool) -> BuildOrder {
        let digest = Sha256Digest::of(b"x");
        BuildOrder {
            key: BuildKey(digest),
            target: TargetFacts::new(
                "6.1.0-50-cloud-amd64".parse().expect("a release"),
                Architecture::X86_64,
            ),
            config: Vec::new(),
            fixes: Vec::new(),
            checks: Vec::new(),
            without: BTreeSet::new(),
            engine: None,
            rebuild: Some(RebuildOf {
                module: digest,
                source: source(b"then"),
                toolchain: toolchain(b"then"),
                builder: String::new(),
                anyway,
            }),
            replaces: None,
            stack: false,
            accept_unproven: false,
            kallsyms: None,
            baseline: Vec::new(),
        }
    }

    #[test]
    fn rebuild_takes_the_version_that_was_compiled_and_not_the_newest() {
        let mut order = order(false);
        assert_eq!(kernel_version(&order).as_deref(), Some("Debian 6.1.176-1"));
        order.target.kernel_version = Some("#1 SMP Debian 6.1.170-1 (2026-01-01)".to_owned());
        assert_eq!(kernel_version(&order), order.target.kernel_version);
        order.target.kernel_version = None;
        order.rebuild = None;
        assert_eq!(kernel_version(&order), None);
    }

    #[test]
    fn other_source_or_toolchain_is_refused_with_both_unless_the_order_goes_on_anyway() {
        let strict = order(false);
        check_source(&strict, &source(b"then")).expect("the same");
        check_toolchain(&strict, &toolchain(b"then")).expect("the same");
        let failure = check_source(&strict, &source(b"now")).expect_err("another");
        assert_eq!(failure.class, FailureClass::RebuildDiffers);
        assert_eq!(failure.details.len(), 2, "{failure:?}");
        let failure = check_toolchain(&strict, &toolchain(b"now")).expect_err("another");
        assert_eq!(failure.class, FailureClass::RebuildDiffers);
        assert!(failure.message.contains("has other packages"), "{failure}");
        let anyway = order(true);
        check_source(&anyway, &source(b"now")).expect("anyway");
        check_toolchain(&anyway, &toolchain(b"now")).expect("anyway");
    }
}
