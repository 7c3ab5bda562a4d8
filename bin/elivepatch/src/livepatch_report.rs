//! What is known of a livepatch, on standard output. All of it may come from a stranger.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use comfy_table::Table;
use elivepatch_host::{Livepatch, LivepatchMaker, ManifestTrust, ModuleFile, PatchedFunction};
use elivepatch_model::{BaseKind, ElfBuildId, Fix, Manifest, Sha256Digest, clamp_line};
use elivepatch_signature::Signature;
use serde::Serialize;

use crate::{
    fix_name::cves_in,
    output::data,
    problem::Problem,
    report::{adaptation_text, built_base_text, fit_text, row, table, trial_rows},
    text::{printable, printable_lines},
};

/// The longest text of a module about itself that is shown, in characters.
const SAID_CHARACTERS: usize = 300;
/// How many such texts are shown, and how many functions of an object: what is left out is counted.
const MOST_SHOWN: usize = 40;

/// A livepatch, as `--json` has it.
#[derive(Debug, Serialize)]
pub struct Shown {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Sha256Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Whether the kernel is to take it as a livepatch.
    is_livepatch: bool,
    /// What it is on this machine; absent when it is nothing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vermagic: Option<String>,
    /// The build-id of the module itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    module_build_id: Option<ElfBuildId>,
    /// Whether a signature stands at its end, of whomever.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<bool>,
    /// `kpatch` or `klp-build`, by its sections.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_by: Option<&'static str>,
    /// Names of the functions that it replaces, by the object that they are in.
    functions: BTreeMap<String, BTreeSet<String>>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    says: Vec<(&'static str, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    /// What its manifest's signature is on this machine, in words; absent without a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_signature: Option<String>,
    /// Why there is no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

impl Shown {
    /// A module, with its manifest where there is one, and what it is on this machine.
    pub fn module(module: ModuleFile, manifest: Option<Manifest>, state: Option<String>) -> Self {
        let made_by = module.maker.map(|maker| match maker {
            LivepatchMaker::Kpatch => "kpatch",
            LivepatchMaker::KlpBuild => "klp-build",
        });
        let unknown = manifest.is_none().then(|| {
            "it has no manifest: what fixes are in it, what it was built from and whether it was tried is not known"
                .to_owned()
        });
        Self {
            functions: by_object(&module.functions),
            name: module.name,
            path: Some(module.path),
            digest: Some(module.digest),
            size_bytes: Some(module.size),
            is_livepatch: module.is_livepatch,
            state,
            vermagic: Some(module.vermagic),
            module_build_id: module.build_id,
            signed: Some(module.is_signed),
            made_by,
            says: module.says,
            manifest,
            manifest_signature: None,
            unknown,
        }
    }

    /// The same with what is to be said of its manifest's signature.
    #[must_use]
    pub fn with_signature(
        self,
        signature: Option<&[u8]>,
        trust: &ManifestTrust,
        text: &[u8],
    ) -> Self {
        let manifest_signature = self.manifest.as_ref().map(|_| signed_by(signature, trust, text));
        Self { manifest_signature, ..self }
    }

    /// One that is loaded, and of which nothing is kept here; `why` says why not.
    pub fn loaded(livepatch: Livepatch, why: String) -> Self {
        let state = if livepatch.is_active() { "active" } else { "in transition" };
        Self {
            functions: by_object(&livepatch.functions),
            name: livepatch.name,
            path: None,
            digest: None,
            size_bytes: None,
            is_livepatch: true,
            state: Some(state.to_owned()),
            vermagic: None,
            module_build_id: livepatch.build_id,
            signed: None,
            made_by: None,
            says: Vec::new(),
            manifest: None,
            manifest_signature: None,
            unknown: Some(format!("no more than the kernel tells of it is known ({why})")),
        }
    }
}

/// Who has signed a manifest.
fn signed_by(signature: Option<&[u8]>, trust: &ManifestTrust, text: &[u8]) -> String {
    match (signature.map(Signature::parse), trust) {
        (None, ManifestTrust::Anybody) => "none".to_owned(),
        (Some(Some(signature)), ManifestTrust::Anybody) => {
            format!(
                "by the key {}, which this machine does not have: not verified",
                signature.key()
            )
        }
        (Some(None), ManifestTrust::Anybody) => "what stands beside it is no signature".to_owned(),
        (_, trust) => match trust.verify(Some(text), signature) {
            Ok(()) => "by a key that this machine trusts".to_owned(),
            Err(obstacle) => format!("NOT to be trusted: {obstacle}"),
        },
    }
}

fn by_object(functions: &BTreeSet<PatchedFunction>) -> BTreeMap<String, BTreeSet<String>> {
    let mut objects = BTreeMap::<_, BTreeSet<_>>::new();
    for function in functions {
        let name = match function.position {
            0 | 1 => function.name.clone(),
            position => format!("{} (number {position} of that name)", function.name),
        };
        objects.entry(function.object.clone()).or_default().insert(name);
    }
    objects
}

/// Prints a livepatch.
pub fn print(shown: &Shown) -> Result<(), Problem> {
    let mut table = table();
    let table = &mut table;
    row(table, "livepatch", &said(&shown.name));
    if !shown.is_livepatch {
        row(table, "kind", "a kernel module, and no livepatch: it does not say livepatch=Y");
    }
    let state = shown.state.as_deref().unwrap_or("not loaded and not kept on this machine");
    row(table, "state", &printable(state));
    if let Some(manifest) = &shown.manifest {
        what_rows(table, manifest);
    }
    function_rows(table, &shown.functions, shown.made_by);
    match &shown.manifest {
        Some(manifest) => proof_rows(table, manifest),
        None => {
            if let Some(maker) = shown.made_by {
                row(table, "made by", &format!("{maker}, by its sections"));
            }
        }
    }
    module_rows(table, shown);
    if let Some(unknown) = &shown.unknown {
        row(table, "not known", &printable(unknown));
    }
    data(&table.to_string())
}

/// What a livepatch is for, and what is in it.
fn what_rows(table: &mut Table, manifest: &Manifest) {
    let image = match manifest.base {
        BaseKind::Prepared => Some(&manifest.build_id),
        BaseKind::Built => {
            manifest.request.as_ref().and_then(|request| request.target.build_id.as_ref())
        }
    };
    let image = image.map_or_else(|| "not told".to_owned(), ToString::to_string);
    row(table, "kernel", &format!("{}\nbuild-id {image}", manifest.release));
    let fixes: Vec<String> = manifest.fixes.iter().map(fix_text).collect();
    row(table, "fixes", &fixes.join("\n"));
    for adaptation in &manifest.adaptations {
        row(table, "adapted", &adaptation_text(adaptation));
    }
}

/// A fix with its digest, by which it can be named, and its CVEs where the name does not begin with the only one.
fn fix_text(fix: &Fix) -> String {
    let cves: Vec<String> = cves_in(&fix.name).into_iter().collect();
    let cves = match cves.is_empty() {
        true => String::new(),
        false => format!(", fixes {}", cves.join(", ")),
    };
    format!("{} (sha256 {:.12}{cves})", printable(&fix.name), fix.digest.to_string())
}

fn function_rows(
    table: &mut Table,
    objects: &BTreeMap<String, BTreeSet<String>>,
    made_by: Option<&str>,
) {
    if objects.is_empty() {
        let text = match made_by {
            Some(_) => "none",
            None => "not told by the file: neither kpatch nor klp-build has made it",
        };
        row(table, "functions replaced", text);
    }
    for (object, functions) in objects.iter().take(MOST_SHOWN) {
        let mut names: Vec<String> =
            functions.iter().take(MOST_SHOWN).map(|name| said(name)).collect();
        if functions.len() > MOST_SHOWN {
            names.push(format!("and {} more (--json)", functions.len() - MOST_SHOWN));
        }
        row(table, "functions replaced", &format!("{}: {}", said(object), names.join(", ")));
    }
    if objects.len() > MOST_SHOWN {
        let more = objects.len() - MOST_SHOWN;
        row(table, "functions replaced", &format!("in {more} more modules (--json)"));
    }
}

/// How a livepatch was made, and what shows that it is good.
fn proof_rows(table: &mut Table, manifest: &Manifest) {
    if manifest.base == BaseKind::Built {
        row(table, "base", &built_base_text(manifest));
    }
    let fit = manifest.fit.as_ref().map(fit_text);
    row(table, "fit", fit.as_deref().unwrap_or("not compared: an older server has built it"));
    row(table, "engine", manifest.engine.as_str());
    trial_rows(table, &manifest.trial);
    if let Some(audit) = &manifest.branch_audit {
        row(table, "branches", &printable_lines(&audit.note));
    }
    let source = &manifest.source;
    let built = format!(
        "{} by elivepatch {}\nfrom {} {}\nwith {} ({})",
        manifest.built_at.strftime("%Y-%m-%d %H:%M UTC"),
        printable(&manifest.builder_version),
        printable(&source.kind),
        printable(&source.version),
        printable(&manifest.toolchain.name),
        printable(&manifest.toolchain.compiler),
    );
    row(table, "built", &built);
}

/// The file itself.
fn module_rows(table: &mut Table, shown: &Shown) {
    if let Some(vermagic) = &shown.vermagic {
        row(table, "vermagic", &said(vermagic));
    }
    for (field, text) in shown.says.iter().take(MOST_SHOWN) {
        row(table, field, &said(text));
    }
    if let Some(path) = &shown.path {
        row(table, "file", &printable(&path.display().to_string()));
    }
    if let (Some(size), Some(digest)) = (shown.size_bytes, shown.digest) {
        row(table, "digest", &format!("sha256 {digest} ({size} bytes)"));
    }
    let build_id = shown.module_build_id.as_ref().map(ToString::to_string);
    row(table, "module's build-id", build_id.as_deref().unwrap_or("none"));
    if let Some(is_signed) = shown.signed {
        let text = match is_signed {
            true => "the module has one; whether a kernel trusts it, that kernel says",
            false => "none",
        };
        row(table, "signature", text);
    }
    if let Some(text) = &shown.manifest_signature {
        row(table, "manifest signed", &printable(text));
    }
}

/// A text of a stranger for one line.
fn said(text: &str) -> String {
    printable(&clamp_line(text, SAID_CHARACTERS))
}
