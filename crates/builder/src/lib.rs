//! Everything between a request and a livepatch: sources, toolchain roots, the sandbox, bases,
//! engines and trials.
//!
//! The builder is synchronous: nearly all of its time is spent waiting for compilers. It knows
//! nothing of servers and leases; whoever runs it passes an [`Observer`] to hear of its progress.

mod adapt;
mod apply;
mod attempts;
mod base;
mod branch_audit;
mod builder;
mod cache;
mod debian;
mod digest_file;
mod disk_need;
mod engine;
mod failures;
mod fit;
mod generators;
mod headers;
mod housekeeping;
mod init_changes;
mod inspect;
mod inventory;
mod kbuild_record;
mod kernel_build;
mod left_out;
mod module_file;
mod module_links;
mod module_name;
mod observer;
mod options;
mod order;
mod ownership;
mod pipeline;
mod process;
mod qemu;
mod rebuild;
mod runtime_constants;
mod sandbox;
mod shared_file;
mod signing;
mod source;
mod steps;
mod symbols;
mod toolchain;
mod trial;
mod trial_modules;
mod unit;
mod untrusted_file;
mod work_directory;

pub use builder::{Builder, index_names};
pub use cache::{Cache, CacheLock, EntryKind, FEED_MIRROR};
pub use debian::{
    Apt, DebianOptions, MirrorTimes, PackageDirectory, stock_config, stock_releases,
    unpack_source_tarball,
};
pub use fit::{FitSurvey, FitSurveyInput, SurveyedObject};
pub use housekeeping::{
    HousekeepingError, KeptEntry, ListedBase, RemovedEntry, Sweep, SweepReason, Swept, cache_bytes,
    list_bases, pin_base, remove_base,
};
pub use inventory::{Bases, InventoryError, KernelInventory};
pub use observer::{Observer, SilentObserver};
pub use options::BuilderOptions;
pub use order::{BuildOrder, EarlierModule, FinishedBuild, FixText};
pub use pipeline::WarmBase;
pub use sandbox::{Overlay, Sandbox, SandboxCommand, SandboxLimits};
pub use signing::{ModuleSigner, SignerCertificate, SigningOptions};
pub use source::{
    BaselinePatch, DirectoryOptions, GitOptions, Place, PortageOptions, Repository, SourceKind,
    SourceOptions, SourceTree, TARBALLS, TarballCheck, TarballOptions,
};
pub use toolchain::{
    ListedToolchain, OpenApt, Origin, Recipe, RecipeError, RootState, ToolchainRoot, Toolchains,
};
pub use trial::{
    Accelerator, CHECK_OUTPUT_BYTES, CHECK_SECONDS, ConsoleFault, ConsoleFindings, ConsoleLog,
    DirectLauncher, EarlierLivepatch, QemuLauncher, TRANSITION_LIMIT, TrialInput, TrialModule,
    TrialOptions, run_trial,
};
pub use work_directory::remove_work_directory;
