//! Measures elivepatch on a real kernel: the real server on the loopback interface, the real
//! cache, and beside each figure, where there is one, what it is compared with.

mod base;
mod by_hand;
mod cold;
mod compare;
mod cve;
mod cve_batch;
mod disk_use;
mod engines;
mod figures;
mod fit;
mod host;
mod median;
mod memory;
mod process_memory;
mod reference;
mod server;
mod setting;
mod table;
mod timed_build;
mod tools;
mod vmlinux;
mod warm;

use std::process::ExitCode;

use anyhow::Context;
use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};

use figures::Figures;
use setting::Setting;

/// Measures elivepatch; `make bench` calls it with what it needs.
#[derive(Debug, Parser)]
#[command(name = "elivepatch-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure everything, print a table and write build.json.
    Run(setting::Inputs),
    /// Measure the engines on kernels that are built from source, and write engines.json.
    Engines(engines::Inputs),
    /// Measure the proof that a base fits, and write sources.json.
    Sources(fit::Inputs),
    /// Measure reading the CVE feed and judging CVEs, and write cve.json.
    Cve(cve::Inputs),
    /// Measure the client on a machine that is patched, and write host.json.
    Host(host::Inputs),
    /// Build the same patches by kpatch-build and by elivepatch, and compare the modules.
    Compare(engines::CompareInputs),
    /// Measure making a base ready and its size on the disk, and write both to sources.json.
    Base(base::Inputs),
    /// Name the figures that miss their targets, in one line.
    Missed {
        /// What the parts wrote: build.json, sources.json, engines.json.
        #[arg(required = true)]
        files: Vec<Utf8PathBuf>,
    },
    /// Read a vmlinux as a base needs it, and print what it took as JSON.
    ReadVmlinux {
        /// The vmlinux.
        file: Utf8PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(inputs) => run(&inputs),
        Command::Engines(inputs) => engines::run(&inputs),
        Command::Sources(inputs) => fit::run(&inputs),
        Command::Cve(inputs) => cve::run(&inputs),
        Command::Host(inputs) => host::run(&inputs),
        Command::Compare(inputs) => engines::compare(&inputs),
        Command::Base(inputs) => base::run(&inputs),
        Command::Missed { files } => missed(&files),
        Command::ReadVmlinux { file } => vmlinux::read_and_report(&file),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("caused by: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(inputs: &setting::Inputs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let setting = Setting::open(inputs)?;
    let mut figures = Figures::default();

    let warm = warm::measure(&setting, &runtime, &mut figures)?;
    let vmlinux = cold::measure(&setting, &runtime, warm, &mut figures)?;
    vmlinux::measure(&vmlinux, &mut figures)?;
    memory::measure(&setting, &runtime, &mut figures)?;

    let path = setting.output.join("build.json");
    figures.write(&path)?;
    println!("{}", table::table(&figures));
    println!("figures: {path}");
    setting.remove_scratch()
}

fn missed(files: &[Utf8PathBuf]) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for file in files {
        figures.extend(Figures::read(file)?);
    }
    println!("{}", figures.missed());
    Ok(())
}

/// Says what is being measured.
fn say(text: impl std::fmt::Display) {
    eprintln!("== {text}");
}

/// Says what came out.
fn note(text: impl std::fmt::Display) {
    eprintln!("   {text}");
}
