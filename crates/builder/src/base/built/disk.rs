//! How much disk the build of a base takes: asked before it begins, and told when it was not there.

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

/// What one object adds with all that is made of it, in bytes: itself with its debug information,
/// Kbuild's note on it, and its part of vmlinux and of the steps of linking it. Measured on Linux
/// 6.12 and 7.3 with small configs and DWARF 5, rounded up.
const OBJECT_BYTES: u64 = 1_000_000;

/// What is made whatever the config is: kernel image, host tools, tables.
const FIXED_BYTES: u64 = 300_000_000;

/// What the build of that many objects adds to the unpacked tree, in bytes.
pub(super) fn building_bytes(objects: u64) -> u64 {
    FIXED_BYTES + objects.saturating_mul(OBJECT_BYTES)
}

/// Refuses to begin with what will not fit.
///
/// # Errors
/// `disk-full`, saying how much is needed and how much is there.
pub(super) fn check_room(place: &Utf8Path, needed: u64, for_what: &str) -> Result<(), Failure> {
    let Ok(facts) = rustix::fs::statvfs(place.as_std_path()) else { return Ok(()) };
    let free = facts.f_bavail * facts.f_frsize;
    if free >= needed {
        return Ok(());
    }
    Err(no_room(place, needed, for_what, &format!("{} are free", gigabytes(free))))
}

/// The failure of a base that does not fit on the disk.
pub(super) fn no_room(place: &Utf8Path, needed: u64, for_what: &str, there: &str) -> Failure {
    Failure::new(
        FailureClass::DiskFull,
        format!("{for_what} needs about {}, and {there}", gigabytes(needed)),
        format!(
            "free space on the file system of {}, or put cache_directory on a larger one, and submit \
             the build again",
            place.parent().unwrap_or(place)
        ),
    )
}

pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_both_figures() {
        let place = Utf8Path::new("/tmp");
        assert_eq!(check_room(place, 0, "the base"), Ok(()));
        let failure =
            check_room(place, u64::MAX, "the base of 6.12.117-small").expect_err("too much");
        assert_eq!(failure.class, FailureClass::DiskFull);
        assert!(failure.message.starts_with("the base of 6.12.117-small needs about "));
        assert!(failure.message.ends_with(" GB are free"), "{}", failure.message);
    }
}
