use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use elivepatch_builder::{BuilderOptions, Sandbox};
use elivepatch_model::{Architecture, KernelRelease, TargetFacts};

/// What is measured with.
#[derive(Debug, Args)]
pub struct Inputs {
    /// The server's program, optimised.
    #[arg(long, value_name = "FILE")]
    server: Utf8PathBuf,
    /// The cache that the demonstration fills.
    #[arg(long, value_name = "DIRECTORY")]
    cache: Utf8PathBuf,
    /// The target's release.
    #[arg(long)]
    release: KernelRelease,
    /// The target's config.
    #[arg(long, value_name = "FILE")]
    config: Utf8PathBuf,
    /// A patch of one file that builds; variants of it are ordered.
    #[arg(long, value_name = "FILE")]
    patch: Utf8PathBuf,
    /// Gets build.json, and the servers' logs.
    #[arg(long, value_name = "DIRECTORY")]
    output: Utf8PathBuf,
}

/// The inputs, read, and what all measurements share.
pub struct Setting {
    /// The server's program.
    pub server: Utf8PathBuf,
    /// The shared cache.
    pub cache: Utf8PathBuf,
    /// The kernel that livepatches are ordered for.
    pub target: TargetFacts,
    /// Its config.
    pub config: Vec<u8>,
    /// Where figures and logs go.
    pub output: Utf8PathBuf,
    /// Data directories, trees, vmlinux: removed at the end.
    pub scratch: Utf8PathBuf,
    /// The same sandbox as the server's, for what is done by hand.
    pub sandbox: Sandbox,
    patch: String,
}

/// The part of the shipped patch that is different in each variant.
const LABEL: &str = "VMALLOCCHUNK:   ";

impl Setting {
    /// Reads the inputs and makes the directories.
    ///
    /// # Errors
    /// When an input cannot be used, or the machine allows no sandbox.
    pub fn open(inputs: &Inputs) -> anyhow::Result<Self> {
        let absolute = |path: &Utf8Path| {
            camino::absolute_utf8(path).with_context(|| format!("{path} is no usable path"))
        };
        let output = absolute(&inputs.output)?;
        let scratch = output.join("scratch");
        remove_directory(&scratch)?;
        let probe = scratch.join("probe");
        fs_err::create_dir_all(&probe).context("there is nowhere to work")?;
        // What is made here is read by the sandbox's user, whatever the caller's mask.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let cache = absolute(&inputs.cache)?;
        let sandbox = Sandbox::probe(BuilderOptions::new(cache.clone()).limits, &probe)?;
        if !sandbox.overlays() {
            bail!("this machine allows no overlays: the figures would say nothing of others");
        }
        let patch = fs_err::read_to_string(&inputs.patch).context("no patch to order")?;
        if patch.matches(LABEL).count() != 1 {
            bail!("{} does not hold the label {LABEL:?} once", inputs.patch);
        }
        Ok(Self {
            server: absolute(&inputs.server)?,
            cache,
            target: TargetFacts::new(inputs.release.clone(), Architecture::X86_64),
            config: fs_err::read(&inputs.config).context("no config to send")?,
            output,
            scratch,
            sandbox,
            patch,
        })
    }

    /// A variant of the patch: another label, so that no server has an equal build.
    pub fn patch(&self, variant: u32) -> String {
        self.patch.replace(LABEL, &format!("VMALLOC{variant:05}:   "))
    }

    /// The object that the patched file is compiled to.
    ///
    /// # Errors
    /// When the patch does not name a C file.
    pub fn object(&self) -> anyhow::Result<String> {
        let line = self.patch.lines().find_map(|line| line.strip_prefix("+++ b/"));
        let source = line.and_then(|path| path.trim().strip_suffix(".c"));
        Ok(format!("{}.o", source.context("the patch is not one of a C file")?))
    }

    /// Removes what only the measuring needed.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_scratch(&self) -> anyhow::Result<()> {
        remove_directory(&self.scratch)
    }
}

fn remove_directory(path: &Utf8Path) -> anyhow::Result<()> {
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("an earlier run's files are in the way")
        }
        _ => Ok(()),
    }
}
