//! Reading the target's vmlinux: `vmlinux.read` and `vmlinux.read_memory`.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};
use camino::Utf8Path;
use elivepatch_elf::{SPECIAL_STRUCTS, Vmlinux};
use serde::{Deserialize, Serialize};

use crate::{figures::Figures, median::median, note, process_memory::peak_bytes, say};

/// How often it is read, each time by a new process.
const READS: u32 = 3;

/// What one reading took.
#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    seconds: f64,
    peak_bytes: u64,
    symbols: usize,
    struct_sizes: usize,
    sources: usize,
}

/// Reads all facts that a base needs, and prints what it took.
///
/// # Errors
/// When the file cannot be read.
pub fn read_and_report(file: &Utf8Path) -> anyhow::Result<()> {
    let started = Instant::now();
    let vmlinux = Vmlinux::open(file.as_std_path())?;
    vmlinux.build_id()?.with_context(|| format!("{file} has no build-id"))?;
    let symbols = vmlinux.symbols()?.len();
    let struct_sizes = vmlinux.struct_sizes(&SPECIAL_STRUCTS)?.len();
    let sources = vmlinux.units_by_source()?.len();
    let seconds = started.elapsed().as_secs_f64();
    let peak_bytes = peak_bytes(std::process::id())?;
    let reading = Reading { seconds, peak_bytes, symbols, struct_sizes, sources };
    println!("{}", serde_json::to_string(&reading).context("plain data has a JSON form")?);
    Ok(())
}

/// Measures readings of `vmlinux`, which lies in memory already.
pub fn measure(vmlinux: &Utf8Path, figures: &mut Figures) -> anyhow::Result<()> {
    let size = fs_err::metadata(vmlinux)?.len() / 1_000_000;
    say(format!("reading the vmlinux of {size} MB, {READS} times"));
    let (mut seconds, mut peak, mut seconds_readelf) = (Vec::new(), 0, Vec::new());
    for _ in 0..READS {
        let program = std::env::current_exe().context("this program has no file")?;
        let mut read = Command::new(program);
        let output = read.args(["read-vmlinux", vmlinux.as_str()]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "vmlinux cannot be read: {errors}");
        let reading: Reading = serde_json::from_slice(&output.stdout).context("not a reading")?;
        note(format!(
            "{:.2} s, {} MB: {} symbols, {} struct sizes, {} source files",
            reading.seconds,
            reading.peak_bytes / 1_000_000,
            reading.symbols,
            reading.struct_sizes,
            reading.sources
        ));
        seconds.push(reading.seconds);
        peak = peak.max(reading.peak_bytes);
        seconds_readelf.push(readelf(vmlinux)?);
    }
    figures
        .seconds("vmlinux.read", median(seconds))
        .compared_with("readelf --symbols --wide (symbols only)", median(seconds_readelf))
        .target(2.0);
    figures.memory("vmlinux.read_memory", peak).target(300.0);
    Ok(())
}

fn readelf(vmlinux: &Utf8Path) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut readelf = Command::new("readelf");
    readelf.args(["--symbols", "--wide", vmlinux.as_str()]).stdout(Stdio::null());
    let status = readelf.status().context("readelf (binutils) is not here")?;
    ensure!(status.success(), "readelf ended with {status}");
    Ok(started.elapsed().as_secs_f64())
}
