//! Whether a compiled object is what a kernel runs: the functions of the object, compiled as the
//! kernel's was, against the code in the kernel's image or in a module, byte for byte outside the
//! fields that the linker fills in, and those by where they lead.
//!
//! An object's section goes into an image in one piece. So one place says where all of a section
//! is: it is found by the functions in it (by name, and by the file for static ones), or by the
//! first field that leads into it, and every other function and field must agree with it. Strings
//! and constants that the linker merges are compared by their content.

mod compare;
mod content;
mod difference;
mod field;
mod find;
mod image;
mod module_code;
mod object;
mod symbols;
mod vmlinux_code;

pub use compare::CodeFit;
pub use difference::{CodeDifference, DifferenceKind};
pub use image::CodeImage;
pub use module_code::ModuleCode;
pub use object::CompiledCode;
pub use symbols::ImageSymbols;
pub use vmlinux_code::{VmlinuxCode, VmlinuxFile};
