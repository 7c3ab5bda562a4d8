//! Stock kernels with indirect branch tracking: those of Debian 13 and its backports.

use elivepatch_end_to_end::{
    ClientCommand, ServerOptions, TestServer, config_file_of, own_patch, patch,
};
use elivepatch_model::{BaseKind, Engine, FailureClass, Manifest};

const DEBIAN_13: &str = "6.12.117+deb13-cloud-amd64";

/// An order for a stock kernel.
fn order(server: &TestServer, release: &str) -> ClientCommand {
    server.build_for(&config_file_of(release))
}

/// Builds the visible change for a kernel with IBT; gives its manifest.
fn visible_change(release: &str) -> Manifest {
    let manifest = built_visible_change(release);
    let audit = manifest.branch_audit.as_ref().expect("a kernel with IBT");
    assert!(audit.functions_checked > 0 && audit.note.contains("Looked at, too"), "{audit:?}");
    manifest
}

/// Builds the visible change; gives its manifest.
fn built_visible_change(release: &str) -> Manifest {
    let server = TestServer::start(ServerOptions::default());
    let total = patch("demo/meminfo-total");
    let checks = total.with_file_name("meminfo-total.checks.toml");
    let order = order(&server, release).patch(&total);
    let run = order.args(["--checks".as_ref(), checks.as_os_str()]).run().succeeds();
    let (_, manifest) = run.livepatch();
    assert_eq!(manifest.release.as_str(), release);
    assert_eq!((manifest.engine, manifest.base), (Engine::Kpatch, BaseKind::Prepared));
    assert_eq!(manifest.functions.len(), 1);
    assert_eq!(manifest.trial.checks.len(), 1);
    let fit = manifest.fit.as_ref().expect("every livepatch has one");
    assert!(fit.is_proven() && fit.code.is_some(), "{fit:?}");
    manifest
}

#[test]
fn visible_change_becomes_a_livepatch_for_debian_13() {
    let manifest = visible_change(DEBIAN_13);
    assert_eq!(manifest.toolchain.name, "debian-13-gcc-14");
    assert_eq!(manifest.source.packages.len(), 4);
}

#[test]
fn pointers_to_functions_without_endbr_are_refused() {
    let server = TestServer::start(ServerOptions::default());
    for (name, function) in [
        ("pointer-without-endbr-FAIL", "bare"),
        ("sealed-function-FAIL", "vm_commit_limit"),
        ("sealed-module-function-FAIL", "the module zram's zcomp_destroy"),
    ] {
        let run = order(&server, DEBIAN_13).patch(&own_patch(name)).run();
        let said = run.fails_with(3, FailureClass::ModuleInvalid);
        assert!(said.contains(function) && said.contains("ENDBR"), "{said}");
    }
}

/// Constants that the kernel writes into its own code: whether or not kpatch sees the place move.
#[test]
fn functions_that_wait_for_constants_of_the_kernels_own_code_are_refused() {
    let server = TestServer::start(ServerOptions::default());
    for (name, part) in [
        ("runtime-constant-FAIL", "__d_lookup in fs/dcache.o holds the constant d_hash_shift"),
        ("runtime-constant-moved-FAIL", "runtime_ptr_dentry_hashtable"),
    ] {
        let run = order(&server, DEBIAN_13).patch(&own_patch(name)).run();
        let said = run.fails_with(3, FailureClass::RuntimeConstant);
        assert!(said.contains(part) && said.contains("#runtime-constant"), "{said}");
    }
}

/// What docs/patchability.md advises.
#[test]
fn file_that_reads_the_variables_instead_of_the_constants_becomes_a_livepatch() {
    let server = TestServer::start(ServerOptions::default());
    let run = order(&server, DEBIAN_13).patch(&own_patch("runtime-constant-read")).run();
    let (_, manifest) = run.succeeds().livepatch();
    let functions: Vec<&str> = manifest.functions.iter().map(|f| f.name.as_str()).collect();
    for function in ["__d_lookup", "__d_lookup_rcu", "___d_drop"] {
        assert!(functions.contains(&function), "{functions:?}");
    }
}

/// Other kernels take half a gigabyte and some minutes each.
#[test]
fn visible_change_becomes_a_livepatch_for_all_other_stock_kernels() {
    if std::env::var_os("ELIVEPATCH_TEST_ALL_STOCK_KERNELS").is_none() {
        println!("skipped: scripts/test.sh --full runs it");
        return;
    }
    visible_change("6.12.107+deb13-cloud-amd64");
    let manifest = visible_change("7.3.4+deb13-cloud-amd64");
    assert_eq!(manifest.toolchain.name, "debian-13-gcc-14-rust");
    assert_eq!(manifest.source.packages.len(), 6);
}

/// The patches of the rt flavour are not in linux-source, but in the Debian part of the source package.
#[test]
fn visible_change_becomes_a_livepatch_for_an_rt_kernel() {
    if std::env::var_os("ELIVEPATCH_TEST_ALL_STOCK_KERNELS").is_none() {
        println!("skipped: scripts/test.sh --full runs it");
        return;
    }
    let manifest = built_visible_change("6.1.0-50-rt-amd64");
    assert_eq!(manifest.toolchain.name, "debian-12-gcc-12");
    assert!(manifest.trial.guest_release.as_str().contains("-rt-"), "{:?}", manifest.trial);
}
