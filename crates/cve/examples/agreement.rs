//! Compares what dyads and version ranges of a feed say of some versions.
//!
//! usage: agreement FEED VERSION…

use std::{path::Path, process::ExitCode, time::Instant};

use elivepatch_cve::{LinuxVersion, Standing, feed, standing};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: agreement FEED VERSION…");
        return ExitCode::from(2);
    };
    let begin = Instant::now();
    let read = feed::read(Path::new(&path))
        .and_then(|snapshot| Ok((snapshot.entries.load()?, snapshot.faults)));
    let (entries, faults) = match read {
        Ok(read) => read,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let rejected = entries.iter().filter(|entry| entry.rejected).count();
    println!(
        "{} published, {rejected} rejected, {} faulty, read in {:.2} s",
        entries.len() - rejected,
        faults.len(),
        begin.elapsed().as_secs_f64()
    );
    for version in arguments {
        let Ok(target) = version.parse::<LinuxVersion>() else {
            eprintln!("error: {version} is no version");
            return ExitCode::from(2);
        };
        let published = || entries.iter().filter(|entry| !entry.rejected);
        let begin = Instant::now();
        let affected = published().filter(|entry| standing(&entry.dyads, target).is_affected());
        let affected = affected.count();
        let took = begin.elapsed();
        let later = published().filter(|entry| {
            matches!(standing(&entry.dyads, target),
                Standing::Affected { own_fixes, .. } if !own_fixes.is_empty())
        });
        let unfixed = published().filter(|entry| {
            matches!(standing(&entry.dyads, target),
                Standing::Affected { own_fixes, mainline_fixes }
                    if own_fixes.is_empty() && mainline_fixes.is_empty())
        });
        println!(
            "{version}: {affected} affected, {} of them fixed later in the branch, {} nowhere; {:.1} ms",
            later.count(),
            unfixed.count(),
            took.as_secs_f64() * 1000.0
        );
        for entry in published() {
            let (dyads, ranges) = (
                standing(&entry.dyads, target).is_affected(),
                entry.record.ranges_say_affected(target),
            );
            if dyads != ranges {
                println!("  {}: dyads {dyads}, ranges {ranges}", entry.record.id);
            }
        }
    }
    ExitCode::SUCCESS
}
