//! Limits on what comes from outside, each with its reason.

/// The largest patch that is accepted, in bytes. The largest security fix of the 6.1 branch is
/// under 200 kB; a whole stable point release is about 1 MB and is no livepatch.
pub const PATCH_BYTES: u64 = 1024 * 1024;

/// The most lines in a patch. At the byte limit real code has some 30,000; each line costs about
/// 100 bytes of memory while a patch is read, however short it is.
pub const PATCH_LINES: usize = 65_536;

/// The largest uncompressed kernel config that is accepted, in bytes. Debian's full amd64 config
/// has 270 kB; an `allmodconfig` of Linux 7.3 stays under 500 kB.
pub const CONFIG_BYTES: u64 = 2 * 1024 * 1024;

/// The most patches in one request. The order matters to a cumulative livepatch, and every one is
/// a file that a person has to review.
pub const PATCHES: usize = 64;

/// The most behaviour checks in one request: each runs three times in the trial.
pub const BEHAVIOUR_CHECKS: usize = 16;

/// The longest command or expected text of a behaviour check, in bytes.
pub const BEHAVIOUR_CHECK_BYTES: usize = 4096;

/// The largest JSON part of a build request, in bytes: the checks at their limits, and the facts.
pub const REQUEST_BYTES: u64 = 256 * 1024;

/// The longest kernel release, in bytes: `__NEW_UTS_LEN` in the kernel's `utsname.h`.
pub const RELEASE_BYTES: usize = 64;

/// How often a build goes back to the queue at most because its worker was lost or the machine
/// failed: it is begun once more often than this.
pub const ATTEMPTS: u32 = 3;

/// The longest message, hint or detail of a failure, in characters. A line of a compiler's output
/// fits; an `#error` may be as long as the patch.
pub const FAILURE_LINE_CHARACTERS: usize = 2000;

/// The most details of a failure: more than anybody reads.
pub const FAILURE_DETAILS: usize = 100;

/// The longest summary of a step, in characters: it is one line in a table.
pub const STEP_SUMMARY_CHARACTERS: usize = 500;
