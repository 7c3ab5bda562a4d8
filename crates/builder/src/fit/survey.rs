//! Comparing many objects of a stock kernel with its code, picked across the whole tree: whether a
//! kernel's source, config and compiler give what its packages hold.

use std::collections::BTreeSet;

use camino::Utf8Path;
use elivepatch_model::{Failure, KernelConfig, KernelRelease};

use super::code::{CodeProver, Compared};
use crate::{
    Builder, Observer,
    base::{Base, BaseInput, KernelMake, Supply, Workspace},
    debian::{find_kernel, stock_config},
    engine::PlainCompiler,
    failures::internal,
    ownership::is_regular_file,
    source::KernelSource,
    unit::{Parent, Unit},
};

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct FitSurveyInput {
    /// A stock kernel of Debian's archive.
    pub release: KernelRelease,
    /// How many objects, or all when there are fewer.
    pub objects: usize,
    /// The sources of these objects, by their paths in the tree; when there are none, the objects are
    /// picked.
    pub sources: Vec<String>,
}

/// What came out.
#[derive(Debug, Default)]
pub struct FitSurvey {
    /// The version of the kernel's packages.
    pub version: String,
    /// The objects that are equal.
    pub equal: Vec<SurveyedObject>,
    /// How many objects are not.
    pub differing: usize,
    /// What was found of those.
    pub failures: Vec<Failure>,
    /// How long compiling took, in seconds.
    pub compile_seconds: f64,
    /// How long all else took, in seconds.
    pub compare_seconds: f64,
}

/// An object whose functions are all the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedObject {
    /// Its path in the source tree.
    pub object: String,
    /// `vmlinux` or a module's name.
    pub parent: String,
    /// How many of its functions are equal.
    pub functions: usize,
    /// How many weak ones have no part in the kernel.
    pub overridden: usize,
    /// How many fields were compared by where they lead.
    pub fields: u64,
}

impl Builder {
    /// Compares objects of a stock kernel with its own code. The base is taken from the cache or
    /// prepared; `work` is an empty directory.
    ///
    /// # Errors
    /// `release-unknown` when the archive has no such kernel; those of preparing the base and of
    /// compiling. Objects that differ are no error.
    pub fn survey_fit(
        &self,
        input: &FitSurveyInput,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<FitSurvey, Failure> {
        let apt = self.apt()?;
        let packages = find_kernel(apt, &input.release, None, observer)?;
        let version = packages.version.to_string();
        let text = stock_config(apt, &input.release, observer)?;
        let config = KernelConfig::parse(&text)
            .map_err(|error| internal(format!("the stock config: {error}")))?;
        let toolchain = self.toolchains.root_for(&config, apt, observer)?;
        let source = KernelSource::Debian(Box::new(packages));
        let base_input = BaseInput {
            release: &input.release,
            config: &config,
            config_text: &text,
            source: &source,
            baseline: &[],
            toolchain: &toolchain,
            jobs: self.jobs(),
            base_limits: self.options.base_limits,
        };
        let supply = Supply { apt: &|| self.apt(), source: &|| Ok(Vec::new()) };
        let (base, _) = Base::ready(&base_input, &self.cache, &supply, &self.sandbox, observer)?;
        let make =
            KernelMake::new(&toolchain, &input.release, self.jobs()).objtool_for_kpatch(&config);
        let root = toolchain.path();
        let workspace = Workspace::make(&base, &root, &self.sandbox, work, "plain", observer)?;
        let compiler =
            PlainCompiler { base: &base, make: &make, workspace, sandbox: &self.sandbox, observer };
        let index = base.sources()?;
        // Kbuild writes some sources itself when it links the kernel.
        let tree = base.tree();
        let mut units = index.units();
        units.retain(|unit| is_regular_file(&tree, &unit.source));
        let units = match input.sources.is_empty() {
            true => pick(&units, input.objects),
            false => {
                units.into_iter().filter(|unit| input.sources.contains(&unit.source)).collect()
            }
        };
        let Compared { equal, failures, took } = CodeProver { compiler }.compare(&units)?;
        let differing = units.len() - equal.len();
        let equal = equal.into_iter().map(|fit| SurveyedObject {
            object: fit.object,
            parent: fit.parent,
            functions: fit.functions.len(),
            overridden: fit.overridden.len(),
            fields: fit.fields,
        });
        Ok(FitSurvey {
            version,
            equal: equal.collect(),
            differing,
            failures,
            compile_seconds: took.compiling.as_secs_f64(),
            compare_seconds: took.comparing.as_secs_f64(),
        })
    }
}

/// Picks objects at even distances from all that are compiled from C, half of them of vmlinux and half
/// of modules: the same of the same kernel each time.
fn pick<'a>(units: &BTreeSet<&'a Unit>, number: usize) -> Vec<&'a Unit> {
    let is_plain = |unit: &Unit| !unit.is_entered_twice();
    let of_c =
        || units.iter().copied().filter(|unit| unit.source.ends_with(".c") && is_plain(unit));
    let (vmlinux, modules): (Vec<&Unit>, Vec<&Unit>) =
        of_c().partition(|unit| unit.parent == Parent::Vmlinux);
    let half = (number / 2).min(modules.len());
    let mut picked = evenly(&vmlinux, number - half);
    picked.extend(evenly(&modules, half));
    picked
}

fn evenly<'a>(units: &[&'a Unit], number: usize) -> Vec<&'a Unit> {
    let number = number.min(units.len());
    (0..number).map(|at| units[at * units.len() / number]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_picked_evenly_of_vmlinux_and_modules() {
        let of = |count: usize, parent: &Parent, ending: &str| -> Vec<Unit> {
            let parents = (0..count).map(|_| parent.clone()).enumerate();
            let unit = |(at, parent)| Unit::beside(&format!("d{at:03}/a{ending}"), parent);
            parents.map(unit).collect()
        };
        let mut all = of(100, &Parent::Vmlinux, ".c");
        all.extend(of(50, &Parent::Vmlinux, ".S"));
        all.extend(of(10, &Parent::Module("m".to_owned()), ".c"));
        let set: BTreeSet<&Unit> = all.iter().collect();
        let picked = pick(&set, 8);
        let names: Vec<String> =
            picked.iter().map(|unit| format!("{} {}", unit.object(), unit.parent)).collect();
        assert_eq!(
            names[..5],
            [
                "d000/a.o vmlinux",
                "d025/a.o vmlinux",
                "d050/a.o vmlinux",
                "d075/a.o vmlinux",
                "d000/a.o m"
            ]
        );
        assert_eq!(pick(&set, 8), picked);
        assert_eq!(pick(&set, 1000).len(), 110);
        assert!(pick(&set, 0).is_empty());
    }
}
