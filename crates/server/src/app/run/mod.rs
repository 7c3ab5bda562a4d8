//! CVE runs: from the CVEs that matter on a kernel to one livepatch of their fixes.
//!
//! A run is a record in the store that is taken forward step by step: the texts of the fixes are gathered,
//! each fix is tried alone by a probe, or with others of its files where it does not compile alone, then those
//! that work are put together. Probes and sets are ordinary builds: what was built once for an earlier run is
//! joined, whoever ordered it. A livepatch is tried in the place of that of the earlier run, too, and not made
//! when it would be the same.

mod advance;
mod combination;
mod combining;
mod earlier;
mod gathering;
mod ordering;
mod plan;
mod progress;
mod show;
mod start;
mod together;
mod trying;
mod verdict;
