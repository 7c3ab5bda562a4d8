use elivepatch_model::{Failure, FailureClass};

use super::{listing::SymbolListing, lookup::NotFound, origin::NotOurs};

/// What a livepatch takes from the kernel, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    /// `vmlinux` or a module's name.
    pub object: &'a str,
    pub name: &'a str,
    /// Whether it is replaced, and not only used.
    pub is_replaced: bool,
}

/// What is wrong with it.
pub(super) enum Wrong<'a> {
    /// Several changed files have a static function of the name, and the engine does not say which
    /// of them it took.
    InSeveralFiles,
    NotFound(NotFound, &'a SymbolListing),
    /// The kernel takes this symbol.
    NotOurs(NotOurs, &'a SymbolListing, usize),
}

impl Case<'_> {
    /// The failure for the changed file `source`.
    pub(super) fn refuse(&self, source: &str, wrong: Wrong) -> Failure {
        let Self { object, name, .. } = *self;
        let verb = if self.is_replaced { "replace" } else { "use" };
        let hint = self.hint(source, &wrong);
        let (why, candidates) = match wrong {
            Wrong::InSeveralFiles => {
                (format!("{source} have one each, and it cannot be told which is which"), vec![])
            }
            Wrong::NotFound(error, listing) => not_found(error, listing),
            Wrong::NotOurs(error, listing, found) => {
                let taken = listing.describe(found);
                let why = not_ours(error, source);
                let candidates = listing.named(name).iter().map(|index| listing.describe(*index));
                (format!("the kernel would take {taken}, and {why}"), candidates.collect())
            }
        };
        Failure::new(
            FailureClass::SymbolAmbiguous,
            format!("the livepatch cannot {verb} {name} of {object} for {source}: {why}"),
            hint,
        )
        .with_details(candidates.into_iter().map(|one| format!("{object} has {name}: {one}")))
    }

    fn hint(&self, source: &str, wrong: &Wrong) -> String {
        let name = self.name;
        match wrong {
            _ if !self.is_replaced => {
                format!("have the changed code do without {name}, or use something else")
            }
            Wrong::InSeveralFiles => {
                "make a livepatch of each file, or build with --engine kpatch".to_owned()
            }
            Wrong::NotOurs(NotOurs::Overridden, ..) => format!(
                "leave the weak {name} as it is: change it in the file that overrides it (under \
                 arch/x86 mostly), or change the functions that call it"
            ),
            _ => format!(
                "leave {name} in {source} as it is, and change the functions that call it: a \
                 livepatch could not name it for sure"
            ),
        }
    }
}

fn not_found(error: NotFound, listing: &SymbolListing) -> (String, Vec<String>) {
    let (why, candidates) = match error {
        NotFound::Missing => ("the kernel's own list does not have it".to_owned(), vec![]),
        NotFound::Several(all) => {
            (format!("the kernel has {}, and the engine does not say which", all.len()), all)
        }
        NotFound::TooFew(all) => {
            (format!("the kernel has only {}, fewer than the engine counts", all.len()), all)
        }
        NotFound::Unsure(all) => (
            "which of them the kernel takes depends on when the module is loaded, or cannot be told"
                .to_owned(),
            all,
        ),
    };
    (why, candidates.into_iter().map(|index| listing.describe(index)).collect())
}

fn not_ours(error: NotOurs, source: &str) -> String {
    match error {
        NotOurs::OfAnotherFile => format!("that is not the static one of {source}"),
        NotOurs::TwinFiles => {
            format!("several files of that name look like {source}, with the same static functions")
        }
        NotOurs::NoSuchFile => format!("it has no file with the static functions of {source}"),
        NotOurs::Static => format!("{source} means one that is not static"),
        NotOurs::Overridden => {
            format!("{source} has only a weak default, which that one overrides")
        }
        NotOurs::OtherWeak => {
            format!("{source} has a weak default that is not surely the same")
        }
    }
}
