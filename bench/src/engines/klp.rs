//! One file, warm, by the klp-build engine.

use elivepatch_model::Engine;

use super::{Setting, kpatch::one_file};
use crate::{figures::Figures, median::median, note, say};

/// How many builds the median is taken of.
const BUILDS: u32 = 5;

pub fn measure(setting: &Setting, figures: &mut Figures) -> anyhow::Result<()> {
    let kernel = setting.kernel(&setting.newest);
    say(format!("the base of {} and its originals: built on first use", kernel.target.release));
    let first = kernel.build("klp-first", &[one_file(0)], Some(Engine::KlpBuild))?;
    note(format!("{:.1} s to the first module", first.to_module));
    say(format!("one file, warm, {BUILDS} times"));
    let mut times = Vec::new();
    for variant in 1..=BUILDS {
        let name = format!("klp-{variant}");
        let build = kernel.build(&name, &[one_file(variant)], Some(Engine::KlpBuild))?;
        note(format!("{:.2} s {:?}", build.to_module, build.steps));
        times.push(build.to_module);
    }
    let warm = median(times);
    figures.seconds("klp.warm", warm).target(12.0);
    let by_kpatch = kernel.build("klp-kernel-by-kpatch", &[one_file(1)], Some(Engine::Kpatch))?;
    let again = kernel.build("klp-kernel-by-kpatch-2", &[one_file(2)], Some(Engine::Kpatch))?;
    note(format!("the same by the kpatch engine: {:.2} s", again.to_module));
    figures
        .seconds("klp.by_kpatch_engine", again.to_module.min(by_kpatch.to_module))
        .compared_with("klp.warm", warm);
    Ok(())
}
