//! What a directory takes on the disk, and the most that it took while something ran.

use std::{
    os::unix::fs::MetadataExt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use camino::Utf8Path;

/// How often it is looked at. What a build makes stays until its end, but for files of tools that
/// are there for tens of milliseconds.
const INTERVAL: Duration = Duration::from_millis(20);

/// Runs `work`, and gives its result with the most that the files below `directory` took meanwhile,
/// in bytes.
pub fn peak_while<T: Send>(directory: &Utf8Path, work: impl FnOnce() -> T) -> (T, u64) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            loop {
                // Asked before looking, so that what is there at the end counts, too.
                let is_last = is_done.load(Ordering::Acquire);
                peak = peak.max(bytes(directory));
                if is_last {
                    return peak;
                }
                thread::sleep(INTERVAL);
            }
        });
        // Told also when the work panics, or its watcher would keep it from being seen.
        let done = Done(&is_done);
        let result = work();
        drop(done);
        (result, watcher.join().expect("looking at files does not panic"))
    })
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What the files and directories below a directory occupy, in bytes. What vanishes meanwhile does
/// not count.
fn bytes(directory: &Utf8Path) -> u64 {
    let Ok(entries) = directory.read_dir_utf8() else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.path().symlink_metadata().ok()?;
            let below = if metadata.is_dir() { bytes(entry.path()) } else { 0 };
            Some(metadata.blocks() * 512 + below)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn file_that_is_gone_at_the_end_is_in_the_peak() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        let file = directory.join("inner/file");
        let (result, peak) = peak_while(&directory, || {
            fs_err::create_dir(directory.join("inner")).expect("own directory");
            // A sparse file of 1 GiB takes nothing: what counts is what lies on the disk.
            let sparse = fs_err::File::create(directory.join("sparse")).expect("own directory");
            sparse.set_len(1 << 30).expect("own file");
            fs_err::write(&file, vec![7; 3_000_000]).expect("own directory");
            fs_err::File::open(&file).expect("own file").sync_all().expect("own file");
            thread::sleep(Duration::from_millis(500));
            fs_err::remove_file(&file).expect("own file");
            42
        });
        assert_eq!(result, 42);
        assert!((3_000_000..10_000_000).contains(&peak), "{peak}");
        assert!(bytes(&directory) < 1_000_000);
    }
}
