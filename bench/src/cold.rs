//! The first build of a kernel whose packages are there: `build.cold`.

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{Apt, Cache, DebianOptions, SilentObserver};
use elivepatch_model::StepName;
use tokio::runtime::Runtime;

use crate::{
    figures::Figures,
    note, say,
    server::Server,
    setting::Setting,
    timed_build::{TimedBuild, Until},
    warm::LivepatchByHand,
};

/// The variant of the patch that is built cold.
const VARIANT: u32 = 50;

/// Measures a build without a base. Gives the target's vmlinux, which doing it by hand left.
pub fn measure(
    setting: &Setting,
    runtime: &Runtime,
    warm: LivepatchByHand,
    figures: &mut Figures,
) -> anyhow::Result<Utf8PathBuf> {
    say("a build without a base: packages and toolchain root are there");
    let cache = cache_without_bases(setting)?;
    let server = Server::start(setting, "cold", &cache)?;
    let build = runtime.block_on(TimedBuild::run(setting, &server, VARIANT, Until::Module))?;
    drop(server);
    let parts = [StepName::Source, StepName::Toolchain, StepName::Base];
    let part = |step| build.step(step).unwrap_or_default();
    note(format!("{:.2} s to the module, base {:.2} s", build.to_module, part(StepName::Base)));

    say("the same by hand");
    let (seconds, vmlinux) = warm.by_hand.base()?;
    note(format!("{seconds:.2} s to the base"));
    figures
        .seconds("build.cold", build.to_module)
        .compared_with(
            "unpack, configure and modules_prepare by hand, then as build.warm's",
            seconds + warm.seconds,
        )
        .target(60.0);
    for step in parts {
        figures.seconds(format!("build.cold.{step}"), part(step));
    }
    Ok(vmlinux)
}

/// A cache that shares packages and toolchain roots with the real one and has no bases.
///
/// apt's directory is a copy: its configuration names the directory that it lies in. apt's own
/// table of the index is made before, as in a cache that has been used.
fn cache_without_bases(setting: &Setting) -> anyhow::Result<Utf8PathBuf> {
    let cache = setting.scratch.join("cache");
    fs_err::create_dir_all(&cache)?;
    for shared in ["packages", "toolchain-roots"] {
        fs_err::os::unix::fs::symlink(setting.cache.join(shared), cache.join(shared))?;
    }
    copy_tree(&setting.cache.join("apt"), &cache.join("apt"))
        .context("the cache's apt directory cannot be copied")?;
    let apt = Apt::open(&Cache::open(&cache)?, &DebianOptions::default())?;
    apt.names("linux-image-", &SilentObserver)?;
    Ok(cache)
}

fn copy_tree(from: &Utf8Path, to: &Utf8Path) -> anyhow::Result<()> {
    // cp keeps the times, by which apt knows how old its index is.
    let status = std::process::Command::new("cp")
        .args(["--archive", "--", from.as_str(), to.as_str()])
        .status()?;
    anyhow::ensure!(status.success(), "cp ended with {status}");
    Ok(())
}
