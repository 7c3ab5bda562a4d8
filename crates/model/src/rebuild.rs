use serde::{Deserialize, Serialize};

use crate::{Manifest, Sha256Digest, SourceRecord, ToolchainRecord};

/// The livepatch that a build makes again, with what it was made from: another source or toolchain
/// root would give other bytes, and is refused before anything is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RebuildOf {
    /// The digest of its module.
    pub module: Sha256Digest,
    /// What was compiled.
    pub source: SourceRecord,
    /// What compiled it.
    pub toolchain: ToolchainRecord,
    /// What decided the builder's results ([`Manifest::builder`]).
    pub builder: String,
    /// Go on with another source or toolchain root: the results are compared all the same.
    #[serde(default)]
    pub anyway: bool,
}

impl RebuildOf {
    /// The livepatch of a manifest.
    pub fn of(manifest: &Manifest, anyway: bool) -> Self {
        Self {
            module: manifest.module.digest,
            source: manifest.source.clone(),
            toolchain: manifest.toolchain.clone(),
            builder: manifest.builder.clone(),
            anyway,
        }
    }

    /// In what a builder with the identity `now` differs, as far as it decides what it makes of this
    /// request: its version, its engines and the recipe of the toolchain root. Recipes of other
    /// roots come and go without a change for this livepatch.
    pub fn builder_differences(&self, now: &str) -> Vec<Difference> {
        let then = BuilderWords::of(&self.builder, &self.toolchain.name);
        let now = BuilderWords::of(now, &self.toolchain.name);
        let recipe = format!("recipe of the toolchain root {}", self.toolchain.name);
        let none = "none";
        let mut differences = Vec::new();
        compare(&mut differences, "version of the builder", then.version, now.version);
        compare(&mut differences, &recipe, then.recipe.unwrap_or(none), now.recipe.unwrap_or(none));
        differences
    }
}

/// What of a builder's identity, `VERSION+REVISION NAME DIGEST …`, decides about a build
/// with one toolchain root. Manifests of older versions have an engine's name behind the version.
struct BuilderWords<'a> {
    version: &'a str,
    recipe: Option<&'a str>,
}

impl<'a> BuilderWords<'a> {
    fn of(identity: &'a str, toolchain: &str) -> Self {
        let mut words = identity.split_whitespace();
        let version = words.next().unwrap_or_default();
        words.find(|word| *word == toolchain);
        Self { version, recipe: words.next() }
    }
}

/// One thing that two livepatches do not have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// As the first has it.
    pub then: String,
    /// As the second has it.
    pub now: String,
}

/// In what two manifests of the same request differ, beside the module itself: what explains that
/// its bytes are others comes first.
pub fn manifest_differences(then: &Manifest, now: &Manifest) -> Vec<Difference> {
    let mut found = RebuildOf::of(then, false).builder_differences(&now.builder);
    let mut add = |what: &str, then: String, now: String| compare(&mut found, what, &then, &now);
    add("toolchain root", then.toolchain.name.clone(), now.toolchain.name.clone());
    let (digest_then, digest_now) = (then.toolchain.digest, now.toolchain.digest);
    add("packages of the toolchain root", digest_then.to_string(), digest_now.to_string());
    add("compiler", then.toolchain.compiler.clone(), now.toolchain.compiler.clone());
    add("source", source(&then.source), source(&now.source));
    add("vmlinux", then.build_id.to_string(), now.build_id.to_string());
    add("base", format!("{:?}", then.base), format!("{:?}", now.base));
    add("engine", then.engine.to_string(), now.engine.to_string());
    add("adaptations", adaptations(then), adaptations(now));
    add("functions", functions(then), functions(now));
    add("vermagic", then.module.vermagic.clone(), now.module.vermagic.clone());
    add("signer of the module", signer(then), signer(now));
    found
}

fn compare(found: &mut Vec<Difference>, what: &str, then: &str, now: &str) {
    if then != now {
        let (then, now) = (then.to_owned(), now.to_owned());
        found.push(Difference { what: what.to_owned(), then, now });
    }
}

fn source(record: &SourceRecord) -> String {
    let mut words = vec![format!("{} {}", record.kind, record.version)];
    words.extend(record.lines());
    words.join(", ")
}

fn adaptations(manifest: &Manifest) -> String {
    manifest.adaptations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn signer(manifest: &Manifest) -> String {
    match &manifest.module.signature {
        Some(by) => format!("{} (key {}, {})", by.signer, by.key_id, by.hash),
        None => "nobody".to_owned(),
    }
}

fn functions(manifest: &Manifest) -> String {
    let mut names: Vec<String> = manifest
        .functions
        .iter()
        .map(|function| format!("{}:{},{}", function.object, function.name, function.position))
        .collect();
    names.sort();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebuild(builder: &str) -> RebuildOf {
        let digest = Sha256Digest::of(b"x");
        RebuildOf {
            module: digest,
            source: SourceRecord {
                kind: "debian".to_owned(),
                version: "6.1.176-1".to_owned(),
                ..SourceRecord::default()
            },
            toolchain: ToolchainRecord {
                name: "debian-12-gcc-12".to_owned(),
                digest,
                compiler: "gcc-12".to_owned(),
            },
            builder: builder.to_owned(),
            anyway: false,
        }
    }

    #[test]
    fn only_what_decides_about_this_livepatch_is_a_difference_of_the_builder() {
        let then = rebuild("0.2.0 kpatch debian-12-gcc-12 aa debian-13-gcc-14 bb");
        for same in [
            "0.2.0 kpatch debian-12-gcc-12 aa debian-13-gcc-14 bb",
            "0.2.0 kpatch debian-13-gcc-14 cc debian-12-gcc-12 aa",
        ] {
            assert_eq!(then.builder_differences(same), []);
        }
        for (now, what) in [
            ("0.3.0 kpatch debian-12-gcc-12 aa", "version of the builder: 0.2.0 → 0.3.0"),
            (
                "0.2.0 kpatch debian-12-gcc-12 zz",
                "recipe of the toolchain root debian-12-gcc-12: aa → zz",
            ),
            ("0.2.0 kpatch", "recipe of the toolchain root debian-12-gcc-12: aa → none"),
        ] {
            let found = then.builder_differences(now);
            let text: Vec<String> = found
                .iter()
                .map(|one| format!("{}: {} → {}", one.what, one.then, one.now))
                .collect();
            assert_eq!(text, [what]);
        }
    }
}
