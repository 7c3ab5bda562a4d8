//! What a base knows of functions that must not be branched to indirectly; nothing where branches are
//! not tracked.

use std::collections::BTreeSet;

use elivepatch_model::Failure;

use super::{
    Base,
    facts::{MODULES_NO_ENDBR, NO_ENDBR},
};
use crate::branch_audit::WithoutEndbr;

/// The parent under which functions of vmlinux are listed.
const VMLINUX: &str = "vmlinux";

impl Base {
    /// Those of vmlinux and of these loadable modules.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub(crate) fn functions_without_endbr(
        &self,
        modules: &BTreeSet<String>,
    ) -> Result<WithoutEndbr, Failure> {
        let mut without = WithoutEndbr::default();
        // A line `NAME<TAB>POSITION` for each function of vmlinux.
        for line in self.read(&self.place.join(NO_ENDBR))?.lines() {
            add(&mut without, VMLINUX, line);
        }
        // The same behind `MODULE<TAB>`. Of all modules there are some hundred thousand.
        for line in self.read(&self.place.join(MODULES_NO_ENDBR))?.lines() {
            if let Some((module, line)) = line.split_once('\t')
                && modules.contains(module)
            {
                add(&mut without, module, line);
            }
        }
        Ok(without)
    }
}

fn add(without: &mut WithoutEndbr, object: &str, line: &str) {
    let Some((name, position)) = line.split_once('\t') else { return };
    if let Ok(position) = position.parse() {
        without.add(object, name, position);
    }
}
