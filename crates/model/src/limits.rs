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

/// The largest patch of those that are compiled into the running kernel, in bytes. They may be whole
/// point releases (1 MB), or the patch sets of a scheduler or a distribution.
pub const BASELINE_PATCH_BYTES: u64 = 4 * 1024 * 1024;

/// The most lines in such a patch, in the same proportion to its bytes as [`PATCH_LINES`].
pub const BASELINE_PATCH_LINES: usize = 4 * PATCH_LINES;

/// The most patches that are compiled into the running kernel. Gentoo's own `genpatches` are some
/// 20 for a kernel, and point releases up to 200.
pub const BASELINE_PATCHES: usize = 256;

/// The most that all of these may have together, in bytes: they are kept on the server.
pub const BASELINE_BYTES: u64 = 32 * 1024 * 1024;

/// The largest list of a kernel's symbols as text, in bytes. Debian's stock amd64 kernels have 7 MB
/// with 60 modules loaded.
pub const KALLSYMS_BYTES: u64 = 24 * 1024 * 1024;

/// The same compressed, as it is sent, in bytes: gzip makes a quarter to a third of it.
pub const KALLSYMS_PACKED_BYTES: u64 = 8 * 1024 * 1024;

/// The most symbols in it.
pub const KALLSYMS_SYMBOLS: usize = 500_000;

/// The longest name of a symbol, in bytes: `KSYM_NAME_LEN` of the kernel since 6.1; before it was 128.
pub const SYMBOL_NAME_BYTES: usize = 512;

/// The longest name of a module, in bytes: `MODULE_NAME_LEN` of the kernel, 64 less a pointer.
pub const MODULE_NAME_BYTES: usize = 56;

/// The most loaded modules that are told. A desktop has some 200.
pub const LOADED_MODULES: usize = 2048;

/// The most loaded livepatches that are told. The kernel has no limit; cumulative ones replace each other.
pub const LOADED_LIVEPATCHES: usize = 256;

/// The longest text about the machine that is taken from one of its files, in bytes: a compiler's
/// version line, the name of a distribution.
pub const FACT_BYTES: usize = 256;

/// The largest module that is taken, in bytes. A module that replaces one function has 200 kB to
/// 1 MB with its debug information; one with 64 fixes stays far below this.
pub const MODULE_BYTES: u64 = 256 * 1024 * 1024;

/// The most behaviour checks in one request: each runs three times in the trial, and again where the
/// livepatch patches modules or replaces another one.
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
