use camino::Utf8Path;
use elivepatch_model::{
    BaseKind, ConfigRefusal, Engine, Failure, FailureClass, KernelConfig, default_engine,
    engine_refusals,
};

use super::klp::SCRIPT;

/// Chooses the engine for a base: the one that the order asks for, or else the default one.
///
/// # Errors
/// `engine-unsupported` when the engine that was asked for cannot serve this base;
/// `config-unsupported` when the default one cannot.
pub(crate) fn choose(
    asked_for: Option<Engine>,
    config: &KernelConfig,
    kind: BaseKind,
    tree: &Utf8Path,
) -> Result<Engine, Failure> {
    let engine = asked_for.unwrap_or_else(|| default_engine(config, Some(kind)));
    let obstacle = match engine {
        Engine::Kpatch => refusals(config, engine),
        Engine::KlpBuild => klp_obstacle(config, kind, tree),
    };
    match (obstacle, asked_for) {
        (None, _) => Ok(engine),
        (Some(why), Some(_)) => Err(Failure::new(
            FailureClass::EngineUnsupported,
            format!("the engine {engine} cannot serve this kernel: {why}"),
            "leave --engine out: the server decides",
        )),
        (Some(why), None) => Err(Failure::new(
            FailureClass::ConfigUnsupported,
            why,
            "this kernel cannot be live-patched as it is configured",
        )),
    }
}

fn klp_obstacle(config: &KernelConfig, kind: BaseKind, tree: &Utf8Path) -> Option<String> {
    if kind != BaseKind::Built {
        let why = "it compares whole kernels, and of a stock kernel only single files are compiled";
        return Some(why.to_owned());
    }
    if !tree.join(SCRIPT).is_file() {
        return Some(format!("its source has no {SCRIPT}, which Linux 6.19 brought"));
    }
    refusals(config, Engine::KlpBuild)
}

fn refusals(config: &KernelConfig, engine: Engine) -> Option<String> {
    engine_refusals(config, engine).first().map(ConfigRefusal::to_string)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    const BOTH: &str = "CONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_FUNCTION_TRACER=y\n\
        CONFIG_HAVE_FENTRY=y\nCONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\nCONFIG_KLP_BUILD=y\n";

    fn config(text: &str) -> KernelConfig {
        KernelConfig::parse(text.as_bytes()).expect("a valid config")
    }

    /// A source tree with the kernel's script in it.
    fn tree() -> (tempfile::TempDir, Utf8PathBuf) {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        let script = tree.join(SCRIPT);
        fs_err::create_dir_all(script.parent().expect("a parent")).expect("own directory");
        fs_err::write(script, "#!/bin/bash\n").expect("own file");
        (temporary, tree)
    }

    #[test]
    fn kpatch_is_the_first_choice_on_every_base() {
        let (_temporary, tree) = tree();
        let (both, older) = (config(BOTH), config(&BOTH.replace("CONFIG_KLP_BUILD=y\n", "")));
        let chosen = |config, kind, tree: &Utf8Path| choose(None, config, kind, tree);
        assert_eq!(chosen(&both, BaseKind::Built, &tree), Ok(Engine::Kpatch));
        assert_eq!(chosen(&both, BaseKind::Prepared, &tree), Ok(Engine::Kpatch));
        assert_eq!(chosen(&older, BaseKind::Built, &tree), Ok(Engine::Kpatch));
        assert_eq!(chosen(&both, BaseKind::Built, &tree.join("scripts")), Ok(Engine::Kpatch));
    }

    #[test]
    fn engine_that_is_asked_for_is_used_or_refused_with_the_reason() {
        let (_temporary, tree) = tree();
        let both = config(BOTH);
        let asked = |engine, config, kind| choose(Some(engine), config, kind, &tree);
        assert_eq!(asked(Engine::Kpatch, &both, BaseKind::Built), Ok(Engine::Kpatch));
        assert_eq!(asked(Engine::KlpBuild, &both, BaseKind::Built), Ok(Engine::KlpBuild));
        let failure = asked(Engine::KlpBuild, &both, BaseKind::Prepared).expect_err("no objects");
        assert_eq!(failure.class, FailureClass::EngineUnsupported);
        assert!(failure.message.contains("stock kernel"), "{failure}");
        let no_debug_info = config(&BOTH.replace("CONFIG_DEBUG_INFO=y\n", ""));
        let failure = asked(Engine::Kpatch, &no_debug_info, BaseKind::Built).expect_err("a rule");
        assert!(failure.message.contains("CONFIG_DEBUG_INFO"), "{failure}");
    }

    #[test]
    fn config_that_the_default_engine_does_not_serve_is_refused() {
        let (_temporary, tree) = tree();
        let no_debug_info = config(&BOTH.replace("CONFIG_DEBUG_INFO=y\n", ""));
        let failure = choose(None, &no_debug_info, BaseKind::Built, &tree).expect_err("a rule");
        assert_eq!(failure.class, FailureClass::ConfigUnsupported);
        assert!(failure.message.contains("CONFIG_DEBUG_INFO"), "{failure}");
    }
}
