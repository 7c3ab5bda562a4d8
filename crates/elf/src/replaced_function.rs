use crate::{
    ElfError, budget::Budget, klp_functions::klp_functions, kpatch_functions::kpatch_functions,
    object_file::ObjectFile,
};

/// A function that a livepatch replaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplacedFunction {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The function's name.
    pub name: String,
    /// Which of several functions of that name, from 1; 0 (kpatch also: 1) when there is only one.
    pub position: u64,
}

/// The functions in the order of the file; empty for a module that neither kpatch nor the kernel's
/// objtool made.
pub(crate) fn replaced_functions(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<Vec<ReplacedFunction>, ElfError> {
    let mut functions = kpatch_functions(object, budget)?;
    functions.extend(klp_functions(object, budget)?);
    Ok(functions)
}
