//! Inspection of the finished module: is it what a livepatch for this target must be?

use elivepatch_elf::{BranchTargets, Module, ModuleSymvers};
use elivepatch_model::{
    BranchAudit, Failure, FailureClass, KernelConfig, ModuleRecord, PatchedFunction, Sha256Digest,
};

use crate::{
    base::Base,
    branch_audit::{audit, objects_taken_from},
    engine::{ChangedObject, LivepatchEngine},
    failures::internal,
    module_links::check_module_links,
    runtime_constants::check_module,
    symbols::check_references,
};

/// What a sound module holds.
pub(crate) struct Inspected {
    pub record: ModuleRecord,
    pub functions: Vec<PatchedFunction>,
    /// For kernels with indirect branch tracking.
    pub branch_audit: Option<BranchAudit>,
}

/// Reads the module and compares it with its target.
///
/// # Errors
/// `module-invalid` with all that is wrong; `module-dependency` when it depends on modules that need
/// not be there; `runtime-constant` when its code waits for what only the kernel's own code gets;
/// `symbol-ambiguous` when it would replace or use something else than it should.
pub(crate) fn inspect(
    bytes: &[u8],
    name: &str,
    base: &Base,
    config: &KernelConfig,
    engine: &LivepatchEngine,
    changed: &[ChangedObject],
) -> Result<Inspected, Failure> {
    let module = Module::read(bytes).map_err(|error| invalid(vec![error.to_string()]))?;
    let symvers = ModuleSymvers::parse(&base.module_symvers()?)
        .map_err(|error| internal(format!("the base's Module.symvers: {error}")))?;
    let mut problems = identity_problems(&module, name, base);
    problems.extend(symbol_problems(&module, &symvers));
    check_module_links(&module, &base.modules()?)?;
    check_module(bytes)?;
    check_references(&engine.references(changed, &module)?, &module, base, config)?;
    let mut functions: Vec<PatchedFunction> = module
        .replaced_functions
        .iter()
        .map(|function| PatchedFunction {
            object: function.object.clone(),
            name: function.name.clone(),
            position: function.position,
        })
        .collect();
    functions.sort();
    if functions.is_empty() {
        problems.push("it replaces no function".to_owned());
    }
    let mut branch_audit = None;
    if config.is_yes("X86_KERNEL_IBT") {
        let targets =
            BranchTargets::read(bytes).map_err(|error| invalid(vec![error.to_string()]))?;
        let exporter = |name: &str| {
            let object = &symvers.get(name)?.object;
            Some(object.rsplit('/').next().unwrap_or(object).replace('-', "_"))
        };
        let known = base.functions_without_endbr(&objects_taken_from(&targets, &exporter))?;
        match audit(&targets, &known, &exporter, engine.kind()) {
            Ok(audit) => branch_audit = Some(audit),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if !problems.is_empty() {
        return Err(invalid(problems));
    }
    let record = ModuleRecord {
        name: name.to_owned(),
        file_name: format!("{name}.ko"),
        digest: Sha256Digest::of(bytes),
        size_bytes: bytes.len() as u64,
        vermagic: base.facts().vermagic.clone(),
        build_id: module.build_id.clone(),
        signature: None,
    };
    Ok(Inspected { record, functions, branch_audit })
}

fn identity_problems(module: &Module, name: &str, base: &Base) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, found: Option<&str>, expected: &str| {
        if found != Some(expected) {
            let found = found.unwrap_or("missing");
            problems.push(format!("its {what} is {found:?}, expected {expected:?}"));
        }
    };
    expect("vermagic", module.modinfo.vermagic(), &base.facts().vermagic);
    expect("name", module.modinfo.name(), name);
    expect("livepatch mark", module.modinfo.get("livepatch"), "Y");
    problems
}

/// Every symbol that the module needs must be exported by the target, with the same version.
fn symbol_problems(module: &Module, symvers: &ModuleSymvers) -> Vec<String> {
    let missing = module
        .undefined_symbols
        .iter()
        .filter(|symbol| !symbol.is_weak && symvers.get(&symbol.name).is_none())
        .map(|symbol| format!("it needs {}, which the kernel does not export", symbol.name));
    let mismatches = module.check_against(symvers).into_iter().map(|mismatch| mismatch.to_string());
    missing.chain(mismatches).collect()
}

fn invalid(problems: Vec<String>) -> Failure {
    Failure::new(
        FailureClass::ModuleInvalid,
        format!(
            "the module is not fit to be loaded: {}",
            problems.first().map_or("unknown", String::as_str)
        ),
        "nothing of it is published; if the patch is sound, please report it with the build's log",
    )
    .with_details(problems)
}
