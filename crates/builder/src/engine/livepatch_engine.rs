use elivepatch_elf::Module;
use elivepatch_model::{Engine, Failure};

use super::{ChangedObject, KlpEngine, KpatchEngine, references};
use crate::{
    Cache, apply::AppliedFixes, ownership::Units, sandbox::SandboxLimits, symbols::References,
    unit::Unit,
};

/// The engine of one build.
pub(crate) enum LivepatchEngine<'a> {
    Kpatch(KpatchEngine<'a>),
    KlpBuild(Box<KlpEngine<'a>>),
}

impl<'a> LivepatchEngine<'a> {
    /// Makes the engine ready to compile. `input` is what every engine is given, in the form of the
    /// kpatch engine; `limits` are those of building a whole kernel.
    ///
    /// # Errors
    /// Those of [`KlpEngine::ready`].
    pub(crate) fn ready(
        engine: Engine,
        input: KpatchEngine<'a>,
        cache: &Cache,
        limits: SandboxLimits,
    ) -> Result<Self, Failure> {
        match engine {
            Engine::Kpatch => Ok(Self::Kpatch(input)),
            Engine::KlpBuild => {
                Ok(Self::KlpBuild(Box::new(KlpEngine::ready(input, cache, limits)?)))
            }
        }
    }

    /// See [`KpatchEngine::with_missed_units`].
    ///
    /// # Errors
    /// Those of [`KpatchEngine::with_missed_units`].
    pub(crate) fn with_missed_units(
        &self,
        units: Units,
        check: &dyn Fn(&Units) -> Result<(), Failure>,
    ) -> Result<Units, Failure> {
        self.input().with_missed_units(units, check)
    }

    /// What every engine is given.
    pub(crate) fn input(&self) -> &KpatchEngine<'a> {
        match self {
            Self::Kpatch(engine) => engine,
            Self::KlpBuild(engine) => engine.input(),
        }
    }

    /// Compiles the touched sources, as they were and as patched.
    ///
    /// # Errors
    /// Those of the engine.
    pub(crate) fn compile(&self, units: &[Unit], fixes: &AppliedFixes) -> Result<(), Failure> {
        match self {
            Self::Kpatch(engine) => engine.compile(units, fixes),
            Self::KlpBuild(engine) => engine.compile(units, fixes),
        }
    }

    /// Finds the changed functions. Gives the objects that hold some.
    ///
    /// # Errors
    /// Those of the engine.
    pub(crate) fn diff(&self, units: &[Unit]) -> Result<Vec<ChangedObject>, Failure> {
        match self {
            Self::Kpatch(engine) => engine.diff(units),
            Self::KlpBuild(engine) => engine.diff(units),
        }
    }

    /// Links the changed functions into the module; gives its bytes.
    ///
    /// # Errors
    /// Those of the engine.
    pub(crate) fn link(&self, changed: &[ChangedObject]) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Kpatch(engine) => engine.link(changed),
            Self::KlpBuild(engine) => engine.link(changed),
        }
    }

    /// Which engine it is.
    pub(crate) fn kind(&self) -> Engine {
        match self {
            Self::Kpatch(_) => Engine::Kpatch,
            Self::KlpBuild(_) => Engine::KlpBuild,
        }
    }

    /// What the linked module takes from the kernel for the changed objects.
    ///
    /// # Errors
    /// When objects cannot be read.
    pub(crate) fn references(
        &self,
        changed: &[ChangedObject],
        module: &Module,
    ) -> Result<Vec<References>, Failure> {
        match self {
            Self::Kpatch(engine) => references::of_objects(engine, changed),
            Self::KlpBuild(engine) => references::of_module(engine.input(), changed, module),
        }
    }
}
