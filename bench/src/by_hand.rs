//! What elivepatch is compared with: the same work by hand, with the same compiler in the same
//! sandbox, but without a server and without anything beside the plain commands.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{Overlay, SandboxCommand, SilentObserver};
use elivepatch_model::{KernelRelease, Manifest, StepName};
use serde::Deserialize;

use crate::setting::Setting;

const LIVEPATCH: &str = include_str!("../by-hand/livepatch.sh");
const BASE: &str = include_str!("../by-hand/base.sh");

/// create-diff-object's environment variables for the sizes of the kernel's special structures.
const STRUCT_VARIABLES: [(&str, &str); 8] = [
    ("alt_instr", "ALT_STRUCT_SIZE"),
    ("bug_entry", "BUG_STRUCT_SIZE"),
    ("exception_table_entry", "EX_STRUCT_SIZE"),
    ("jump_entry", "JUMP_STRUCT_SIZE"),
    ("orc_entry", "ORC_STRUCT_SIZE"),
    ("paravirt_patch_site", "PARA_STRUCT_SIZE"),
    ("static_call_site", "STATIC_CALL_STRUCT_SIZE"),
    ("pi_entry", "PRINTK_INDEX_STRUCT_SIZE"),
];

/// The tools and the base that a person would work with: those that the server uses.
pub struct ByHand<'a> {
    setting: &'a Setting,
    manifest: Manifest,
    root: Utf8PathBuf,
    base: Utf8PathBuf,
    struct_sizes: BTreeMap<String, u64>,
}

/// What is needed of a base's `base.json`.
#[derive(Deserialize)]
struct BaseFacts {
    release: KernelRelease,
    source: BaseSource,
    struct_sizes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct BaseSource {
    version: String,
}

impl<'a> ByHand<'a> {
    /// Finds what a build of the server was made with.
    ///
    /// # Errors
    /// When the cache does not hold it.
    pub fn new(setting: &'a Setting, manifest: Manifest) -> anyhow::Result<Self> {
        let root =
            setting.cache.join("toolchain-roots").join(&manifest.toolchain.name).join("root");
        let (base, facts) = find_base(&setting.cache.join("bases"), &manifest)?;
        Ok(Self { setting, manifest, root, base, struct_sizes: facts.struct_sizes })
    }

    /// A tool as a build runs it: with an overlay over the base and a work directory. `name` names
    /// the directories.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn tool(&self, name: &str, program: &[&str]) -> anyhow::Result<SandboxCommand> {
        let work = self.work(name)?;
        let layer = work.with_file_name(format!("{name}.layer"));
        self.setting.sandbox.make_layer(&layer)?;
        Ok(SandboxCommand::new(&self.root, program.iter().copied())
            .overlay(Overlay { lower: self.base.join("tree"), between: Vec::new(), layer })
            .writable(&work, "/work")
            .directory("/build"))
    }

    /// Makes a livepatch of a variant of the patch. Gives what it took, in seconds.
    ///
    /// # Errors
    /// When a command fails.
    pub fn livepatch(&self, variant: u32) -> anyhow::Result<f64> {
        let name = format!("by-hand-{variant}");
        let object = self.setting.object()?;
        let module = format!("livepatch_by_hand_{variant}");
        let mut command = self.tool(&name, &["sh", "-c", LIVEPATCH, "sh", &object, &module])?;
        command = command.read_only(&self.base.join("vmlinux.symtab"), "/symtab");
        for (structure, variable) in STRUCT_VARIABLES {
            if let Some(size) = self.struct_sizes.get(structure) {
                command = command.environment(variable, size.to_string());
            }
        }
        let work = self.work(&name)?;
        fs_err::write(work.join("fix.patch"), self.setting.patch(variant))?;
        let seconds = self.run(command)?;
        let module = work.join(format!("{module}.ko"));
        if !module.exists() {
            bail!("no module came out of the commands by hand: {module}");
        }
        Ok(seconds)
    }

    /// Prepares a base. Gives what it took, in seconds, and the target's vmlinux.
    ///
    /// # Errors
    /// When a command fails.
    pub fn base(&self) -> anyhow::Result<(f64, Utf8PathBuf)> {
        let work = self.work("base")?;
        let tree = work.with_file_name("base.tree");
        self.setting.sandbox.make_directory(&tree)?;
        fs_err::write(work.join("config"), &self.setting.config)?;
        let release = &self.setting.target.release;
        let source = self.package("linux-source-")?;
        let headers = self.package("linux-headers-")?;
        let debug = self.package(&format!("linux-image-{release}-dbg"))?;
        let command =
            SandboxCommand::new(&self.root, ["sh", "-c", BASE, "sh", &source, &headers, &debug])
                .read_only(&self.setting.cache.join("packages"), "/packages")
                .writable(&tree, "/build")
                .writable(&work, "/work")
                .directory("/build");
        let seconds = self.run(command)?;
        fs_err::remove_dir_all(&tree)?;
        Ok((seconds, work.join("vmlinux")))
    }

    /// Runs a command as the server would. Gives what it took, in seconds.
    ///
    /// # Errors
    /// When it fails, with its last lines.
    pub fn run(&self, command: SandboxCommand) -> anyhow::Result<f64> {
        let compiler = self.manifest.toolchain.compiler.split(' ').next().unwrap_or_default();
        let jobs = std::thread::available_parallelism().context("no number of cores")?;
        let command = command
            .environment("COMPILER", compiler)
            .environment("RELEASE", self.setting.target.release.as_str())
            .environment("JOBS", jobs.to_string());
        let sandbox = &self.setting.sandbox;
        let started = Instant::now();
        let class = elivepatch_model::FailureClass::Internal;
        sandbox.run_checked(&command, StepName::Compile, &SilentObserver, class).map_err(
            |failure| {
                let details = failure.details.join("\n");
                anyhow::Error::new(failure).context(format!("by hand it does not work:\n{details}"))
            },
        )?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn work(&self, name: &str) -> anyhow::Result<Utf8PathBuf> {
        let work = self.setting.scratch.join(name);
        self.setting.sandbox.make_directory(&work)?;
        Ok(work)
    }

    /// The file of the package that the manifest names, as the sandbox sees it.
    fn package(&self, prefix: &str) -> anyhow::Result<String> {
        let mut packages = self.manifest.source.packages.iter();
        let package = packages
            .find(|package| package.name.starts_with(prefix))
            .with_context(|| format!("the manifest names no package {prefix}…"))?;
        let begins = format!("{}_{}_", package.name, package.version);
        for entry in self.setting.cache.join("packages").read_dir_utf8()? {
            let entry = entry?;
            if entry.file_name().starts_with(&begins) && entry.file_name().ends_with(".deb") {
                return Ok(format!("/packages/{}", entry.file_name()));
            }
        }
        bail!("the cache has no file of {} {}", package.name, package.version)
    }
}

/// The newest base of the manifest's kernel: the server that made the livepatch found or made it.
fn find_base(bases: &Utf8Path, manifest: &Manifest) -> anyhow::Result<(Utf8PathBuf, BaseFacts)> {
    let mut found = Vec::new();
    for entry in bases.read_dir_utf8().context("the cache has no bases")? {
        let path = entry?.into_path();
        let file = path.join("base.json");
        let (Ok(text), Ok(metadata)) = (fs_err::read(&file), fs_err::metadata(&file)) else {
            continue;
        };
        // An older version's base has other facts.
        let Ok(facts) = serde_json::from_slice::<BaseFacts>(&text) else { continue };
        if facts.release == manifest.release && facts.source.version == manifest.source.version {
            found.push((metadata.modified()?, path, facts));
        }
    }
    let newest = found.into_iter().max_by_key(|(modified, _, _)| *modified);
    let (_, path, facts) =
        newest.with_context(|| format!("{bases} has no base of {}", manifest.release))?;
    Ok((path, facts))
}
