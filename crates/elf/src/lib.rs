//! Facts read from ELF files: the target's `vmlinux`, and the modules that are made for it.
//!
//! A [`Vmlinux`] is mapped and read in place: with its debug information it has over half a
//! gigabyte, of which little is needed. A [`Module`] is read from memory, and its bytes are
//! untrusted: they come out of a build that ran a stranger's code.

mod branch_targets;
mod budget;
mod compile_units;
mod debug_sections;
mod defined_functions;
mod error;
mod fentry_nops;
mod fit;
mod included_sources;
mod klp_functions;
mod kpatch_entries;
mod kpatch_functions;
mod kpatch_object;
mod layouts;
mod listed_line;
mod livepatch_relocations;
mod mapped_file;
mod module;
mod module_branches;
mod module_units;
mod modversions;
mod object_file;
mod object_symbols;
mod outside_init;
mod places;
mod pointers;
mod references;
mod relocated;
mod relocation_targets;
mod replaced_function;
mod runtime_constants;
mod same_code;
mod section_names;
mod signed_module;
mod source_path;
mod static_variables;
mod struct_sizes;
mod symbol;
mod symbol_listing;
mod symvers;
mod units;
mod variable_location;
mod vmlinux;
mod vmlinux_branches;

pub use branch_targets::{BranchTarget, BranchTargets, OutsideSymbol};
pub use defined_functions::defined_functions;
pub use error::ElfError;
pub use fentry_nops::with_fentry_nops;
pub use fit::{
    CodeDifference, CodeFit, CodeImage, CompiledCode, DifferenceKind, ImageSymbols, ModuleCode,
    VmlinuxCode, VmlinuxFile,
};
pub use kpatch_object::KpatchObject;
pub use layouts::{LayoutChange, LayoutChangeKind, Layouts, SignatureChange};
pub use listed_line::ListedLine;
pub use livepatch_relocations::{LivepatchRelocation, LivepatchRelocations, LivepatchSymbol};
pub use module::{LivepatchMaker, Modinfo, Module, UndefinedSymbol};
pub use module_branches::module_functions_without_endbr;
pub use module_units::module_units;
pub use modversions::{CrcMismatch, SymbolVersion};
pub use object_symbols::{ObjectSymbol, object_symbols};
pub use outside_init::difference_outside_init;
pub use references::{Reference, references};
pub use replaced_function::ReplacedFunction;
pub use runtime_constants::{runtime_constants, unwritten_runtime_constants};
pub use same_code::same_code;
pub use section_names::section_names;
pub use signed_module::SignedModule;
pub use static_variables::{StaticVariable, static_variables};
pub use symbol::{Symbol, SymbolBinding, SymbolKind};
pub use symbol_listing::symbol_listing;
pub use symvers::{ExportedSymbol, ModuleSymvers};
pub use vmlinux::{SPECIAL_STRUCTS, Vmlinux};
