//! Makes a digest of the code that decides what becomes of an order: it is a part of every build's
//! key and manifest, so that what other code made is not taken for what this one would make.

use std::{env, error::Error, fs, path::Path};

use sha2::{Digest, Sha256};

/// What decides, relative to this crate: itself with its recipes, and the crates that it asks.
const CODE: [&str; 5] = ["src", "recipes", "../elf/src", "../model/src", "../patch/src"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let mut hasher = Sha256::new();
    for directory in CODE {
        println!("cargo::rerun-if-changed={directory}");
        add(&mut hasher, &Path::new(&root).join(directory), directory)?;
    }
    let digest: String =
        hasher.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=ELIVEPATCH_CODE_REVISION={digest}");
    Ok(())
}

/// Adds the files below a directory, in the order of their names, each with its name and length.
fn add(hasher: &mut Sha256, directory: &Path, shown: &str) -> Result<(), Box<dyn Error>> {
    let mut names: Vec<_> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    for name in names {
        let path = directory.join(&name);
        let shown = format!("{shown}/{}", name.to_string_lossy());
        if path.is_dir() {
            add(hasher, &path, &shown)?;
        } else {
            let content = fs::read(&path)?;
            hasher.update(format!("{shown} {}\n", content.len()));
            hasher.update(content);
        }
    }
    Ok(())
}
