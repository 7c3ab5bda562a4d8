//! What a program tells of itself beside `--help`: manual pages, and completions for shells. Both are made of its
//! command line, when somebody asks for them.

mod check;
mod completions;
mod extra;
mod page;
mod pages;

pub use check::problems;
pub use completions::{Shell, completions};
pub use pages::{Entry, Manual, Page, day, write_pages};
