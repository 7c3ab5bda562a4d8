use std::{fs, path::Path, time::Duration};

use clap::Args;
use elivepatch_host::{
    Applied, ApplyOptions, Applying, Host, HostProblem, MANIFEST_BYTES, Machine, ManifestTrust,
    ModuleFile, StateDirectory,
};
use elivepatch_model::{BuildNumber, Fix, Manifest};

use super::{StateArgs, Teller, guard, host_problem, open};
use crate::{
    classic,
    destination::{Destination, manifest_path},
    download,
    exit::Exit,
    inputs::read_at_most,
    live,
    manifest_file::read_signature,
    manifest_key::{self, ManifestKeyArgs},
    output::{data, release, say},
    problem::{Problem, warn},
    server::{Server, ServerArgs},
    text::{duration, printable},
};

/// `elivepatch apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A module (its manifest lies beside it), the number of a build on the server, or a livepatch that elivepatch
    /// list names [default: the one that belongs to this kernel]
    #[arg(value_name = "MODULE|BUILD|LIVEPATCH")]
    livepatch: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    how: LoadArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// How a livepatch is loaded.
#[derive(Debug, Clone, Default, Args)]
pub struct LoadArgs {
    /// How long the transition may take before it is reversed
    #[arg(long, value_name = "SECONDS", default_value = "60",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    transition_limit: u64,
}

impl LoadArgs {
    /// The options.
    pub fn options(&self) -> ApplyOptions {
        let transition_limit = match self.transition_limit {
            0 => ApplyOptions::default().transition_limit,
            seconds => Duration::from_secs(seconds),
        };
        ApplyOptions { transition_limit, ..ApplyOptions::default() }
    }
}

/// Loads a livepatch.
pub async fn run(arguments: &ApplyArgs) -> Result<Exit, Problem> {
    let machine = Machine::this();
    let directory = arguments.state.directory();
    // Whatever is fetched is kept here until it is in the state directory.
    let mut fetched = None;
    let applying = match &arguments.livepatch {
        None => current(&machine, &directory)?,
        Some(given) if is_file(given) => read(Path::new(given), &directory.trust())?,
        Some(given) => match given.parse::<BuildNumber>() {
            Ok(number) => {
                let place = tempfile::tempdir().map_err(|error| {
                    Problem::input("cannot make a temporary directory").caused_by(&error)
                })?;
                let applying =
                    fetch(&arguments.server.open()?, number, place.path(), &directory).await?;
                fetched = Some(place);
                applying
            }
            Err(_) => kept(&machine, &directory, given)?,
        },
    };
    let outcome = match arguments.dry_run {
        true => dry_run(&machine, &directory, &applying),
        false => {
            load(&machine, &directory, &applying, &arguments.how, (&[], false)).map(|()| Exit::Done)
        }
    };
    drop(fetched);
    outcome
}

/// What is said, after its name, of a livepatch that was loaded before.
pub const IS_ACTIVE_ALREADY: &str = "is active already";

/// A module that lies beside its manifest and is to be loaded.
pub struct Module<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// The texts of its fixes, as far as they are at hand.
    pub patches: Vec<Vec<u8>>,
    /// Live fixes that are left out because that was asked for.
    pub dropped: &'a [Fix],
    /// The key that its manifest must be signed with.
    pub key: &'a ManifestKeyArgs,
    /// Whether it is not told when it is active already.
    pub quiet: bool,
    /// Whether a user who is not root loads it through sudo.
    pub through_sudo: bool,
}

/// Loads a module that was stored just now.
pub fn module(module: &Module<'_>) -> Result<(), Problem> {
    if module.through_sudo && !rustix::process::geteuid().is_root() {
        return classic::apply_through_sudo(module);
    }
    let directory = StateArgs::of_environment().directory().trusting(module.key.keys());
    let applying =
        Applying { patches: module.patches.clone(), ..read(module.path, &directory.trust())? };
    let told = (module.dropped, module.quiet);
    load(&Machine::this(), &directory, &applying, &LoadArgs::default(), told)
}

fn load(
    machine: &Machine,
    directory: &StateDirectory,
    applying: &Applying,
    how: &LoadArgs,
    (dropped, quiet): (&[Fix], bool),
) -> Result<(), Problem> {
    let mut host = open(machine, directory)?;
    if let Some((live, lost)) = lost(&host, applying, dropped)? {
        warn(&format!("it takes out {live}, and does not hold of its fixes: {lost}"));
    }
    // Before anything is loaded: it goes on with what is left on its way when this program is ended. It waits for the
    // lock that is held here, and so does not end because there is nothing to look after yet.
    let guarded = guard::start(directory);
    let mut teller = Teller::default();
    let name = &applying.module.name;
    let applied = host
        .apply(applying, &how.options(), &mut |progress| teller.tell(&progress))
        .map_err(|problem| host_problem(&problem))?;
    drop(host);
    match applied {
        Applied::AlreadyActive if quiet => {}
        Applied::AlreadyActive => say(&format!("{name} {IS_ACTIVE_ALREADY}")),
        Applied::Loaded { took, replaced, unwritten } => {
            // Something was done, and what was said on the way belongs to it.
            release();
            for problem in unwritten {
                warn(&format!("{problem}: it may not be loaded at the next boot"));
            }
            say(&format!("{name} is active ({})", duration(took.as_secs_f64())));
            for earlier in replaced {
                say(&format!("it has replaced {earlier}"));
            }
        }
    }
    guard::warn_without(guarded);
    Ok(())
}

/// The fixes that loading a livepatch takes out, unless it is wanted, with the name of what has them.
fn lost(
    host: &Host<'_>,
    applying: &Applying,
    dropped: &[Fix],
) -> Result<Option<(String, String)>, Problem> {
    let lost = host.would_lose(applying).map_err(|problem| host_problem(&problem))?;
    Ok(lost.and_then(|(live, fixes)| {
        let lost = fixes.iter().filter(|fix| !dropped.contains(fix));
        let names: Vec<String> = lost.map(|fix| printable(&fix.name)).collect();
        (!names.is_empty()).then(|| (live, names.join(", ")))
    }))
}

fn dry_run(
    machine: &Machine,
    directory: &StateDirectory,
    applying: &Applying,
) -> Result<Exit, Problem> {
    let host = open(machine, directory)?;
    let obstacles = host.obstacles(applying).map_err(|problem| host_problem(&problem))?;
    let module = &applying.module;
    if !obstacles.is_empty() {
        let name = module.name.clone();
        return Err(host_problem(&HostProblem::Obstacles { name, obstacles }));
    }
    let functions = module.functions.len();
    data(&format!("would load {} into {}: {functions} functions", module.name, host.kernel))?;
    let loaded = elivepatch_host::livepatches(machine).map_err(|problem| host_problem(&problem))?;
    for livepatch in loaded.iter().filter(|livepatch| livepatch.name != module.name) {
        data(&format!("would replace {}", livepatch.name))?;
    }
    if let Some((live, lost)) = lost(&host, applying, &[])? {
        data(&format!("would take out fixes of {live}: {lost}"))?;
    }
    for function in elivepatch_host::probed(machine, module) {
        data(&format!(
            "there is a kprobe on {function}: when it has a post handler, the kernel will say that it is busy"
        ))?;
    }
    Ok(Exit::Done)
}

/// Whether a word is a file rather than a number or a name.
pub fn is_file(given: &str) -> bool {
    given.contains('/') || given.ends_with(".ko") || Path::new(given).is_file()
}

/// Reads a module and the manifest beside it: first that, when it must be signed.
pub fn read(path: &Path, trust: &ManifestTrust) -> Result<Applying, Problem> {
    let module = || ModuleFile::read(path).map_err(|problem| host_problem(&problem));
    let manifest_path = manifest_path(path);
    let text = match fs::exists(&manifest_path) {
        Ok(false) => {
            return Ok(Applying {
                module: module()?,
                manifest: None,
                manifest_text: None,
                manifest_signature: None,
                patches: Vec::new(),
            });
        }
        _ => read_at_most(&manifest_path, MANIFEST_BYTES),
    };
    let cannot = |error: &dyn std::error::Error| {
        Problem::input(format!("cannot read the manifest {}", manifest_path.display()))
            .caused_by(error)
            .hint("fetch it again with the module")
    };
    let text = text.map_err(|error| cannot(&error))?;
    let signature = read_signature(&manifest_path)?;
    let what = format!("the manifest {}", manifest_path.display());
    manifest_key::verify(trust, &what, &text, signature.as_deref())?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| cannot(&error))?;
    Ok(Applying {
        module: module()?,
        manifest: Some(manifest),
        manifest_text: Some(text),
        manifest_signature: signature,
        patches: Vec::new(),
    })
}

/// The livepatch that belongs to this kernel.
fn current(machine: &Machine, directory: &StateDirectory) -> Result<Applying, Problem> {
    let host = open(machine, directory)?;
    match host.current().map_err(|problem| host_problem(&problem))? {
        Some(held) => Ok(held.into()),
        None => Err(Problem::input(format!("no livepatch belongs to the kernel {}", host.kernel))
            .hint("name a module or a build: elivepatch apply MODULE")),
    }
}

fn kept(machine: &Machine, directory: &StateDirectory, given: &str) -> Result<Applying, Problem> {
    let host = open(machine, directory)?;
    let held = host.find(given).and_then(|digest| {
        host.directory.held(digest)?.ok_or_else(|| HostProblem::Unknown(given.to_owned()))
    });
    held.map(Applying::from).map_err(|problem| host_problem(&problem))
}

/// Fetches the livepatch of a build, with the texts of its fixes.
pub async fn fetch(
    server: &Server,
    number: BuildNumber,
    place: &Path,
    directory: &StateDirectory,
) -> Result<Applying, Problem> {
    let (destination, trust) = (Destination::open(Some(place), true)?, directory.trust());
    let build = server.client.build(number).await.map_err(|error| server.problem(&error))?;
    let patience = Duration::from_secs(60);
    let stored = download::fetch(server, &build, None, &trust, &destination, patience).await?;
    say(&format!("fetched {} of build {number}", stored.manifest.module.name));
    let patches = live::of_build(server, directory, number, &stored.manifest).await;
    Ok(Applying { patches, ..read(&stored.module_path, &trust)? })
}
