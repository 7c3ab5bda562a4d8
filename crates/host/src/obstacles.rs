//! What stands against loading a livepatch. All of it is looked at before the kernel is asked, which would say
//! no more than a number.

use std::collections::{BTreeSet, HashMap};

use elivepatch_model::{Architecture, BaseKind, ElfBuildId, Manifest, Sha256Digest};
use elivepatch_signature::SignatureProblem;

use crate::{
    HostProblem, Kernel, KernelState, Livepatch, Machine, ModuleFile,
    kernel_keys::has_key,
    kprobes::probed,
    livepatches::{DIRECTORY, build_id_of, is_module_name},
};

/// The room that the kernel has for modules, in bytes: 1008 MiB with KASLR, the smaller of the two layouts
/// (`MODULES_LEN` in `arch/x86/include/asm/pgtable_64_types.h`).
const MODULE_SPACE: u64 = 1008 * 1024 * 1024;

/// Where the kernel says which functions are traced or replaced, and by what.
const TRACING: [&str; 2] = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];

/// Something that stands against loading a livepatch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Only root loads modules.
    #[error("this process is not root's")]
    NotRoot,
    /// The kernel has no livepatching.
    #[error("the running kernel has no livepatching (there is no /{DIRECTORY})")]
    NoLivepatching,
    /// The kernel takes no modules any more.
    #[error("the kernel takes no modules any more: kernel.modules_disabled is 1")]
    ModulesDisabled,
    /// It was built for another machine.
    #[error("it is for {livepatch}, and this machine is {machine}")]
    Architecture {
        /// What it is for.
        livepatch: Architecture,
        /// What the machine is.
        machine: &'static str,
    },
    /// It was built for another image.
    #[error(
        "it was built for the kernel with build-id {livepatch}, and the one with {running} is running"
    )]
    BuildId {
        /// What it is for.
        livepatch: ElfBuildId,
        /// What runs.
        running: ElfBuildId,
    },
    /// It was built for another release.
    #[error("it is for {livepatch}, and {running} is running")]
    Release {
        /// What it is for, by its vermagic.
        livepatch: String,
        /// What runs.
        running: String,
    },
    /// The file is not what its manifest says.
    #[error("the module's digest is {module}, and its manifest says {manifest}")]
    Digest {
        /// Of the file.
        module: Sha256Digest,
        /// In the manifest.
        manifest: Sha256Digest,
    },
    /// It was ordered for a kernel of which no more than the release was told.
    #[error(
        "it was ordered for a kernel of which the build-id was not told: it may be another one than this"
    )]
    NotOrderedHere,
    /// It would not take the place of what is loaded, as everything goes by that elivepatch loads.
    #[error("it was made to load beside other livepatches, and replaces none")]
    Stacks,
    /// Nothing says what it was built for.
    #[error("it has no manifest, so that nothing proves that it was built for this very kernel")]
    NoManifest,
    /// It is no livepatch, or has no name.
    #[error("it is no livepatch")]
    NoLivepatch,
    /// The machine takes only manifests that certain keys have signed, and this one is none of them.
    #[error("its manifest is refused: {0}")]
    ManifestNotTrusted(SignatureProblem),
    /// The keys that must have signed manifests cannot be read.
    #[error("it cannot be told whose manifests this machine takes: {0}")]
    KeysUnreadable(String),
    /// The kernel loads only modules that are signed by keys that it has.
    #[error(
        "the kernel loads only modules with a signature that it trusts, and it does not have the key of {signer} \
         (key id {key_id}), which has signed this one"
    )]
    UnknownSigner {
        /// The subject of the key's certificate.
        signer: String,
        /// What the kernel would know the key by.
        key_id: String,
    },
    /// The kernel loads only signed modules.
    #[error("the kernel loads only modules with a signature that it trusts, and this one has none")]
    Unsigned,
    /// It did harm before.
    #[error("it is locked out on this machine: {0}")]
    LockedOut(String),
    /// Another transition is under way.
    #[error("the livepatch {0} is in transition")]
    InTransition(String),
    /// A module of that name is loaded that is another one.
    #[error("another module with the name {0} is loaded")]
    NameTaken(String),
    /// Somebody else's livepatch is loaded: the kernel would take it out, since a livepatch replaces all others.
    #[error(
        "the livepatch {by}, which is not of elivepatch, is loaded{over}: this one would take it out"
    )]
    OfOthers {
        /// The other livepatch.
        by: String,
        /// The first function that both replace, in words; empty when there is none.
        over: String,
    },
    /// Something that is no livepatch redirects the function.
    #[error("{by} redirects {function} already (see /sys/kernel/tracing/enabled_functions)")]
    Redirected {
        /// The function.
        function: String,
        /// What does, as far as it is known.
        by: &'static str,
    },
    /// There is not enough memory.
    #[error("it needs {needed} MiB of memory, and {free} MiB are free")]
    Memory {
        /// How much, in MiB.
        needed: u64,
        /// How much there is, in MiB.
        free: u64,
    },
    /// The room for modules is full.
    #[error("the room that the kernel has for modules is full: {used} MiB are used")]
    ModuleSpace {
        /// How much is used, in MiB.
        used: u64,
    },
}

impl Obstacle {
    /// What can be done; one line.
    pub fn hint(&self) -> String {
        let text = match self {
            Self::NotRoot => "run it as root, or through sudo",
            Self::NoLivepatching => "boot a kernel with CONFIG_LIVEPATCH",
            Self::ModulesDisabled => "it cannot be undone before the next boot",
            Self::Architecture { .. }
            | Self::BuildId { .. }
            | Self::Release { .. }
            | Self::NotOrderedHere => {
                "order one for the running kernel: elivepatch build or elivepatch cve on this machine"
            }
            Self::Stacks => {
                "order it with elivepatch build, which makes one that replaces what is loaded"
            }
            Self::Digest { .. } => "fetch module and manifest again",
            Self::NoManifest => {
                "put the manifest beside it (MODULE.manifest.json), as elivepatch build does"
            }
            Self::NoLivepatch => "give a module that elivepatch build has stored",
            Self::Unsigned => {
                "have the server sign modules with a key that this kernel trusts ([signing] in its config)"
            }
            Self::UnknownSigner { .. } => ENROL_KEY,
            Self::ManifestNotTrusted(SignatureProblem::Missing { .. }) => {
                "fetch it again from the server that signs (elivepatch apply BUILD); what was kept before there was a \
                 key has no signature"
            }
            Self::ManifestNotTrusted(SignatureProblem::OtherKey { .. }) => {
                "ask the server's administrator for its key (elivepatch-server manifest-key), and give it with \
                 --manifest-key when you trust it"
            }
            Self::ManifestNotTrusted(_) => {
                "fetch module, manifest and signature again; when that does not help, somebody has changed them"
            }
            Self::KeysUnreadable(_) => {
                "give the key with --manifest-key, or register the machine again: elivepatch enrol"
            }
            Self::LockedOut(_) => "elivepatch unlock lets it be loaded again",
            Self::InTransition(_) => "try again when it has ended: elivepatch status",
            Self::NameTaken(_) => "take the other one out: rmmod NAME",
            Self::OfOthers { .. } => {
                "have one tool patch this machine: take the other livepatch out, or leave the machine to it"
            }
            Self::Redirected { .. } => {
                "end what traces it (a kprobe, a BPF program), and try again"
            }
            Self::Memory { .. } | Self::ModuleSpace { .. } => "free some, and try again",
        };
        text.to_owned()
    }
}

/// How a kernel comes by a key.
pub(crate) const ENROL_KEY: &str = "enrol that key: elivepatch-server module-key --der KEY.der on the server, mokutil --import KEY.der \
     here, and reboot; or build it into the kernel (CONFIG_SYSTEM_TRUSTED_KEYS)";

/// What is about to be loaded, and over what.
pub(crate) struct Candidate<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) module: &'a ModuleFile,
    pub(crate) manifest: Option<&'a Manifest>,
    /// What is loaded.
    pub(crate) loaded: &'a [Livepatch],
    /// The build-ids of the livepatches that elivepatch has loaded here: the new one replaces them.
    pub(crate) own: &'a HashMap<ElfBuildId, Sha256Digest>,
    pub(crate) state: &'a KernelState,
    /// Whether its manifest is taken.
    pub(crate) trusted: Result<(), Obstacle>,
}

/// All that stands against it, the most telling first.
pub(crate) fn obstacles(
    machine: &Machine,
    candidate: &Candidate<'_>,
) -> Result<Vec<Obstacle>, HostProblem> {
    let mut found = of_the_kernel(machine)?;
    found.extend(candidate.trusted.clone().err());
    found.extend(of_the_file(candidate));
    found.extend(of_what_is_loaded(machine, candidate)?);
    found.extend(of_room(machine, candidate.module));
    Ok(found)
}

fn of_the_kernel(machine: &Machine) -> Result<Vec<Obstacle>, HostProblem> {
    let mut found = Vec::new();
    if !machine.modules().may_load() {
        found.push(Obstacle::NotRoot);
    }
    if !machine.root().join(DIRECTORY).is_dir() {
        found.push(Obstacle::NoLivepatching);
    }
    if machine.text("proc/sys/kernel/modules_disabled").is_ok_and(|text| text.trim() == "1") {
        found.push(Obstacle::ModulesDisabled);
    }
    Ok(found)
}

fn of_the_file(candidate: &Candidate<'_>) -> Vec<Obstacle> {
    let Candidate { kernel, module, manifest, state, .. } = *candidate;
    let mut found = Vec::new();
    if !module.is_livepatch || !is_module_name(&module.name) {
        found.push(Obstacle::NoLivepatch);
    }
    match manifest {
        Some(manifest) => {
            if manifest.module.digest != module.digest {
                found.push(Obstacle::Digest {
                    module: module.digest,
                    manifest: manifest.module.digest,
                });
            }
            if manifest.request.as_ref().is_some_and(|request| request.options.stack) {
                found.push(Obstacle::Stacks);
            }
            if manifest.architecture.as_str() != std::env::consts::ARCH {
                found.push(Obstacle::Architecture {
                    livepatch: manifest.architecture,
                    machine: std::env::consts::ARCH,
                });
            }
            match made_for(manifest) {
                Some(build_id) if *build_id == kernel.build_id => {}
                Some(build_id) => found.push(Obstacle::BuildId {
                    livepatch: build_id.clone(),
                    running: kernel.build_id.clone(),
                }),
                None => found.push(Obstacle::NotOrderedHere),
            }
        }
        None => found.push(Obstacle::NoManifest),
    }
    // Whatever the manifest says: the kernel itself goes by this.
    if module.release() != kernel.release.as_str() {
        found.push(Obstacle::Release {
            livepatch: module.release().to_owned(),
            running: kernel.release.to_string(),
        });
    }
    if let Some(lockout) = state.locked_out.get(&module.digest) {
        found.push(Obstacle::LockedOut(lockout.reason.clone()));
    }
    found
}

/// The build-id of the image that a livepatch was ordered for. A base that the server has built has another one:
/// what was proven of it, was proven of the target of the order.
fn made_for(manifest: &Manifest) -> Option<&ElfBuildId> {
    match manifest.base {
        BaseKind::Prepared => Some(&manifest.build_id),
        BaseKind::Built => manifest.request.as_ref()?.target.build_id.as_ref(),
    }
}

fn of_what_is_loaded(
    machine: &Machine,
    candidate: &Candidate<'_>,
) -> Result<Vec<Obstacle>, HostProblem> {
    let Candidate { module, loaded, own, .. } = *candidate;
    let mut found = Vec::new();
    if signatures_enforced(machine) {
        found.extend(of_signature(machine, candidate));
    }
    if let Some(moving) = loaded.iter().find(|livepatch| livepatch.in_transition) {
        found.push(Obstacle::InTransition(moving.name.clone()));
    }
    let is_loaded = machine.root().join("sys/module").join(&module.name).is_dir();
    // The same one may be there, disabled: it is unloaded then.
    if is_loaded
        && (module.build_id.is_none() || build_id_of(machine, &module.name)? != module.build_id)
    {
        found.push(Obstacle::NameTaken(module.name.clone()));
    }
    let is_own = |livepatch: &&Livepatch| {
        livepatch.build_id.as_ref().is_some_and(|build_id| own.contains_key(build_id))
    };
    for other in loaded.iter().filter(|livepatch| !is_own(livepatch)) {
        if other.build_id.is_some() && other.build_id == module.build_id {
            continue;
        }
        let over = other.functions.intersection(&module.functions).next();
        let over =
            over.map_or_else(String::new, |function| format!(" and replaces {function}, too"));
        found.push(Obstacle::OfOthers { by: other.name.clone(), over });
    }
    // By name, for that is all that the other list has.
    let patched: BTreeSet<&str> = (loaded.iter())
        .flat_map(|livepatch| &livepatch.functions)
        .map(|function| function.name.as_str())
        .collect();
    let redirected = redirected(machine);
    let of_image = module.functions.iter().filter(|function| function.object == "vmlinux");
    let mut taken = of_image.filter(|function| {
        !patched.contains(function.name.as_str()) && redirected.contains(&function.name)
    });
    if let Some(function) = taken.next() {
        let function = function.to_string();
        let by = match probed(machine, module).contains(&function) {
            true => "a kprobe with a post handler",
            false => "something else",
        };
        found.push(Obstacle::Redirected { function, by });
    }
    Ok(found)
}

/// What the kernel will have against the signature of the module.
fn of_signature(machine: &Machine, candidate: &Candidate<'_>) -> Option<Obstacle> {
    if !candidate.module.is_signed {
        return Some(Obstacle::Unsigned);
    }
    // Without a word on it the kernel decides alone. So it does where it has the key: in which of its keyrings is
    // not told.
    let by = candidate.manifest?.module.signature.as_ref()?;
    let is_missing = has_key(machine, &by.key_id) == Some(false);
    let (signer, key_id) = (by.signer.clone(), by.key_id.clone());
    is_missing.then_some(Obstacle::UnknownSigner { signer, key_id })
}

/// Whether the kernel loads only signed modules: by its parameter, or since it is locked down.
fn signatures_enforced(machine: &Machine) -> bool {
    let is_yes = |path| machine.text(path).is_ok_and(|text: String| text.trim() == "Y");
    let lockdown = machine.text("sys/kernel/security/lockdown").unwrap_or_default();
    is_yes("sys/module/module/parameters/sig_enforce")
        || lockdown.contains("[integrity]")
        || lockdown.contains("[confidentiality]")
}

/// The functions whose calls something leads elsewhere: those with the flag I (`IPMODIFY`) in
/// `enabled_functions`. Empty where tracefs is not mounted: then the kernel itself refuses what is taken.
fn redirected(machine: &Machine) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for place in TRACING {
        let Ok(text) = machine.text(&format!("{place}/enabled_functions")) else { continue };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            // `NAME (2) R I     M  tramp: …`; behind the flags stand names of trampolines.
            let mut flags = words.take_while(|word| word.len() == 1 || word.starts_with('('));
            if flags.any(|word| word == "I") {
                found.insert(name.to_owned());
            }
        }
        break;
    }
    found
}

fn of_room(machine: &Machine, module: &ModuleFile) -> Vec<Obstacle> {
    const MIB: u64 = 1024 * 1024;
    let mut found = Vec::new();
    // The file is read whole, and copied once.
    let needed = 2 * module.size + 8 * MIB;
    let memory = machine.text("proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = free.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    if let Some(free) = free.map(|kib| kib * 1024).filter(|free| *free < needed) {
        found.push(Obstacle::Memory { needed: needed.div_ceil(MIB), free: free / MIB });
    }
    let modules = machine.text("proc/modules").unwrap_or_default();
    let sizes = modules.lines().filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
    let used: u64 = sizes.sum();
    if used + module.size > MODULE_SPACE {
        found.push(Obstacle::ModuleSpace { used: used / MIB });
    }
    found
}
