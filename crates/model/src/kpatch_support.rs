use crate::KernelConfig;

/// An option of a config that makes a kernel impossible to live-patch with an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigRefusal {
    /// The option's name without `CONFIG_`.
    pub option: &'static str,
    /// Whether the option would have to be on (`true`) or off (`false`).
    pub must_be_on: bool,
    /// Why it stands in the way.
    pub reason: &'static str,
}

impl std::fmt::Display for ConfigRefusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.must_be_on { "is off" } else { "is on" };
        write!(formatter, "CONFIG_{} {state}: {}", self.option, self.reason)
    }
}

pub(crate) const fn must_be_on(option: &'static str, reason: &'static str) -> ConfigRefusal {
    ConfigRefusal { option, must_be_on: true, reason }
}

pub(crate) const fn must_be_off(option: &'static str, reason: &'static str) -> ConfigRefusal {
    ConfigRefusal { option, must_be_on: false, reason }
}

/// What kpatch needs or cannot serve. The rules are those of kpatch-build 0.9.10 but for IBT, which
/// its tools can serve when objtool is run on single objects, and two of our own: modules must be
/// loadable; and control-flow integrity, which create-diff-object 0.9.10 has no idea of. It looks for a
/// function right behind its `__cfi_` symbol, where there is padding between them, and leaves out
/// `.cfi_sites` and `.kcfi_traps`, by which the kernel finds what it has to change in a module's code
/// when it is loaded.
const RULES: [ConfigRefusal; 15] = [
    must_be_on("MODULES", "a livepatch is a kernel module"),
    must_be_on("LIVEPATCH", "the kernel has no live patching"),
    must_be_on("FUNCTION_TRACER", "live patching redirects functions through ftrace"),
    must_be_on("HAVE_FENTRY", "functions must begin with a call to __fentry__"),
    must_be_on("KALLSYMS_ALL", "livepatches look up symbols of all kinds by name"),
    must_be_on("DEBUG_INFO", "sizes and layouts are read from the kernel's debug information"),
    must_be_off("DEBUG_INFO_SPLIT", "kpatch cannot read split debug information"),
    must_be_off("GCC_PLUGIN_LATENT_ENTROPY", "the plugin makes every compilation different"),
    must_be_off("GCC_PLUGIN_RANDSTRUCT", "structure layouts are randomised"),
    must_be_off("RANDSTRUCT", "structure layouts are randomised"),
    must_be_off("LTO_CLANG", "link-time optimisation leaves no comparable objects"),
    must_be_off("CFI_CLANG", CFI),
    // As it is called from Linux 6.18 on.
    must_be_off("CFI", CFI),
    must_be_off("LTO_GCC", "link-time optimisation leaves no comparable objects"),
    must_be_off("TRIM_UNUSED_KSYMS", "symbols that a livepatch may need are not exported"),
];

const CFI: &str = "kpatch does not carry over the checks of indirect calls that the compiler put \
    before functions";

/// All reasons why the kpatch engine cannot serve a kernel with this config; empty when it can.
pub(crate) fn kpatch_refusals(config: &KernelConfig) -> Vec<ConfigRefusal> {
    RULES.into_iter().filter(|rule| config.is_yes(rule.option) != rule.must_be_on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCHABLE: &str = "CONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_FUNCTION_TRACER=y\n\
        CONFIG_HAVE_FENTRY=y\nCONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\n";

    fn refused_options(text: &str) -> Vec<&'static str> {
        let config = KernelConfig::parse(text.as_bytes()).expect("a valid config");
        kpatch_refusals(&config).into_iter().map(|refusal| refusal.option).collect()
    }

    #[test]
    fn patchable_config_has_no_refusal() {
        assert_eq!(refused_options(PATCHABLE), Vec::<&str>::new());
    }

    #[test]
    fn kernel_with_indirect_branch_tracking_is_not_refused() {
        let text = format!("{PATCHABLE}CONFIG_X86_KERNEL_IBT=y\n");
        assert_eq!(refused_options(&text), Vec::<&str>::new());
    }

    #[test]
    fn each_rule_refuses_by_the_name_of_its_option() {
        for rule in RULES {
            let text = if rule.must_be_on {
                PATCHABLE.replace(&format!("CONFIG_{}=y\n", rule.option), "")
            } else {
                format!("{PATCHABLE}CONFIG_{}=y\n", rule.option)
            };
            assert_eq!(refused_options(&text), [rule.option]);
            assert!(rule.to_string().contains(rule.option));
        }
    }
}
