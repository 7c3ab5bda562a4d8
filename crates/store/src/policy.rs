//! Times of the queue, each with its reason.

use std::time::Duration;

/// How long a lease lasts unless it is renewed. A worker renews it every few seconds; a machine
/// that is silent for this long has crashed, is cut off or is asleep.
pub const LEASE_DURATION: Duration = Duration::from_secs(60);

/// How long a build rests after the machine's fault, for each time that happened: long enough for
/// a mirror to answer again, short enough for a person who waits.
pub const RETRY_DELAY: Duration = Duration::from_secs(5);
