//! Many files, many builds, many dependants: how the kpatch engine scales.

use std::{thread, time::Instant};

use anyhow::Context;
use camino::Utf8Path;

use super::{Setting, kpatch::one_file, timed::Kernel, variants};
use crate::{figures::Figures, median::median, note, say};

/// Numbers of touched files that are measured.
const FILES: [usize; 4] = [1, 4, 16, 64];

/// Directories whose files are taken: ordinary code of vmlinux.
const DIRECTORIES: [&str; 6] = ["fs/", "mm/", "net/core/", "net/ipv4/", "kernel/", "block/"];

/// Builds side by side.
const PARALLEL: u32 = 8;

/// How many warm builds of the header's change the median is taken of.
const HEADER_BUILDS: u32 = 3;

/// What a measurement may be above its reference by chance.
const NOISE: f64 = 1.1;

/// The same for the difference of two measurements; files differ in length, too.
const MORE_NOISE: f64 = 1.25;

/// A header's change, with how many objects it should reach about.
const DEPENDANTS: std::ops::RangeInclusive<usize> = 150..=260;

pub fn measure(setting: &Setting, figures: &mut Figures) -> anyhow::Result<()> {
    let kernel = setting.kernel(&setting.plain);
    let base = setting.plain.base(&setting.cache_directory)?;
    files(&kernel, &base, figures)?;
    disk(&kernel, figures)?;
    parallel(&kernel, figures)?;
    header(&kernel, &base, figures)
}

fn files(kernel: &Kernel, base: &Utf8Path, figures: &mut Figures) -> anyhow::Result<()> {
    let tree = base.join("tree");
    let candidates = compiled_files(&tree)?;
    let most = FILES.into_iter().max().unwrap_or_default();
    let all = variants::files_to_change(&tree, candidates, most)?;
    // Once for the originals, which are compiled on first use.
    say(format!("{most} files at once, the first time"));
    let build = |name: &str, files: &[String], mark| {
        let text = variants::patch(&tree, files, mark)?;
        kernel.build(name, &[(format!("{name}.patch"), text)], None)
    };
    let cold = build("files-first", &all, 1)?;
    note(format!("{:.1} s", cold.to_module));
    let mut per_file_of_one = 0.0;
    let mut wholes = Vec::new();
    for count in FILES {
        say(format!("{count} files at once, warm, 3 times"));
        let mut times = Vec::new();
        for round in 0..3 {
            let timed = build(&format!("files-{count}-{round}"), &all[..count], 10 + round)?;
            note(format!("{:.2} s {:?}", timed.to_module, timed.steps));
            times.push(timed.to_module);
        }
        let whole = median(times);
        wholes.push((count as f64, whole));
        let per_file = whole / count as f64;
        if count == 1 {
            per_file_of_one = per_file;
        }
        figures
            .seconds(format!("files.{count}"), per_file)
            .compared_with("seconds per file with one file", per_file_of_one)
            .target(per_file_of_one * NOISE);
    }
    // What one more file costs: the seconds per file hide it behind what every build costs once.
    let more: Vec<f64> = wholes.windows(2).map(|w| (w[1].1 - w[0].1) / (w[1].0 - w[0].0)).collect();
    if let [.., middle, last] = more[..] {
        figures
            .seconds("files.more", last)
            .compared_with("each file more: from 16 to 64, and from 4 to 16", middle)
            .target(middle * MORE_NOISE);
    }
    Ok(())
}

/// The most that a build takes on the disk, from its order to the end of its trial.
fn disk(kernel: &Kernel, figures: &mut Figures) -> anyhow::Result<()> {
    say("one file, warm, with its trial, 3 times");
    let mut peak = 0;
    for round in 0..3 {
        let bytes = kernel.peak_disk(&format!("disk-{round}"), &[one_file(300 + round)])?;
        note(format!("{:.1} MB", bytes as f64 / 1e6));
        peak = peak.max(bytes);
    }
    figures.memory("build.disk", peak).target(50.0);
    Ok(())
}

fn parallel(kernel: &Kernel, figures: &mut Figures) -> anyhow::Result<()> {
    say(format!("{PARALLEL} builds one after the other, then side by side"));
    let began = Instant::now();
    for variant in 0..PARALLEL {
        kernel.build(&format!("sequential-{variant}"), &[one_file(100 + variant)], None)?;
    }
    let sequential = began.elapsed().as_secs_f64();
    let began = Instant::now();
    thread::scope(|scope| {
        let builds: Vec<_> = (0..PARALLEL)
            .map(|variant| {
                scope.spawn(move || {
                    let name = format!("parallel-{variant}");
                    kernel.build(&name, &[one_file(200 + variant)], None).map(drop)
                })
            })
            .collect();
        builds.into_iter().try_for_each(|build| build.join().expect("builds report errors"))
    })?;
    let parallel = began.elapsed().as_secs_f64();
    note(format!("{sequential:.1} s and {parallel:.1} s"));
    figures
        .times("parallel.8", sequential / parallel)
        .compared_with("throughput of one after the other: at least", 1.6)
        .at_least(1.6);
    Ok(())
}

fn header(kernel: &Kernel, base: &Utf8Path, figures: &mut Figures) -> anyhow::Result<()> {
    let patch = include_str!("../../header-200.patch").to_owned();
    let header = patch.lines().find_map(|line| line.strip_prefix("+++ b/"));
    let header = header.context("header-200.patch touches no file")?.trim();
    let dependants = dependants(&base.join("tree"), header)?;
    anyhow::ensure!(
        DEPENDANTS.contains(&dependants),
        "{header} reaches {dependants} objects: choose another header for this figure"
    );
    say(format!("a header that reaches {dependants} objects: {header}, first and again"));
    let patches = [("header-200.patch".to_owned(), patch.clone())];
    let first = kernel.build("header-first", &patches, None)?;
    note(format!("{:.1} s", first.to_module));
    let cores = thread::available_parallelism()?.get() as f64;
    let busy = |timed: &super::timed::Timed| timed.processor / (timed.to_module * cores);
    let mut again = Vec::new();
    for round in 0..HEADER_BUILDS {
        let timed = kernel.build(&format!("header-{round}"), &patches, None)?;
        note(format!("{:.1} s {:?}, busy {:.2}", timed.to_module, timed.steps, busy(&timed)));
        again.push(timed);
    }
    figures
        .times("header.200", median(again.iter().map(busy)))
        .compared_with("share of all cores' time that is used: at least", 0.9)
        .at_least(0.9);
    figures.times("header.200.first", busy(&first));
    figures.seconds("header.200.first_seconds", first.to_module);
    figures.seconds("header.200.seconds", median(again.iter().map(|timed| timed.to_module)));
    Ok(())
}

/// The C files that the base compiled into vmlinux, sorted: those with an object and a record.
fn compiled_files(tree: &Utf8Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for record in records(tree)? {
        let object = record.trim_end_matches(".cmd");
        let Some((directory, name)) = object.rsplit_once("/.") else { continue };
        let Some(stem) = name.strip_suffix(".o") else { continue };
        let source = format!("{directory}/{stem}.c");
        let wanted = DIRECTORIES.iter().any(|directory| source.starts_with(directory));
        if wanted && tree.join(&source).is_file() {
            found.push(source);
        }
    }
    found.sort();
    Ok(found)
}

/// How many objects' records name the header.
fn dependants(tree: &Utf8Path, header: &str) -> anyhow::Result<usize> {
    let line = format!("  {header} \\");
    let names = |record: &String| {
        let text = fs_err::read_to_string(tree.join(record)).unwrap_or_default();
        record.ends_with(".o.cmd") && text.lines().any(|found| found == line)
    };
    Ok(records(tree)?.iter().filter(|record| names(record)).count())
}

/// Kbuild's records, by their paths in the tree.
fn records(tree: &Utf8Path) -> anyhow::Result<Vec<String>> {
    let output = std::process::Command::new("find")
        .args([tree.as_str(), "-name", ".*.cmd", "-printf", "%P\\n"])
        .output()?;
    anyhow::ensure!(output.status.success(), "find ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}
