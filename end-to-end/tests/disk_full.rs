//! A full disk: said clearly, with nothing half-written, and all is well when there is room again.
//!
//! Only root can mount the small disks that these tests fill.

use std::{fs, path::Path};

use elivepatch_api::ErrorCode;
use elivepatch_end_to_end::{
    ServerOptions, SmallDisk, TestServer, make_base_ready, own_patch, patch,
};
use elivepatch_model::{BuildState, FailureClass};

fn files_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files_below(&path)),
            path => found.push(path.display().to_string()),
        }
    }
    found.sort();
    found
}

#[test]
fn submission_to_a_full_disk_is_refused_and_passes_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let data_directory = Some(disk.path().join("data"));
    let server = TestServer::start(ServerOptions { data_directory, ..ServerOptions::default() });
    let label = patch("demo/meminfo-label");
    let before = files_below(server.data_directory());
    let filler = disk.fill();

    let run = server.build().patch(&label).args(["--no-wait"]).run();
    let said = run.fails(4);
    assert!(said.contains("the server's disk is full"), "{said}");
    assert!(said.contains("make room on the disk of the data directory"), "{said}");
    assert_eq!(files_below(server.data_directory()), before, "something is left of it");
    assert!(server.api().builds().is_empty(), "it is queued all the same");
    assert_eq!(ErrorCode::DiskFull.status(), 507);

    fs::remove_file(filler).expect("own file");
    let run = server.build().patch(&label).args(["--no-wait"]).run().succeeds();
    let number = run.stdout.trim();
    let _ = server.client("cancel").args([number]).run().succeeds();
}

#[test]
fn build_without_room_to_work_fails_by_name_and_leaves_nothing() {
    make_base_ready();
    // Less than the reserve that no tool may touch.
    let Some(disk) = SmallDisk::mount(64) else { return };
    let work_directory = Some(disk.path().to_owned());
    let server = TestServer::start(ServerOptions { work_directory, ..ServerOptions::default() });
    let run = server.build().patch(&own_patch("old-style")).run();
    let said = run.fails_with(4, FailureClass::DiskFull);
    assert!(said.contains("MiB are left on the disk"), "{said}");
    let build = server.api().build(run.build_number());
    assert_eq!(build.state, BuildState::Failed);
    assert!(build.attempts > 1, "a full disk may pass: it is worth trying again");
    // But for what says whose place it is.
    let left = files_below(disk.path());
    assert!(matches!(&left[..], [lock] if lock.ends_with(".lock")), "{left:?}");
}
