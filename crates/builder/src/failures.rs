//! Short ways to make the failures that every part of the builder needs.

use std::io;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

/// A failure of the file system: `disk-full` when that is the cause, else `class`.
pub(crate) fn io_failure(
    class: FailureClass,
    action: &str,
    path: &Utf8Path,
    error: &io::Error,
) -> Failure {
    if error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded {
        return Failure::new(
            FailureClass::DiskFull,
            format!("the disk is full: cannot {action} {path}"),
            format!("free space on the file system of {path} and submit the build again"),
        );
    }
    // fs-err's messages name the path already; the source of such an error is the bare one.
    let bare =
        std::error::Error::source(error).map_or_else(|| error.to_string(), |e| e.to_string());
    Failure::new(
        class,
        format!("cannot {action} {path}: {bare}"),
        "look at permissions and free space of the server's cache and work directories",
    )
}

/// A failure that only a mistake in elivepatch itself can cause.
pub(crate) fn internal(message: impl Into<String>) -> Failure {
    Failure::new(
        FailureClass::Internal,
        message,
        "this is a bug in elivepatch: please report it with the server's log",
    )
}

/// The failure of a build that its submitter cancelled; nobody sees it but the worker.
pub(crate) fn cancelled() -> Failure {
    Failure::new(FailureClass::Internal, "the build was cancelled", "submit it again if need be")
}
