//! The way from an object outwards: the list that names it, the object that this list makes, the directory that
//! a Makefile enters, up to the root.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::makefile::{Listed, Makefile, Need};

/// The lists that the kernel is linked from; what is in any other is a part of an object.
const OF_THE_KERNEL: [&str; 9] =
    ["obj", "lib", "libs", "core", "drivers", "net", "virt", "head", "extra"];

/// How many places are looked at for one question; a file of a kernel has some ten.
const MOST_STEPS: usize = 2_000;

/// How far outwards a way is followed; directories and objects of a kernel lie some ten deep.
const FARTHEST: usize = 40;

/// The most options that are named for one file.
const MOST_OPTIONS: usize = 4;

/// What is known of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// Each way leads over an option that is not set: the first of each.
    Blocked(BTreeSet<String>),
    /// Nothing is in the way.
    Open,
    /// It cannot be told.
    Unknown,
}

/// A question.
pub(super) struct Search<'a> {
    options: &'a HashSet<String>,
    architecture: &'a str,
    read: &'a mut dyn FnMut(&str) -> Arc<Makefile>,
    /// The lists and directories that are being followed: an odd Makefile may lead round.
    under_way: HashSet<(String, String)>,
    steps: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        options: &'a HashSet<String>,
        architecture: &'a str,
        read: &'a mut dyn FnMut(&str) -> Arc<Makefile>,
    ) -> Self {
        Self { options, architecture, read, under_way: HashSet::new(), steps: 0 }
    }

    /// The options that are not set and leave an object out; none when they cannot be named.
    pub(super) fn options_of(mut self, object: &str) -> Vec<String> {
        let way = match self.word(object) {
            Way::Unknown => self.directories(object),
            way => way,
        };
        match way {
            Way::Blocked(options) => options.into_iter().take(MOST_OPTIONS).collect(),
            Way::Open | Way::Unknown => Vec::new(),
        }
    }

    /// Where no list names an object, a directory around it that is not entered leaves it out.
    fn directories(&mut self, object: &str) -> Way {
        let mut around = parent(object);
        while let Some(directory) = around.filter(|directory| !directory.is_empty()) {
            if let way @ Way::Blocked(_) = self.word(&format!("{directory}/")) {
                return way;
            }
            around = parent(directory);
        }
        Way::Unknown
    }

    /// The way of an object, or of a directory with a slash behind it, from the nearest Makefile that names it.
    fn word(&mut self, path: &str) -> Way {
        let mut around = parent(path.trim_end_matches('/'));
        while let Some(directory) = around {
            let beside = match directory {
                "" => path,
                directory => path.get(directory.len() + 1..).unwrap_or_default(),
            };
            let makefile = (self.read)(directory);
            let mut listed = makefile.listed(beside).to_vec();
            // The Makefile of the architecture is a part of that at the root.
            if directory.strip_prefix("arch/") == Some(self.architecture) {
                listed.extend_from_slice(makefile.listed(path));
            }
            if !listed.is_empty() {
                return self.any(directory, &listed);
            }
            around = parent(directory);
        }
        Way::Unknown
    }

    /// What several places come to: one way in is enough.
    fn any(&mut self, directory: &str, listed: &[Listed]) -> Way {
        let mut blocked = BTreeSet::new();
        for one in listed {
            if self.steps > MOST_STEPS {
                break;
            }
            match self.one(directory, one) {
                Way::Open => return Way::Open,
                Way::Blocked(options) => blocked.extend(options),
                Way::Unknown => {}
            }
        }
        match blocked.is_empty() {
            true => Way::Unknown,
            false => Way::Blocked(blocked),
        }
    }

    fn one(&mut self, directory: &str, listed: &Listed) -> Way {
        let unset = listed.needs.iter().find_map(|need| match need {
            Need::Set(option) if !self.options.contains(option) => Some(option.clone()),
            _ => None,
        });
        if let Some(option) = unset {
            return Way::Blocked([option].into());
        }
        let is_open = |need: &Need| match need {
            Need::Set(_) => true,
            Need::Unset(option) => !self.options.contains(option),
            Need::Unknown => false,
        };
        let is_sure = listed.needs.iter().all(is_open);
        match self.outwards(directory, &listed.list) {
            Way::Open if !is_sure => Way::Unknown,
            way => way,
        }
    }

    /// The way from a list of a directory's Makefile to the root.
    fn outwards(&mut self, directory: &str, list: &str) -> Way {
        let place = (directory.to_owned(), list.to_owned());
        self.steps += 1;
        let is_too_far = self.steps > MOST_STEPS || self.under_way.len() >= FARTHEST;
        if is_too_far || !self.under_way.insert(place.clone()) {
            return Way::Unknown;
        }
        let way = if !OF_THE_KERNEL.contains(&list) {
            self.part(directory, list)
        } else if directory.is_empty() {
            Way::Open
        } else {
            self.word(&format!("{directory}/"))
        };
        self.under_way.remove(&place);
        way
    }

    /// The way of an object that is made of a list, or of another list that takes this one over.
    fn part(&mut self, directory: &str, list: &str) -> Way {
        let makefile = (self.read)(directory);
        let whole = makefile.listed(&format!("{list}.o"));
        let taken = makefile.listed(&format!("$({list})"));
        let listed: Vec<Listed> = whole.iter().chain(taken).cloned().collect();
        self.any(directory, &listed)
    }
}

/// The directory that something lies in; `None` of the root.
fn parent(path: &str) -> Option<&str> {
    match path {
        "" => None,
        path => Some(path.rsplit_once('/').map_or("", |(directory, _)| directory)),
    }
}
