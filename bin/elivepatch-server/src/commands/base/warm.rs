use std::process::{Command, Stdio};

use camino::Utf8Path;
use elivepatch_builder::Builder;
use elivepatch_model::{Architecture, TargetFacts, limits};
use elivepatch_server::config::Places;

use crate::{
    arguments::{Arguments, WarmArguments},
    commands::{Talker, failed, load_config, make_directory},
    error::CommandError,
    report, runner,
};

/// Makes the base of a kernel ready in the cache, under the same locks as a build: one that needs
/// this base meanwhile waits for it, and any other goes on.
pub fn run(arguments: &Arguments, warm: &WarmArguments) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    make_directory(&config.cache_directory)?;
    give_way();
    let text = match &warm.kernel_config {
        Some(path) => read_config(path)?,
        None => runner::stock_config(&config, &warm.release, &Talker).map_err(failed)?,
    };
    let scratch = tempfile::tempdir().map_err(CommandError::bug)?;
    let place = Utf8Path::from_path(scratch.path()).ok_or_else(|| {
        CommandError::bug(anyhow::anyhow!("the temporary directory is not UTF-8"))
    })?;
    let builder = Builder::open(runner::options(&config), place).map_err(failed)?;
    let target = TargetFacts::new(warm.release.clone(), Architecture::X86_64);
    let base = builder.warm(&target, &text, &Talker).map_err(failed)?;
    anstream::println!("{} is ready", base.name);
    if config.cache.disk_budget_gib.is_some() {
        let swept = builder.sweep().map_err(crate::commands::of_housekeeping)?;
        for entry in &swept.removed {
            let size = report::size(entry.bytes);
            anstream::eprintln!("removed {} {}: {size}, {}", entry.kind, entry.name, entry.reason);
        }
    }
    Ok(())
}

fn read_config(path: &Utf8Path) -> Result<Vec<u8>, CommandError> {
    use std::io::Read as _;
    let hint = "give the kernel's config as text: zcat /proc/config.gz, or /boot/config-RELEASE";
    let read = || {
        let mut text = Vec::new();
        // One byte more than may be, so that a longer one is seen as that.
        fs_err::File::open(path)?.take(limits::CONFIG_BYTES + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|error: std::io::Error| CommandError::input(error, hint))
}

/// Lets builds go first on processor and disk; all that is started here inherits it. Where it is
/// not allowed, the work is done all the same.
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        report::warn(&format!("the priority stays as it is: {error}"));
    }
    let mut ionice = Command::new("ionice");
    ionice.args(["--class", "idle", "--pid", &std::process::id().to_string()]);
    let _ = ionice.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
