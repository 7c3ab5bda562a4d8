//! The server: `elivepatch-server` runs the API and its workers in one process, or either of them.

mod actor;
mod arguments;
mod commands;
mod error;
mod host_arguments;
mod housekeeping;
mod logging;
mod manifest_key;
mod manual;
mod old_arguments;
mod owner;
mod report;
mod runner;
mod serving;
mod source_options;
mod times;
mod worker;
mod worker_arguments;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use commands::all::Building;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(report::panicked));
    let arguments = Arguments::read();
    let result = match &arguments.command {
        None | Some(Command::All(_)) => commands::all::run(&arguments, Building::Here),
        Some(Command::Serve(_)) => commands::all::run(&arguments, Building::Elsewhere),
        Some(Command::Worker(worker)) => commands::worker::run(&arguments, worker),
        Some(Command::Init(_)) => commands::init::run(&arguments),
        Some(Command::KernelConfig { release, .. }) => {
            commands::kernel_config::run(&arguments, release)
        }
        Some(Command::ManifestKey) => commands::manifest_key::run(&arguments),
        Some(Command::ModuleKey { der }) => commands::module_key::run(&arguments, der.as_deref()),
        Some(Command::Base(command)) => commands::base::run(&arguments, command),
        Some(Command::Toolchain(command)) => commands::toolchain::run(&arguments, command),
        Some(Command::Feed(command)) => commands::feed::run(&arguments, command),
        Some(Command::Fix(command)) => commands::fix::run(&arguments, command),
        Some(Command::Host(command)) => commands::host::run(&arguments, command),
        Some(Command::Token(command)) => commands::token::run(&arguments, command),
        Some(Command::Audit(audit)) => commands::audit::run(&arguments, audit),
        Some(Command::Certificate) => commands::certificate::run(&arguments),
        Some(Command::Gc(gc)) => commands::gc::run(&arguments, gc),
        Some(Command::Completions { shell }) => commands::completions::run(*shell),
        Some(Command::Man { output, date }) => commands::man::run(output, *date),
        Some(Command::CheckConfig) => commands::check_config::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failed(&error),
    }
}
