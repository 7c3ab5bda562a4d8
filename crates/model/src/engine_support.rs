use crate::{
    ConfigValue, Engine, KernelConfig,
    kpatch_support::{ConfigRefusal, kpatch_refusals, must_be_off, must_be_on},
};

/// What the klp-build engine needs or cannot serve: the rules of `validate_config` in the kernel's
/// scripts/livepatch/klp-build (Linux 7.3), and two of our own: modules must be loadable, and layouts
/// readable.
const KLP_RULES: [ConfigRefusal; 7] = [
    must_be_on("MODULES", "a livepatch is a kernel module"),
    must_be_on("LIVEPATCH", "the kernel has no live patching"),
    must_be_on("KLP_BUILD", "the kernel is not built for klp-build, which Linux 6.19 brought"),
    must_be_on("DEBUG_INFO", "sizes and layouts are read from the kernel's debug information"),
    must_be_off("GCC_PLUGIN_LATENT_ENTROPY", "the plugin makes every compilation different"),
    must_be_off("GCC_PLUGIN_RANDSTRUCT", "structure layouts are randomised"),
    must_be_off(
        "LD_DEAD_CODE_DATA_ELIMINATION",
        "the linker drops the table that tells symbols of the same name apart",
    ),
];

/// The oldest of clang's own assemblers that klp-build takes, as a config has its version: in the form
/// `major * 10000 + minor * 100 + patch`.
const OLDEST_LLVM_ASSEMBLER: u64 = 200_000;

const OLD_ASSEMBLER: ConfigRefusal = must_be_off(
    "AS_IS_LLVM",
    "klp-build takes what clang itself assembles only from clang 20 on (CONFIG_AS_VERSION)",
);

fn klp_refusals(config: &KernelConfig) -> Vec<ConfigRefusal> {
    let broken = |rule: &ConfigRefusal| config.is_yes(rule.option) != rule.must_be_on;
    let mut refusals: Vec<ConfigRefusal> = KLP_RULES.into_iter().filter(broken).collect();
    let version = match config.value("AS_VERSION") {
        Some(ConfigValue::Number(version)) => version.parse().unwrap_or(0),
        _ => 0,
    };
    if config.is_yes("AS_IS_LLVM") && version < OLDEST_LLVM_ASSEMBLER {
        refusals.push(OLD_ASSEMBLER);
    }
    refusals
}

/// All reasons why an engine cannot serve a kernel with this config; empty when it can. Whether
/// the engine can serve the *base* is another question: klp-build needs one that was built.
pub fn engine_refusals(config: &KernelConfig, engine: Engine) -> Vec<ConfigRefusal> {
    match engine {
        Engine::Kpatch => kpatch_refusals(config),
        Engine::KlpBuild => klp_refusals(config),
    }
}

/// All reasons why no livepatch can be made for a kernel with this config: those of the engine that
/// was asked for. Where none was, there are none when one engine can serve it, and otherwise they
/// are kpatch's, which serves more kernels.
pub fn config_refusals(config: &KernelConfig, asked_for: Option<Engine>) -> Vec<ConfigRefusal> {
    match asked_for {
        Some(engine) => engine_refusals(config, engine),
        None if engine_refusals(config, Engine::KlpBuild).is_empty() => Vec::new(),
        None => engine_refusals(config, Engine::Kpatch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVED_BY_BOTH: &str = "CONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_FUNCTION_TRACER=y\n\
        CONFIG_HAVE_FENTRY=y\nCONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\nCONFIG_KLP_BUILD=y\n";

    fn config(text: &str) -> KernelConfig {
        KernelConfig::parse(text.as_bytes()).expect("a valid config")
    }

    fn options(refusals: Vec<ConfigRefusal>) -> Vec<&'static str> {
        refusals.into_iter().map(|refusal| refusal.option).collect()
    }

    #[test]
    fn each_rule_of_klp_build_refuses_by_the_name_of_its_option() {
        assert_eq!(engine_refusals(&config(SERVED_BY_BOTH), Engine::KlpBuild), []);
        for rule in KLP_RULES {
            let text = if rule.must_be_on {
                SERVED_BY_BOTH.replace(&format!("CONFIG_{}=y\n", rule.option), "")
            } else {
                format!("{SERVED_BY_BOTH}CONFIG_{}=y\n", rule.option)
            };
            assert_eq!(options(engine_refusals(&config(&text), Engine::KlpBuild)), [rule.option]);
        }
    }

    #[test]
    fn klp_build_serves_what_clang_assembles_from_version_20_on() {
        let clang =
            |version: &str| config(&format!("{SERVED_BY_BOTH}CONFIG_AS_IS_LLVM=y\n{version}"));
        assert_eq!(engine_refusals(&clang("CONFIG_AS_VERSION=200100\n"), Engine::KlpBuild), []);
        for older in ["CONFIG_AS_VERSION=190107\n", ""] {
            let refusals = engine_refusals(&clang(older), Engine::KlpBuild);
            assert_eq!(options(refusals), ["AS_IS_LLVM"], "{older}");
            assert_eq!(config_refusals(&clang(older), None), [], "kpatch serves it");
        }
        // Its version says nothing of GNU's.
        let gnu = config(&format!("{SERVED_BY_BOTH}CONFIG_AS_IS_GNU=y\nCONFIG_AS_VERSION=24400\n"));
        assert_eq!(engine_refusals(&gnu, Engine::KlpBuild), []);
    }

    #[test]
    fn config_that_one_engine_serves_is_refused_when_the_other_is_asked_for() {
        let only_klp = config(&SERVED_BY_BOTH.replace("CONFIG_KALLSYMS_ALL=y\n", ""));
        assert_eq!(config_refusals(&only_klp, None), []);
        assert_eq!(config_refusals(&only_klp, Some(Engine::KlpBuild)), []);
        assert_eq!(options(config_refusals(&only_klp, Some(Engine::Kpatch))), ["KALLSYMS_ALL"]);
        let only_kpatch = config(&SERVED_BY_BOTH.replace("CONFIG_KLP_BUILD=y\n", ""));
        assert_eq!(config_refusals(&only_kpatch, None), []);
        assert_eq!(options(config_refusals(&only_kpatch, Some(Engine::KlpBuild))), ["KLP_BUILD"]);
        let none = config(&SERVED_BY_BOTH.replace("CONFIG_LIVEPATCH=y\n", ""));
        assert_eq!(options(config_refusals(&none, None)), ["LIVEPATCH"]);
    }
}
