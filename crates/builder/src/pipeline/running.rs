//! What the running kernel's symbols are asked for, and what is open without them.

use std::collections::BTreeSet;

use elivepatch_model::{Failure, FailureClass};

use crate::fit::{RunningFit, is_of_the_proof};

/// What is known of the running kernel, to compare a base with.
pub(super) struct RunningTarget<'a> {
    /// The text of `/proc/kallsyms`.
    pub symbols: Option<&'a [u8]>,
    /// Whether it runs an image with the build-id of the base's.
    pub is_image_equal: bool,
    /// Whether the base was prepared from packages, and not built here.
    pub is_prepared: bool,
    /// Of what the base was made, for people.
    pub source: String,
    /// The modules that the livepatch changes.
    pub modules: &'a BTreeSet<&'a str>,
}

impl RunningTarget<'_> {
    /// Compares what has to be: the very same image has the same symbols, but a build-id of vmlinux says
    /// nothing of modules. Those of a prepared base are from the same packages.
    ///
    /// # Errors
    /// Those of reading the base; what belongs to the proof is in the result.
    pub(super) fn compare(
        &self,
        compare: &dyn Fn(&[u8]) -> Result<RunningFit, Failure>,
    ) -> Result<RunningFit, Failure> {
        let asks_for_modules = !self.is_prepared && !self.modules.is_empty();
        let mut fit = RunningFit::default();
        match self.symbols {
            Some(text) if !self.is_image_equal || asks_for_modules => match compare(text) {
                Ok(found) => {
                    fit = found;
                    // Of a prepared base the code itself was compared.
                    let has_sizes = fit.symbols.as_ref().is_none_or(|symbols| symbols.sizes);
                    if !has_sizes && !self.is_prepared {
                        fit.failures.push(sizes_not_compared(&self.source));
                    }
                }
                Err(failure) if is_of_the_proof(&failure) => fit.failures.push(failure),
                Err(failure) => return Err(failure),
            },
            Some(_) => {}
            None if self.is_prepared => {}
            None if !self.is_image_equal => {
                fit.failures.push(nothing_to_compare_with(&self.source));
            }
            None => {
                let open = self.modules.iter().map(|module| module_not_compared(module, false));
                fit.failures.extend(open);
            }
        }
        if asks_for_modules {
            let open = fit.not_loaded.iter().map(|module| module_not_compared(module, true));
            fit.failures.extend(open);
        }
        Ok(fit)
    }
}

/// The failure for a changed module of a kernel that was built here.
fn module_not_compared(module: &str, is_text_there: bool) -> Failure {
    let reason = match is_text_there {
        true => "it is not in the running kernel's /proc/kallsyms",
        false => {
            "the request has no /proc/kallsyms of the running kernel, and a build-id is vmlinux's only"
        }
    };
    Failure::new(
        FailureClass::FitUnproven,
        format!(
            "nothing proves that the module {module} is the one that the target runs: {reason}"
        ),
        format!(
            "load the module (sudo modprobe {module}), and send the symbols again while it is loaded \
             (sudo elivepatch facts); --accept-unproven makes the livepatch without the comparison \
             where the server's policy allows it"
        ),
    )
}

/// The failure where names and order are equal, and nothing says how large the functions are: a function with
/// another body would look the same.
fn sizes_not_compared(source: &str) -> Failure {
    Failure::new(
        FailureClass::FitUnproven,
        format!(
            "nothing proves that the functions of the kernel built from {source} are those that the target \
             runs: names and order are equal, and the request has no sizes, for only root sees addresses \
             in /proc/kallsyms"
        ),
        "send the symbols as root: sudo elivepatch facts --output FILE, then order with --facts FILE; \
         --accept-unproven makes the livepatch without the sizes where the server's policy allows it",
    )
}

fn nothing_to_compare_with(source: &str) -> Failure {
    Failure::new(
        FailureClass::FitUnproven,
        format!(
            "nothing proves that the kernel built from {} is the one that the target runs: the request \
             has no /proc/kallsyms of it",
            source
        ),
        "send the running kernel's /proc/kallsyms, best as root; --accept-unproven makes the livepatch \
         without a proof where the server's policy allows it",
    )
}

#[cfg(test)]
mod tests {
    use elivepatch_model::SymbolFitRecord;

    use super::*;

    /// What the comparison of a target with these properties gives; of two modules `xfs` is loaded.
    fn compared(symbols: bool, is_image_equal: bool, is_prepared: bool) -> RunningFit {
        compared_with(
            SymbolFitRecord { sizes: true, ..Default::default() },
            symbols,
            is_image_equal,
            is_prepared,
        )
    }

    fn compared_with(
        record: SymbolFitRecord,
        symbols: bool,
        is_image_equal: bool,
        is_prepared: bool,
    ) -> RunningFit {
        let modules = BTreeSet::from(["ext4", "xfs"]);
        let target = RunningTarget {
            symbols: symbols.then_some(b"text"),
            is_image_equal,
            is_prepared,
            source: "linux-6.12".to_owned(),
            modules: &modules,
        };
        let found = |_: &[u8]| {
            Ok(RunningFit {
                symbols: Some(record.clone()),
                failures: Vec::new(),
                not_loaded: vec!["ext4".to_owned()],
            })
        };
        target.compare(&found).expect("nothing but the proof fails")
    }

    fn messages(fit: &RunningFit) -> Vec<&str> {
        assert!(fit.failures.iter().all(|one| one.class == FailureClass::FitUnproven), "{fit:?}");
        fit.failures.iter().map(|failure| failure.message.as_str()).collect()
    }

    #[test]
    fn module_of_a_built_base_that_is_not_loaded_is_unproven_whatever_the_build_id() {
        for is_image_equal in [false, true] {
            let fit = compared(true, is_image_equal, false);
            let [message] = messages(&fit)[..] else { panic!("{fit:?}") };
            assert!(message.contains("the module ext4"), "{message}");
            assert!(fit.failures[0].hint.contains("sudo modprobe ext4"), "{fit:?}");
            assert!(fit.symbols.is_some());
        }
    }

    #[test]
    fn names_without_sizes_prove_no_base_that_was_built() {
        for (is_image_equal, is_prepared, unproven) in
            [(false, false, true), (true, false, true), (false, true, false)]
        {
            let fit = compared_with(SymbolFitRecord::default(), true, is_image_equal, is_prepared);
            let has = messages(&fit).iter().any(|message| message.contains("has no sizes"));
            assert_eq!(has, unproven, "{fit:?}");
        }
    }

    #[test]
    fn build_id_proves_vmlinux_and_no_module_of_a_built_base() {
        let fit = compared(false, true, false);
        let [ext4, xfs] = messages(&fit)[..] else { panic!("{fit:?}") };
        assert!(ext4.contains("the module ext4") && xfs.contains("the module xfs"));
        let fit = compared(false, false, false);
        let [message] = messages(&fit)[..] else { panic!("{fit:?}") };
        assert!(message.contains("built from linux-6.12"), "{message}");
    }

    #[test]
    fn prepared_base_has_its_modules_from_the_packages() {
        for symbols in [false, true] {
            for is_image_equal in [false, true] {
                let fit = compared(symbols, is_image_equal, true);
                assert_eq!(messages(&fit), [""; 0]);
                assert_eq!(fit.symbols.is_some(), symbols && !is_image_equal);
            }
        }
    }

    #[test]
    fn failure_that_is_not_of_the_proof_ends_the_build() {
        let modules = BTreeSet::new();
        let target = RunningTarget {
            symbols: Some(b"text"),
            is_image_equal: false,
            is_prepared: false,
            source: "linux-6.12".to_owned(),
            modules: &modules,
        };
        let of = |class| target.compare(&|_| Err(Failure::new(class, "it", "hint")));
        assert!(of(FailureClass::BaseFailed).is_err());
        assert_eq!(of(FailureClass::FitUnproven).expect("to be accepted").failures.len(), 1);
    }
}
