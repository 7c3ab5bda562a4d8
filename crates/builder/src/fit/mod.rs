//! The proof that a base fits its target: that what it compiles is what the target runs.
//!
//! For a prepared base the objects that a livepatch changes are compiled as the kernel's own were, and
//! compared with the code in the bootable image and in the modules of its packages. A kernel that was
//! built here is compared with the running one by the symbols in its `/proc/kallsyms`.

mod cause;
mod code;
mod kallsyms;
mod kernel_file;
mod kernel_image;
mod running;
mod store;
mod survey;

pub(crate) use code::{CodeProver, Compared, Known, is_of_the_proof};
pub(crate) use running::{RunningFit, compare_running};
pub(crate) use store::ObjectFit;
pub use survey::{FitSurvey, FitSurveyInput, SurveyedObject};
