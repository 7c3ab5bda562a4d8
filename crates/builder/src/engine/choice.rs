use camino::Utf8Path;
use elivepatch_model::{
    BaseKind, ConfigRefusal, Engine, Failure, FailureClass, KernelConfig, engine_refusals,
};
use elivepatch_patch::{LineKind, SourcePatch};

use super::klp::SCRIPT;
use crate::{FixText, untrusted_file::read_untrusted_below};

/// Chooses the engine for a base: the one that the order asks for; or else klp-build where the
/// source and the config have it and the base was built, and kpatch everywhere else.
///
/// # Errors
/// `engine-unsupported` when the engine that was asked for cannot serve this base;
/// `config-unsupported` when none was, and neither can.
pub(crate) fn choose(
    asked_for: Option<Engine>,
    config: &KernelConfig,
    kind: BaseKind,
    tree: &Utf8Path,
) -> Result<Engine, Failure> {
    let obstacle = |engine| match engine {
        Engine::Kpatch => refusals(config, engine),
        Engine::KlpBuild => klp_obstacle(config, kind, tree),
    };
    if let Some(engine) = asked_for {
        return match obstacle(engine) {
            None => Ok(engine),
            Some(why) => Err(Failure::new(
                FailureClass::EngineUnsupported,
                format!("the engine {engine} cannot serve this kernel: {why}"),
                "leave --engine out: the server decides",
            )),
        };
    }
    let Some(why_not_klp) = obstacle(Engine::KlpBuild) else { return Ok(Engine::KlpBuild) };
    let Some(why_not_kpatch) = obstacle(Engine::Kpatch) else { return Ok(Engine::Kpatch) };
    let each = [(Engine::Kpatch, &why_not_kpatch), (Engine::KlpBuild, &why_not_klp)];
    Err(Failure::new(
        FailureClass::ConfigUnsupported,
        why_not_kpatch.clone(),
        "this kernel cannot be live-patched as it is configured",
    )
    .with_details(each.map(|(engine, why)| format!("the engine {engine} cannot serve it: {why}"))))
}

/// Why kpatch has to make the livepatch, where klp-build would be chosen and kpatch can serve the
/// kernel, too; `None` when klp-build can. `new_files` are those that the fixes add to the kernel.
pub(crate) fn only_kpatch_can(
    fixes: &[FixText],
    new_files: &[&str],
    config: &KernelConfig,
) -> Option<String> {
    if refusals(config, Engine::Kpatch).is_some() {
        return None;
    }
    if let Some(file) = new_files.first() {
        return Some(format!("{file} is new, and klp-build compares what the kernel has"));
    }
    let fix = fixes.iter().find(|fix| includes_kpatch_macros(&fix.text))?;
    Some(format!("{} includes {KPATCH_MACROS}, which klp-build does not know", fix.fix.name))
}

/// What this engine relies on, by words of the source that does it: checksums apart from objtool's run,
/// changed data and variables that are not found again told as such, and the table of symbols that
/// share a name. Linux 6.19 had `objtool klp` without them, and would give half a livepatch where data
/// changes, too.
const OBJTOOL_CAN: [(&str, &str); 4] = [
    ("tools/objtool/builtin-klp.c", "\"checksum\""),
    ("tools/objtool/klp-diff.c", "changed data: "),
    ("tools/objtool/klp-diff.c", "no correlation: "),
    ("scripts/Makefile.vmlinux_o", "KLP_SYMIDS"),
];

/// The largest of these files that is read, in bytes; klp-diff.c of 7.3 has 60 kB.
const SOURCE_BYTES: u64 = 4 * 1024 * 1024;

/// What a patch includes for callbacks and other marks of the kpatch engine.
const KPATCH_MACROS: &str = "kpatch-macros.h";

fn includes_kpatch_macros(text: &[u8]) -> bool {
    let Ok(patch) = SourcePatch::parse(text) else { return false };
    let lines = patch.files.iter().flat_map(|file| &file.hunks).flat_map(|hunk| &hunk.lines);
    lines.filter(|line| line.kind == LineKind::Added).any(|line| {
        let text = String::from_utf8_lossy(&line.content);
        text.trim_start().starts_with('#') && text.contains(KPATCH_MACROS)
    })
}

fn klp_obstacle(config: &KernelConfig, kind: BaseKind, tree: &Utf8Path) -> Option<String> {
    if kind != BaseKind::Built {
        let why = "it compares whole kernels, and of a stock kernel only single files are compiled";
        return Some(why.to_owned());
    }
    if !tree.join(SCRIPT).is_file() {
        return Some(format!("its source has no {SCRIPT}, which Linux 6.19 brought"));
    }
    let lacks = |(file, words): &&(&str, &str)| {
        let text = read_untrusted_below(tree, file, SOURCE_BYTES).unwrap_or_default();
        !String::from_utf8_lossy(&text).contains(words)
    };
    if let Some((file, words)) = OBJTOOL_CAN.iter().find(lacks) {
        return Some(format!(
            "its objtool is older than this engine needs: {file} knows nothing of {words}, which that of \
             Linux 7.3 does"
        ));
    }
    refusals(config, Engine::KlpBuild)
}

fn refusals(config: &KernelConfig, engine: Engine) -> Option<String> {
    engine_refusals(config, engine).first().map(ConfigRefusal::to_string)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use elivepatch_model::{Fix, Sha256Digest};

    use super::*;

    const BOTH: &str = "CONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_FUNCTION_TRACER=y\n\
        CONFIG_HAVE_FENTRY=y\nCONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\nCONFIG_KLP_BUILD=y\n";

    fn config(text: &str) -> KernelConfig {
        KernelConfig::parse(text.as_bytes()).expect("a valid config")
    }

    /// A source tree with the kernel's script in it, and with an objtool that can do what is needed.
    fn tree() -> (tempfile::TempDir, Utf8PathBuf) {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        for (file, _) in OBJTOOL_CAN {
            let words = OBJTOOL_CAN.iter().filter(|(other, _)| *other == file);
            let text: String = words.map(|(_, words)| *words).collect();
            fs_err::create_dir_all(tree.join(file).parent().expect("a parent")).expect("own");
            fs_err::write(tree.join(file), text).expect("own directory");
        }
        let script = tree.join(SCRIPT);
        fs_err::create_dir_all(script.parent().expect("a parent")).expect("own directory");
        fs_err::write(script, "#!/bin/bash\n").expect("own file");
        (temporary, tree)
    }

    #[test]
    fn klp_build_is_chosen_where_source_and_config_have_it_and_the_base_was_built() {
        let (_temporary, tree) = tree();
        let (both, older) = (config(BOTH), config(&BOTH.replace("CONFIG_KLP_BUILD=y\n", "")));
        let chosen = |config, kind, tree: &Utf8Path| choose(None, config, kind, tree);
        assert_eq!(chosen(&both, BaseKind::Built, &tree), Ok(Engine::KlpBuild));
        assert_eq!(chosen(&both, BaseKind::Prepared, &tree), Ok(Engine::Kpatch));
        assert_eq!(chosen(&older, BaseKind::Built, &tree), Ok(Engine::Kpatch));
        assert_eq!(chosen(&both, BaseKind::Built, &tree.join("scripts")), Ok(Engine::Kpatch));
    }

    /// As that of 6.19, which compares functions only.
    #[test]
    fn kernel_with_an_older_objtool_is_served_by_kpatch() {
        let (_temporary, tree) = tree();
        let both = config(BOTH);
        let file = "tools/objtool/klp-diff.c";
        fs_err::write(tree.join(file), "no correlation: ").expect("own directory");
        assert_eq!(choose(None, &both, BaseKind::Built, &tree), Ok(Engine::Kpatch));
        let asked = choose(Some(Engine::KlpBuild), &both, BaseKind::Built, &tree);
        let failure = asked.expect_err("too old");
        assert_eq!(failure.class, FailureClass::EngineUnsupported);
        assert!(failure.message.contains("klp-diff.c knows nothing of changed data"), "{failure}");
    }

    #[test]
    fn fixes_of_a_kind_that_only_kpatch_serves_are_told() {
        let (both, only_klp) = (config(BOTH), config(&BOTH.replace("CONFIG_KALLSYMS_ALL=y\n", "")));
        let fix = |line: &str| {
            let text = format!(
                "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1 +1,2 @@\n int x;\n{line}\n"
            );
            let digest = Sha256Digest::of(text.as_bytes());
            let fix = Fix { name: "a.patch".to_owned(), digest };
            [FixText { fix, text: text.into_bytes() }]
        };
        let why = |line, new: &[&str], config| only_kpatch_can(&fix(line), new, config);
        assert_eq!(why("+int y;", &[], &both), None);
        assert_eq!(why("+/* not kpatch-macros.h */", &[], &both), None);
        let macros = "+#include \"kpatch-macros.h\"";
        assert!(why(macros, &[], &both).is_some_and(|why| why.starts_with("a.patch includes")));
        let new = why("+int y;", &["fs/new.c"], &both);
        assert!(new.is_some_and(|why| why.starts_with("fs/new.c is new")));
        assert_eq!(why(macros, &["fs/new.c"], &only_klp), None, "kpatch cannot either");
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
    fn config_that_neither_engine_serves_is_refused_with_what_each_lacks() {
        let (_temporary, tree) = tree();
        let only_klp = config(&BOTH.replace("CONFIG_KALLSYMS_ALL=y\n", ""));
        assert_eq!(choose(None, &only_klp, BaseKind::Built, &tree), Ok(Engine::KlpBuild));
        let failure = choose(None, &only_klp, BaseKind::Prepared, &tree).expect_err("a rule");
        assert_eq!(failure.class, FailureClass::ConfigUnsupported);
        assert!(failure.message.contains("CONFIG_KALLSYMS_ALL"), "{failure}");
        assert_eq!(failure.details.len(), 2);
        assert!(failure.details[1].contains("stock kernel"), "{failure}");
    }
}
