//! Reads the documentation as its tests need it: pages, blocks with their marks, commands, links.
//!
//! A block of commands is fenced, and an HTML comment before it says what becomes of it:
//!
//! | mark | meaning |
//! | --- | --- |
//! | `<!-- run: PLACE -->` | a test runs it there, see [`Place`] |
//! | `<!-- run: PLACE, stays -->` | the same; its last command goes on, beside the blocks after it |
//! | `<!-- not run: REASON -->` | no test can run it, and why |
//! | `<!-- write: PLACE, PATH -->` | not commands but a file's text, which the test adds to the file |
//! | `<!-- output -->` | what the block before it prints, with `…` for what differs |
//!
//! Everything here panics when it does not find what it needs: it serves tests.

mod block;
mod command;
mod fence;
mod link;
mod page;
mod placeholder;

pub use block::{Block, Mark, Place};
pub use command::{Invocation, invocations, unread};
pub use link::{anchors, links};
pub use page::{Page, pages, repository};
