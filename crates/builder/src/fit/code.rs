//! Comparing compiled objects with a kernel's own code.

use std::{
    collections::{BTreeMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use elivepatch_elf::{
    CodeFit, CodeImage, CompiledCode, ElfError, ImageSymbols, ModuleCode, VmlinuxCode, VmlinuxFile,
};
use elivepatch_model::{Failure, FailureClass, Sha256Digest};

use super::{
    cause::{Differing, does_not_fit},
    kernel_file::kernel_code,
    store::{ObjectFit, Results},
};
use crate::{
    base::{Base, KernelMake, ModuleTable},
    engine::{Debug, PlainCompiler, on_all_cores::on_all_cores},
    failures::io_failure,
    unit::{Parent, Unit},
    untrusted_file::read_untrusted,
};

/// The largest module that is read, in bytes; amdgpu has some 20 MB without debug information.
const MODULE_BYTES: u64 = 128 * 1024 * 1024;

/// Objects that are in memory at once: the kernel's list of symbols is gone through once for each
/// such number.
const AT_ONCE: usize = 100;

/// What to do about code that cannot be compared.
const LEAVE_OUT: &str =
    "leave out what changes it; --accept-unproven makes the livepatch without the comparison";

/// The symbol of the text of `/proc/version`.
const BANNER: &str = "linux_banner";

/// What comparing took, beside compiling.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    pub compiling: Duration,
    pub comparing: Duration,
}

/// Compares objects of a prepared base with the code of its kernel.
pub(crate) struct CodeProver<'a> {
    pub compiler: PlainCompiler<'a>,
}

/// The results of comparing.
#[derive(Default)]
pub(crate) struct Compared {
    /// The objects that are equal.
    pub equal: Vec<ObjectFit>,
    /// Those that are not.
    pub failures: Vec<Failure>,
    pub took: Took,
}

/// Objects of which a base has it that they are equal, and those of which it has nothing.
pub(crate) struct Known<'u> {
    pub equal: Vec<ObjectFit>,
    pub missing: Vec<&'u Unit>,
    /// `fit-unproven` for each module that the kernel's packages have not.
    pub failures: Vec<Failure>,
}

impl<'u> Known<'u> {
    /// Looks up what is known of objects.
    ///
    /// # Errors
    /// Those of reading the base.
    pub(crate) fn of(base: &Base, make: &KernelMake, units: &[&'u Unit]) -> Result<Self, Failure> {
        let results = Results::of(base, make);
        let modules = Modules::read(base)?;
        let mut known = Self { equal: Vec::new(), missing: Vec::new(), failures: Vec::new() };
        for unit in units {
            let image = match modules.image_of(base, &unit.parent) {
                Ok(image) => image,
                Err(failure) if known.failures.contains(&failure) => continue,
                Err(failure) => {
                    known.failures.push(failure);
                    continue;
                }
            };
            match results.get(unit, image) {
                Some(fit) => known.equal.push(fit),
                None => known.missing.push(*unit),
            }
        }
        Ok(known)
    }
}

impl CodeProver<'_> {
    /// Compiles and compares objects, and keeps what is equal.
    ///
    /// # Errors
    /// Those of compiling and reading.
    pub(crate) fn compare(&self, units: &[&Unit]) -> Result<Compared, Failure> {
        let mut compared = Compared::default();
        let began = Instant::now();
        self.compiler.compile(units, Debug::Without)?;
        compared.took.compiling += began.elapsed();
        let differing = self.compare_compiled(units, &mut compared)?;
        if differing.is_empty() {
            return Ok(compared);
        }
        let again: Vec<&Unit> = (units.iter().copied())
            .filter(|unit| differing.iter().any(|one| one.is_of(unit)))
            .collect();
        let began = Instant::now();
        self.compiler.compile(&again, Debug::AsTheKernel)?;
        compared.took.compiling += began.elapsed();
        let differing = self.compare_compiled(&again, &mut compared)?;
        if differing.is_empty() {
            return Ok(compared);
        }
        let (ambiguous, differing): (Vec<Differing>, Vec<Differing>) =
            differing.into_iter().partition(|one| one.fit.differences.is_empty());
        if !differing.is_empty() {
            let banner = self.banner()?;
            compared.failures.push(does_not_fit(&differing, banner.as_deref()));
        }
        compared.failures.extend(ambiguous.iter().map(cannot_tell));
        Ok(compared)
    }

    /// Compares what has been compiled; gives what is not equal.
    fn compare_compiled(
        &self,
        units: &[&Unit],
        compared: &mut Compared,
    ) -> Result<Vec<Differing>, Failure> {
        let began = Instant::now();
        let base = self.compiler.base;
        let results = Results::of(base, self.compiler.make);
        let mut by_parent: BTreeMap<&Parent, Vec<&Unit>> = BTreeMap::new();
        for unit in units {
            by_parent.entry(&unit.parent).or_default().push(*unit);
        }
        let modules = Modules::read(base)?;
        let mut differing = Vec::new();
        for (parent, units) in by_parent {
            let image = modules.image_of(base, parent)?;
            for units in units.chunks(AT_ONCE) {
                let found = match self.compare_with(parent, units, &modules) {
                    Ok(found) => found,
                    Err(failure) if is_of_the_proof(&failure) => {
                        compared.failures.push(failure);
                        break;
                    }
                    Err(failure) => return Err(failure),
                };
                for (unit, found) in found {
                    let Found { fit, compiler } = match found {
                        Ok(found) => found,
                        Err(failure) => {
                            compared.failures.push(failure);
                            continue;
                        }
                    };
                    let (object, parent) = (unit.object(), parent.name().to_owned());
                    if !fit.holds() {
                        differing.push(Differing { object, parent, fit, compiler });
                        continue;
                    }
                    let CodeFit { equal: functions, overridden, fields, .. } = fit;
                    let compared_with = image;
                    let fit =
                        ObjectFit { object, parent, functions, overridden, fields, compared_with };
                    results.put(unit, &fit)?;
                    compared.equal.push(fit);
                }
            }
        }
        compared.took.comparing += began.elapsed();
        Ok(differing)
    }

    fn compare_with<'u>(
        &self,
        parent: &Parent,
        units: &[&'u Unit],
        modules: &Modules,
    ) -> Result<Vec<FoundOf<'u>>, Failure> {
        let base = self.compiler.base;
        let objects: Vec<(&'u Unit, Vec<u8>)> = (units.iter())
            .map(|unit| Ok((*unit, self.compiler.read(&unit.object())?)))
            .collect::<Result<_, Failure>>()?;
        let codes: Vec<(&'u Unit, CompiledCode<'_>)> = (objects.iter())
            .map(|(unit, bytes)| {
                let code = CompiledCode::read(bytes);
                Ok((*unit, code.map_err(|error| unreadable(&unit.object(), &error))?))
            })
            .collect::<Result<_, Failure>>()?;
        let cores = self.compiler.make.jobs();
        let compare = |image: &CodeImage<'_>| {
            on_all_cores(cores, &codes, |(unit, code)| {
                let fit = CodeFit::compare(code, image);
                let fit = fit.map_err(|error| unreadable(&unit.object(), &error));
                let compiler = code.compiler().map(str::to_owned);
                (*unit, fit.map(|fit| Found { fit, compiler }))
            })
        };
        Ok(match parent {
            Parent::Vmlinux => {
                let mut names = HashSet::new();
                codes.iter().for_each(|(_, code)| code.add_names(&mut names));
                let (file, symbols) = vmlinux(base, &names)?;
                compare(&CodeImage::Vmlinux(VmlinuxCode::new(&file, symbols)))
            }
            Parent::Module(name) => {
                let bytes = modules.bytes(base, name)?;
                let module = ModuleCode::read(&bytes);
                let module = module.map_err(|error| unreadable(&format!("{name}.ko"), &error))?;
                compare(&CodeImage::Module(module))
            }
        })
    }

    /// The target's text of `/proc/version`.
    fn banner(&self) -> Result<Option<String>, Failure> {
        let (file, symbols) = vmlinux(self.compiler.base, &HashSet::from([BANNER]))?;
        Ok(CodeImage::Vmlinux(VmlinuxCode::new(&file, symbols)).text(BANNER))
    }
}

/// Whether a failure says that something differs or cannot be compared, and is not the server's own.
pub(crate) fn is_of_the_proof(failure: &Failure) -> bool {
    matches!(failure.class, FailureClass::BaseDoesNotFit | FailureClass::FitUnproven)
}

/// What was found of a unit.
type FoundOf<'u> = (&'u Unit, Result<Found, Failure>);

struct Found {
    fit: CodeFit,
    compiler: Option<String>,
}

impl Differing {
    fn is_of(&self, unit: &Unit) -> bool {
        self.object == unit.object() && self.parent == unit.parent.name()
    }
}

/// The kernel's code, and of its symbols those of these names.
fn vmlinux(base: &Base, names: &HashSet<&str>) -> Result<(VmlinuxFile, ImageSymbols), Failure> {
    // Both read some ten megabytes: the one to look whether they are as they were.
    let (file, symbols) = thread::scope(|scope| {
        let file = scope.spawn(|| kernel_code(base));
        let path = base.symbol_table();
        let text = fs_err::read(&path)
            .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error));
        let symbols =
            text.map(|text| ImageSymbols::from_listing(&String::from_utf8_lossy(&text), names));
        (file.join().expect("reading the code reports errors, not panics"), symbols)
    });
    Ok((file?, symbols?))
}

/// The modules of the target's packages.
struct Modules(ModuleTable);

impl Modules {
    fn read(base: &Base) -> Result<Self, Failure> {
        Ok(Self(base.modules()?))
    }

    /// The digest of what objects of this parent are compared with.
    fn image_of(&self, base: &Base, parent: &Parent) -> Result<Sha256Digest, Failure> {
        match parent {
            Parent::Vmlinux => Ok(base.facts().kernel_image),
            Parent::Module(name) => {
                let loadable = self.0.get(name).and_then(|module| module.loadable);
                loadable.ok_or_else(|| absent(name))
            }
        }
    }

    fn bytes(&self, base: &Base, name: &str) -> Result<Vec<u8>, Failure> {
        let path = base.loadable_module(&self.0, name)?.ok_or_else(|| absent(name))?;
        read_untrusted(&path, MODULE_BYTES)
            .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))
    }
}

fn absent(module: &str) -> Failure {
    Failure::new(
        FailureClass::FitUnproven,
        format!("the module {module} is not in the kernel's packages, to compare its code with"),
        LEAVE_OUT,
    )
}

fn cannot_tell(one: &Differing) -> Failure {
    Failure::new(
        FailureClass::FitUnproven,
        format!(
            "{} has several files with the functions {}, not all of them equal: which one is {} \
             cannot be told",
            one.parent,
            one.fit.ambiguous.join(", "),
            one.object
        ),
        LEAVE_OUT,
    )
}

fn unreadable(object: &str, error: &ElfError) -> Failure {
    Failure::new(
        FailureClass::FitUnproven,
        format!("{object} cannot be compared with the kernel's code: {error}"),
        "report it with the build's log; --accept-unproven makes the livepatch without the \
         comparison",
    )
}
