use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{block::Block, fence};

/// A file of the documentation.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its path in the repository, such as `docs/host.md`.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Its fenced blocks, in their order.
    pub blocks: Vec<Block>,
}

impl Page {
    /// Reads one.
    ///
    /// # Panics
    /// When it is not there, or a fence in it does not end.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(repository().join(path));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::of(path, text)
    }

    /// One with this text.
    ///
    /// # Panics
    /// When a fence in it does not end.
    pub fn of(path: &str, text: String) -> Self {
        let blocks = fence::blocks(path, &text);
        Self { path: path.to_owned(), text, blocks }
    }

    /// The text without fenced blocks and HTML comments, as many lines as before.
    pub fn prose(&self) -> String {
        fence::prose(&self.text)
    }
}

/// The root of the repository.
///
/// # Panics
/// When this crate lies elsewhere than in `crates/`.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).expect("crates/docs lies in the repository").to_owned()
}

/// All pages that users and contributors read, sorted by their paths.
///
/// # Panics
/// When one cannot be read.
pub fn pages() -> Vec<Page> {
    let mut paths = vec!["CONTRIBUTING.md".to_owned(), "README.md".to_owned()];
    for directory in ["docs", "docs/adr"] {
        let entries = fs::read_dir(repository().join(directory)).expect("the documentation");
        for entry in entries {
            let name = entry.expect("an entry").file_name().into_string().expect("an ASCII name");
            if name.ends_with(".md") {
                paths.push(format!("{directory}/{name}"));
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}
