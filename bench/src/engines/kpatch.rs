//! One file, warm, by the kpatch engine: against kpatch-build, and against the compiler alone.

use anyhow::Context;
use camino::Utf8Path;
use elivepatch_builder::{Sandbox, SandboxLimits};
use elivepatch_model::Engine;

use super::{Setting, compile_only, timed::Kernel, variants};
use crate::{figures::Figures, median::median, note, reference::KpatchBuild, say};

/// The file that the measured fixes touch: an ordinary one of some 400 lines.
const FILE: &str = "fs/proc/meminfo.c";

/// How many builds the median is taken of.
const BUILDS: u32 = 5;

pub fn measure(setting: &Setting, figures: &mut Figures) -> anyhow::Result<()> {
    let source = &setting.plain;
    let kernel = setting.kernel(source);
    let object = FILE.replace(".c", ".o");
    say(format!("the base of {}: built on first use, some minutes", source.release));
    let first = kernel.build("kpatch-first", &[one_file(0)], Some(Engine::Kpatch))?;
    note(format!("{:.1} s to the first module", first.to_module));
    let base = source.base(&setting.cache_directory)?;

    say(format!("one file, warm, {BUILDS} times"));
    let mut times = Vec::new();
    for variant in 1..=BUILDS {
        let build = kernel.build(&format!("kpatch-{variant}"), &[one_file(variant)], None)?;
        note(format!("{:.2} s {:?}", build.to_module, build.steps));
        times.push(build.to_module);
    }
    let warm = median(times);
    let bare = compile_alone(setting, &kernel, &base, &object)?;
    note(format!("two compiler calls alone: {bare:.2} s"));
    figures
        .seconds("kpatch.over_compile", warm)
        .compared_with(
            "twice the two saved commands (compiler, objtool), and 1 s",
            2.0 * bare + 1.0,
        )
        .target(2.0 * bare + 1.0);
    Ok(())
}

/// The same fix by kpatch-build, which compiles the whole kernel.
pub fn measure_kpatch_build(setting: &Setting, figures: &mut Figures) -> anyhow::Result<()> {
    let source = &setting.plain;
    let base = source.base(&setting.cache_directory)?;
    let warm = figures.value("kpatch.over_compile").context("measured before")?;
    say("the same by kpatch-build, which compiles the kernel: some minutes");
    let work = setting.scratch.join("reference");
    let tarball = setting.tarball(source)?;
    let vmlinux = base.join("tree/vmlinux");
    let reference =
        KpatchBuild::open(&setting.cache, &setting.apt, &work, &tarball, &source.config, &vmlinux)?;
    let (_, text) = one_file(1);
    let built = reference.build("one-file", text.as_bytes())?;
    note(format!("{:.0} s", built.seconds));
    figures
        .times("kpatch.speedup", built.seconds / warm)
        .compared_with("kpatch-build's seconds over ours: at least", 60.0)
        .at_least(60.0);
    figures.seconds("kpatch.kpatch_build", built.seconds);
    Ok(())
}

/// A patch to [`FILE`], another one for each variant.
pub fn one_file(variant: u32) -> (String, String) {
    (format!("one-file-{variant}.patch"), variants::meminfo_label(variant))
}

fn compile_alone(
    setting: &Setting,
    kernel: &Kernel,
    base: &Utf8Path,
    object: &str,
) -> anyhow::Result<f64> {
    let work = setting.scratch.join("alone");
    fs_err::create_dir_all(&work)?;
    let sandbox = Sandbox::probe(SandboxLimits::default(), &work)?;
    let root = setting.toolchain_root(&kernel.config)?;
    let mut times = Vec::new();
    for round in 0..3 {
        let work = work.join(round.to_string());
        fs_err::create_dir_all(&work)?;
        times.push(compile_only::two_calls(&sandbox, &root, base, object, &work)?);
    }
    Ok(median(times))
}
