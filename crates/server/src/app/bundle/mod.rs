//! Carrying the feed and the texts of fixes to a server without a network, in one signed file.

mod error;
mod export;
mod import;

pub use error::{ExportError, ImportError, bundle_hint};
pub use export::{Exported, MissingFix, WantedFixes, export_feed};
pub use import::{Imported, ReadBundle, UnusableFix, import_feed, read_bundle};

/// How the source of a feed begins that was imported. No source in a config is called so: that is an address,
/// or an absolute path.
const IMPORTED: &str = "import of ";

/// Whether the source of a feed says that it was imported.
pub(super) fn is_imported(source: &str) -> bool {
    source.starts_with(IMPORTED)
}

#[cfg(test)]
mod tests;
