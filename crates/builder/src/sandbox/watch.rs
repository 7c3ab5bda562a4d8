//! What the supervisor looks at while a tool runs: memory and disk.

use std::{cell::Cell, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use crate::process::Ended;

/// How often memory and disk are looked at. A tool that writes 2 GB/s gets 500 MB over its limit.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// Free space that a tool must leave on the file system it writes to: a full disk would take the
/// server's database down with it.
const RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// With less than this free at some look, a tool that found no space found none on the disk. So much
/// it may write between two looks, or ask for at once, without being seen: linkers ask for all of
/// their output before they write.
const UNSEEN_BYTES: u64 = 1024 * 1024 * 1024;

/// The most files that a tool may make: they cost memory and time even when they are empty.
const FILES: u64 = 500_000;

/// Memory that a tool must leave to the machine: what it hides from the count below (files in
/// memory that are not mapped) ends here before it ends the server.
const RESERVE_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Says why the memory of a process and all its descendants is over `limit_bytes`, or `None`.
pub(super) fn memory_over(process: u32, limit_bytes: u64) -> Option<String> {
    if available_memory().is_some_and(|available| available < RESERVE_MEMORY_BYTES) {
        let mebibytes = RESERVE_MEMORY_BYTES >> 20;
        return Some(format!("left the machine less than {mebibytes} MiB of memory"));
    }
    let processes = with_descendants(process);
    let total: u64 = processes.into_iter().filter_map(own_memory).sum();
    (total > limit_bytes).then(|| format!("used more than {} MiB of memory", limit_bytes >> 20))
}

/// The memory of a process, in bytes, without pages of files; memory that several processes share
/// counts in each. A process that has just ended has none.
fn own_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(kibibytes(&status, "RssAnon:")? + kibibytes(&status, "RssShmem:")?)
}

/// The memory that the machine could still give without swapping, in bytes.
fn available_memory() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The value of a line such as `RssAnon:     1234 kB`, in bytes.
fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|number| number * 1024)
}

/// A process and all that descend from it.
pub(crate) fn with_descendants(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let children = children(*process);
        found.extend(children);
        next += 1;
    }
    found
}

fn children(process: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

/// Measures what is below some directories, against a limit, and what is free on their disks.
#[derive(Debug)]
pub struct DiskUse {
    directories: Vec<Directory>,
    limit_bytes: u64,
}

#[derive(Debug)]
struct Directory {
    path: Utf8PathBuf,
    /// The least that was free there at any look, in bytes: a tool that finds no room may remove
    /// what it wrote before the next one.
    lowest_free: Cell<u64>,
}

impl Directory {
    /// What is free on its disk, in bytes.
    fn look(&self) -> u64 {
        let free = free_bytes(&self.path).unwrap_or(u64::MAX);
        self.lowest_free.set(self.lowest_free.get().min(free));
        free
    }
}

impl DiskUse {
    /// What is there already counts: otherwise a build could write the limit again with each of its
    /// tools.
    pub fn new(directories: Vec<Utf8PathBuf>, limit_bytes: u64) -> Self {
        let directories = directories.into_iter();
        let directories =
            directories.map(|path| Directory { path, lowest_free: Cell::new(u64::MAX) }).collect();
        let new = Self { directories, limit_bytes };
        new.nearly_full();
        new
    }

    /// Says that a disk is nearly full. Looking costs next to nothing.
    pub fn nearly_full(&self) -> Option<Ended> {
        // Each is looked at, whatever the others say.
        let full = self.directories.iter().filter(|directory| directory.look() < RESERVE_BYTES);
        let full: Vec<&Directory> = full.collect();
        full.first().map(|directory| {
            let mebibytes = RESERVE_BYTES >> 20;
            Ended::DiskFull(format!(
                "less than {mebibytes} MiB are left on the disk of {}",
                directory.path
            ))
        })
    }

    /// Says that the use is over the limit, or that the disk is nearly full; `None` when all is well.
    pub fn over(&self) -> Option<Ended> {
        if let Some(full) = self.nearly_full() {
            return Some(full);
        }
        let (mut bytes, mut files) = (0, 0);
        for directory in &self.directories {
            let (more_bytes, more_files) = usage(&directory.path);
            bytes += more_bytes;
            files += more_files;
        }
        if bytes > self.limit_bytes {
            let mebibytes = self.limit_bytes >> 20;
            Some(Ended::LimitExceeded(format!("wrote more than {mebibytes} MiB to disk")))
        } else if files > FILES {
            Some(Ended::LimitExceeded(format!("made more than {FILES} files")))
        } else {
            None
        }
    }

    /// Says which disk it was on which a tool found no space left; `None` when it was none of these.
    pub fn found_full(&self) -> Option<Ended> {
        self.nearly_full();
        let fullest =
            self.directories.iter().min_by_key(|directory| directory.lowest_free.get())?;
        let free = fullest.lowest_free.get();
        (free < UNSEEN_BYTES).then(|| {
            Ended::DiskFull(format!(
                "it found no space left on the disk of {}, where {} MiB were free at the lowest \
                 look",
                fullest.path,
                free >> 20
            ))
        })
    }
}

fn free_bytes(directory: &Utf8Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(directory.as_std_path()).ok()?;
    Some(facts.f_bavail * facts.f_frsize)
}

/// Bytes on disk and number of entries below a directory; what vanishes meanwhile does not count.
fn usage(directory: &Utf8Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    walkdir::WalkDir::new(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .fold((0, 0), |(bytes, files), metadata| (bytes + metadata.blocks() * 512, files + 1))
}
