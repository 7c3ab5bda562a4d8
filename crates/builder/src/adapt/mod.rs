//! Adaptations: what is done to a patch, or to the source that it was applied to, so that a
//! livepatch can be made of it. See docs/adr/0007-adaptations.md.

mod c_text;
mod files;
mod host_programs;
mod init_links;
mod init_only;
mod inlined_calls;
mod line_numbers;
mod new_includes;
mod not_built;
mod plan;
mod source;
mod syscalls;

pub(crate) use init_only::{InitChanges, kept};
pub(crate) use inlined_calls::InlinedCalls;
pub(crate) use new_includes::NewIncludes;
pub(crate) use not_built::KernelParts;
pub(crate) use plan::Planner;
pub(crate) use source::{AdaptedSource, SourceAdapter};
pub(crate) use syscalls::calls_of;
