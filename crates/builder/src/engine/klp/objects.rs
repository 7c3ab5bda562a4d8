use elivepatch_model::Failure;

use super::KlpEngine;
use crate::{
    engine::{OBJECT_BYTES, compile::original_objects},
    failures::internal,
    unit::Unit,
    untrusted_file::read_untrusted_below,
};

/// A unit's object as it was and as patched, both with debug information and a section for each
/// function: those of the comparison of layouts. The code is that of the linked objects.
pub(super) struct Objects {
    /// Its path in the tree.
    pub name: String,
    pub original: Vec<u8>,
    pub patched: Vec<u8>,
}

impl Objects {
    /// Reads both.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn of(engine: &KlpEngine, unit: &Unit) -> Result<Self, Failure> {
        let name = unit.object();
        let failed = |error| internal(format!("cannot read {name}: {error}"));
        let patched = engine.input.patched.read_made(&name, OBJECT_BYTES).map_err(failed)?;
        let original = original_objects(&engine.input);
        let original = read_untrusted_below(&original, &name, OBJECT_BYTES).map_err(failed)?;
        Ok(Self { name, original, patched })
    }
}
