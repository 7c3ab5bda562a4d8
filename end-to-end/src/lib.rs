//! What the end-to-end tests share: the real server and the real client as processes, the stock
//! kernel's config, and a look at which processes are left.
//!
//! Everything here panics when it does not get what it needs: it serves tests, and a test without
//! its material must not pass. Three variables change where things are looked for:
//! `ELIVEPATCH_TEST_PROGRAMS` (the directory of both programs), `ELIVEPATCH_TEST_CACHE` (packages,
//! toolchain root and base, kept between runs) and `ELIVEPATCH_TEST_NO_OVERLAY` (1: bases are
//! copied, as on a machine that allows no overlay).

mod api;
mod case;
mod client;
mod diskless;
mod feed;
mod guest;
mod initrd;
mod livepatches;
mod machine;
mod material;
mod mount;
mod old_client;
mod own_cache;
mod page_text;
mod play;
mod processes;
mod programs;
mod said;
mod server;
mod stage;
mod system;
mod told_machine;
mod wait;
mod worker;

pub use api::Api;
pub use case::{Case, Refusal, all_are_refused, all_become_livepatches};
pub use client::{ClientCommand, ClientRun, RunningClient};
pub use diskless::runs_without_disk;
pub use feed::{publish, publish_fix};
pub use guest::facts_of_running;
pub use livepatches::{Livepatches, forged, manifest_of, module_name, trial_module};
pub use machine::{RunningMachine, ServiceManager, TargetMachine, way_to};
pub use material::{
    RELEASE, StockKernel, cache_directory, config_file_of, make_base_ready, own_patch, patch,
    stock_config, stock_config_file, unit_fixture,
};
pub use mount::SmallDisk;
pub use old_client::OldSession;
pub use own_cache::OwnCache;
pub use play::Play;
pub use processes::ProcessTree;
pub use programs::{program, static_client_path};
pub use said::{Ran, Said, Used};
pub use server::{ServerOptions, TestServer};
pub use stage::Stage;
pub use system::RegisteredSystem;
pub use told_machine::ToldMachine;
pub use wait::{BUILD_LIMIT, SHORT_LIMIT, wait_until};
pub use worker::TestWorker;
