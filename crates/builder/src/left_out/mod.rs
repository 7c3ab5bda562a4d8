//! Why a file is not in a kernel: the option that would have to be set, by the Kbuild Makefiles and the config of
//! a base's tree.

mod makefile;
mod search;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::LeftOut;

use self::{makefile::Makefile, search::Search};
use crate::untrusted_file::read_untrusted_below;

/// The largest Makefile that is looked into, in bytes. The largest of a kernel has 80 kB.
const MAKEFILE_BYTES: u64 = 1024 * 1024;

/// The largest config, in bytes. A distribution's has 280 kB.
const CONFIG_BYTES: u64 = 8 * 1024 * 1024;

/// How many directories' Makefiles are remembered of a tree; a kernel has some 3,000.
const MOST_DIRECTORIES: usize = 5_000;

/// How many answers are remembered of a tree; the files of all CVEs are some 9,000.
const MOST_ANSWERS: usize = 20_000;

/// Of how many trees something is remembered.
const MOST_TREES: usize = 4;

/// Directories at the top of a tree that are in no kernel, whatever its config is.
const OUTSIDE: [&str; 4] = ["Documentation", "tools", "samples", "scripts"];

/// The architecture whose kernels are built.
const ARCHITECTURE: &str = "x86";

/// The lists of the Makefiles of a tree with a config, read as they are needed.
#[derive(Debug)]
pub(crate) struct ObjectLists {
    tree: Utf8PathBuf,
    known: Mutex<Known>,
}

/// What was read, and what came of it.
#[derive(Debug, Default)]
struct Known {
    /// The options that are set.
    options: Option<Arc<HashSet<String>>>,
    makefiles: HashMap<String, Arc<Makefile>>,
    answers: HashMap<String, Option<LeftOut>>,
}

impl ObjectLists {
    pub(crate) fn new(tree: Utf8PathBuf) -> Self {
        Self { tree, known: Mutex::default() }
    }

    /// Why a C or assembler file is not in the kernel; of one that is in it there is no telling. `None` of a file
    /// that would be in no kernel, or that is another kind of file.
    pub(crate) fn left_out(&self, file: &str) -> Option<LeftOut> {
        // Whoever panicked has at most not remembered something.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.answers.get(file) {
            return answer.clone();
        }
        let answer = self.look(file, &mut known);
        if known.answers.len() >= MOST_ANSWERS {
            known.answers.clear();
        }
        known.answers.insert(file.to_owned(), answer.clone());
        answer
    }

    fn look(&self, file: &str, known: &mut Known) -> Option<LeftOut> {
        let stem = file.strip_suffix(".c").or_else(|| file.strip_suffix(".S"))?;
        let is_plain =
            |part: camino::Utf8Component<'_>| matches!(part, camino::Utf8Component::Normal(_));
        let top = file.split('/').next().unwrap_or_default();
        if !Utf8Path::new(file).components().all(is_plain) || OUTSIDE.contains(&top) {
            return None;
        }
        let object = format!("{stem}.o");
        let options = self.options(known);
        let mut read = |directory: &str| self.makefile(directory, known);
        let options = Search::new(&options, ARCHITECTURE, &mut read).options_of(&object);
        Some(LeftOut { file: file.to_owned(), options, object })
    }

    fn options(&self, known: &mut Known) -> Arc<HashSet<String>> {
        let options = known.options.get_or_insert_with(|| {
            let text = read_untrusted_below(&self.tree, ".config", CONFIG_BYTES);
            Arc::new(set_options(&String::from_utf8_lossy(&text.unwrap_or_default())))
        });
        Arc::clone(options)
    }

    /// The lists of a directory. What cannot be read has none.
    fn makefile(&self, directory: &str, known: &mut Known) -> Arc<Makefile> {
        if let Some(makefile) = known.makefiles.get(directory) {
            return Arc::clone(makefile);
        }
        let mut makefile = Makefile::default();
        for name in ["Kbuild", "Makefile"] {
            let path = match directory {
                "" => name.to_owned(),
                directory => format!("{directory}/{name}"),
            };
            if let Ok(text) = read_untrusted_below(&self.tree, &path, MAKEFILE_BYTES) {
                makefile.read(&String::from_utf8_lossy(&text), ARCHITECTURE);
            }
        }
        if known.makefiles.len() >= MOST_DIRECTORIES {
            known.makefiles.clear();
        }
        let makefile = Arc::new(makefile);
        known.makefiles.insert(directory.to_owned(), Arc::clone(&makefile));
        makefile
    }
}

/// The options of a config that have a value.
fn set_options(config: &str) -> HashSet<String> {
    let lines = config.lines().filter_map(|line| line.split_once('='));
    let set = lines.filter(|(name, value)| name.starts_with("CONFIG_") && *value != "n");
    set.map(|(name, _)| name.to_owned()).collect()
}

/// What was read of the trees that were asked about last.
#[derive(Debug, Default)]
pub(crate) struct KeptLists(Mutex<Vec<Arc<ObjectLists>>>);

impl KeptLists {
    /// The lists of a tree. A complete base is never changed, so what was read of it stays right.
    pub(crate) fn of(&self, tree: &Utf8Path) -> Arc<ObjectLists> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|lists| lists.tree == tree);
        let lists = match place {
            Some(place) => kept.remove(place),
            None => Arc::new(ObjectLists::new(tree.to_owned())),
        };
        kept.truncate(MOST_TREES - 1);
        kept.insert(0, Arc::clone(&lists));
        lists
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
