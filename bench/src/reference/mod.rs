//! kpatch-build itself, in a root of its own: what the kpatch engine is compared with.

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{
    Apt, Cache, Recipe, Sandbox, SandboxCommand, SandboxLimits, SilentObserver, ToolchainRoot,
    Toolchains,
};
use elivepatch_model::{FailureClass, StepName};

const RECIPE: &str = include_str!("../../reference/kpatch-build.toml");
const WRAPPER: &str = include_str!("../../reference/create-diff-object.sh");

/// It compiles a whole kernel twice, and says nothing meanwhile: its output goes to a file.
const LIMITS: SandboxLimits = SandboxLimits {
    time: Duration::from_secs(3 * 3600),
    silence: Duration::from_secs(3 * 3600),
    memory_bytes: 16 << 30,
    processes: 2048,
    output_bytes: 64 << 20,
    disk_bytes: 24 << 30,
};

/// kpatch-build with a source tree that it may build in. The tree keeps its objects, so that each
/// further patch compiles only what it touches; the first one compiles all of the kernel.
pub struct KpatchBuild {
    sandbox: Sandbox,
    root: ToolchainRoot,
    work: Utf8PathBuf,
    jobs: usize,
}

/// What kpatch-build made, and how long it took.
pub struct ReferenceModule {
    /// From the call to the module, in seconds.
    pub seconds: f64,
    /// The module.
    pub module: Vec<u8>,
}

impl KpatchBuild {
    /// Makes the root if need be, and unpacks the source. `vmlinux` is that of the kernel to be
    /// patched.
    ///
    /// # Errors
    /// When a part cannot be made.
    pub fn open(
        cache: &Cache,
        apt: &Apt,
        work: &Utf8Path,
        tarball: &Utf8Path,
        config: &[u8],
        vmlinux: &Utf8Path,
    ) -> anyhow::Result<Self> {
        fs_err::create_dir_all(work.join("probe"))?;
        let sandbox = Sandbox::probe(LIMITS, &work.join("probe"))?;
        let recipe = Recipe::parse(RECIPE).context("the reference's recipe")?;
        let root = Toolchains::of(cache, vec![recipe.clone()]).root(
            &recipe,
            &|| Ok(apt),
            &SilentObserver,
        )?;
        let jobs = std::thread::available_parallelism()?.get();
        let this = Self { sandbox, root, work: work.to_owned(), jobs };
        for directory in ["tree", "scratch"] {
            this.sandbox.make_directory(&work.join(directory))?;
        }
        fs_err::create_dir(work.join("inputs"))?;
        fs_err::copy(tarball, work.join("inputs/source.tar.xz"))?;
        fs_err::write(work.join("inputs/config"), config)?;
        fs_err::copy(vmlinux, work.join("inputs/vmlinux"))?;
        this.stand_in_for_create_diff_object()?;
        let unpack = "tar --extract --xz --strip-components=1 --no-same-owner \
                      --file=/inputs/source.tar.xz && cp /inputs/config .config";
        this.run(&this.command(["sh", "-c", unpack]))?;
        Ok(this)
    }

    /// Makes a livepatch of a patch. The tree is as before afterwards, but for its objects.
    ///
    /// # Errors
    /// When kpatch-build fails, with the end of its log.
    pub fn build(&self, name: &str, patch: &[u8]) -> anyhow::Result<ReferenceModule> {
        fs_err::write(self.work.join(format!("inputs/{name}.patch")), patch)?;
        let script = r#"kpatch-build --sourcedir /build --config /inputs/config \
            --vmlinux /inputs/vmlinux --jobs "$2" --name "$1" --output /scratch \
            "/inputs/$1.patch" ||
            { status=$?; tail -n 40 /scratch/kpatch/build.log; exit $status; }"#;
        let command = self
            .command(["sh", "-c", script, "sh", name, &self.jobs.to_string()])
            .environment("CACHEDIR", "/scratch/kpatch");
        let started = Instant::now();
        self.run(&command)?;
        let seconds = started.elapsed().as_secs_f64();
        let module = fs_err::read(self.work.join(format!("scratch/{name}.ko")))?;
        Ok(ReferenceModule { seconds, module })
    }

    /// A copy of kpatch's tools with the stand-in among them; [`KpatchBuild::command`] shows it in
    /// their place.
    fn stand_in_for_create_diff_object(&self) -> anyhow::Result<()> {
        let tools = self.work.join("tools");
        let status = std::process::Command::new("cp")
            .args(["--recursive", self.root.path().join("usr/lib/kpatch").as_str(), tools.as_str()])
            .status()?;
        if !status.success() {
            bail!("cp ended with {status}");
        }
        let tool = tools.join("create-diff-object");
        fs_err::rename(&tool, tools.join("create-diff-object.real"))?;
        fs_err::write(&tool, WRAPPER)?;
        fs_err::set_permissions(&tool, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn command<'a>(&self, program: impl IntoIterator<Item = &'a str>) -> SandboxCommand {
        SandboxCommand::new(&self.root.path(), program)
            .writable(&self.work.join("tree"), "/build")
            .writable(&self.work.join("scratch"), "/scratch")
            .read_only(&self.work.join("inputs"), "/inputs")
            .read_only(&self.work.join("tools"), "/usr/lib/kpatch")
            .directory("/build")
    }

    fn run(&self, command: &SandboxCommand) -> anyhow::Result<()> {
        let class = FailureClass::Internal;
        self.sandbox.run_checked(command, StepName::Compile, &SilentObserver, class).map_err(
            |failure| {
                let details = failure.details.join("\n");
                anyhow::Error::new(failure).context(format!("the reference fails:\n{details}"))
            },
        )?;
        Ok(())
    }
}
