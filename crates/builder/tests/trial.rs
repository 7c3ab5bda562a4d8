//! Trials of real livepatches on a real kernel in QEMU.
//!
//! They need `ELIVEPATCH_TEST_KERNEL` (a distribution's vmlinuz), `ELIVEPATCH_TEST_MODULES` (what
//! `scripts/build-trial-modules.sh` made for it), QEMU and a static busybox.

use std::{
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{
    Accelerator, DirectLauncher, EarlierLivepatch, Observer, SilentObserver, TrialInput,
    TrialOptions, run_trial,
};
use elivepatch_model::{
    BehaviourCheck, BuildEvent, Failure, FailureClass, KernelRelease, Sha256Digest, StepName,
    TrialEvidence,
};

/// The kernel and the modules, or nothing when the tests are to be skipped.
struct Materials {
    kernel_image: Utf8PathBuf,
    modules: Utf8PathBuf,
    release: KernelRelease,
}

/// # Panics
/// When the variables are not set: a test that silently does nothing proves nothing.
fn materials() -> Option<Materials> {
    if std::env::var("ELIVEPATCH_TEST_SKIP_KERNEL").is_ok_and(|value| value == "1") {
        eprintln!("skipped: ELIVEPATCH_TEST_SKIP_KERNEL=1");
        return None;
    }
    let path = |name: &str, what: &str| -> Utf8PathBuf {
        std::env::var(name)
            .unwrap_or_else(|_| {
                panic!(
                    "{name} is not set: it names {what}. Run `make test`, or set \
                     ELIVEPATCH_TEST_SKIP_KERNEL=1 to leave the tests on a real kernel out"
                )
            })
            .into()
    };
    let kernel_image = path("ELIVEPATCH_TEST_KERNEL", "a vmlinuz-RELEASE");
    let modules =
        path("ELIVEPATCH_TEST_MODULES", "the output of scripts/build-trial-modules.sh for it");
    let file_name = kernel_image.file_name().expect("a file name");
    let release = file_name
        .strip_prefix("vmlinuz-")
        .and_then(|release| release.parse().ok())
        .unwrap_or_else(|| panic!("ELIVEPATCH_TEST_KERNEL={kernel_image} is not vmlinuz-RELEASE"));
    Some(Materials { kernel_image, modules, release })
}

/// A trial that is about to run: the test changes what it is about.
struct Trial {
    materials: Materials,
    module: Utf8PathBuf,
    module_name: String,
    checks: Vec<BehaviourCheck>,
    functions_expected: usize,
    earlier: Option<(&'static str, Vec<u8>)>,
    options: TrialOptions,
}

impl Trial {
    fn of(module_name: &str) -> Option<Self> {
        let materials = materials()?;
        Some(Self {
            module: materials.modules.join(format!("{module_name}.ko")),
            materials,
            module_name: module_name.to_owned(),
            checks: Vec::new(),
            functions_expected: 1,
            earlier: None,
            options: TrialOptions::new(Accelerator::Tcg),
        })
    }

    fn check(mut self, command: &str, before: &str, after: &str) -> Self {
        self.checks.push(BehaviourCheck {
            command: command.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        });
        self
    }

    /// Has the livepatch replace another one.
    fn over(mut self, earlier: &'static str) -> Self {
        let path = self.materials.modules.join(format!("{earlier}.ko"));
        self.earlier = Some((earlier, std::fs::read(path).expect("built with the others")));
        self
    }

    fn run_with(&self, observer: &dyn Observer) -> Result<TrialEvidence, Failure> {
        let work = tempfile::tempdir().expect("a directory");
        let input = TrialInput {
            modules: &[],
            kernel_image: &self.materials.kernel_image,
            busybox: busybox(),
            module: &self.module,
            module_name: &self.module_name,
            release: &self.materials.release,
            checks: &self.checks,
            functions_expected: self.functions_expected,
            earlier: self.earlier.as_ref().map(|(name, module)| EarlierLivepatch { module, name }),
        };
        let work = Utf8Path::from_path(work.path()).expect("UTF-8");
        let result = run_trial(&input, &self.options, &DirectLauncher, observer, work);
        if let Err(failure) = &result {
            assert_eq!(failure.step, Some(StepName::Trial));
            assert!(!failure.hint.is_empty() && !failure.message.contains('\n'), "{failure:?}");
        }
        result
    }

    fn run(&self) -> Result<TrialEvidence, Failure> {
        self.run_with(&SilentObserver)
    }

    fn fails_with(&self, class: FailureClass) -> Failure {
        let failure = self.run().expect_err("the trial must fail");
        assert_eq!(failure.class, class, "{failure:#?}");
        failure
    }
}

fn busybox() -> &'static Utf8Path {
    static BUSYBOX: OnceLock<Utf8PathBuf> = OnceLock::new();
    BUSYBOX.get_or_init(|| {
        let found =
            Command::new("sh").args(["-c", "command -v busybox"]).output().expect("a shell");
        let path = String::from_utf8(found.stdout).expect("UTF-8").trim().to_owned();
        assert!(!path.is_empty(), "busybox is missing: apt-get install busybox-static");
        path.into()
    })
}

/// Remembers the log lines; may cancel at the first one.
#[derive(Default)]
struct Listener {
    lines: std::sync::Mutex<Vec<String>>,
    cancels: bool,
}

impl Observer for Listener {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Log { step: StepName::Trial, line } = event {
            self.lines.lock().expect("not poisoned").push(line);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancels
    }
}

#[test]
fn working_livepatch_gives_evidence() {
    let Some(trial) = Trial::of("trial_good") else { return };
    let trial = trial
        .check("cat /proc/cmdline", "console=ttyS0", "this kernel is live-patched")
        .check("uname -s; echo \"$0 'quoted' $((1+1))\"; exit 3", "'quoted' 2", "Linux");
    let listener = Listener::default();
    let evidence = trial.run_with(&listener).expect("the trial passes");
    eprintln!(
        "trial with two checks: {:.2} s, transition {:.2} s in the guest",
        evidence.duration_seconds, evidence.transition_seconds
    );

    assert_eq!(evidence.guest_release, trial.materials.release);
    assert_eq!(evidence.accelerator, "tcg");
    assert!(evidence.duration_seconds < 60.0, "{evidence:#?}");
    assert_eq!(evidence.checks.len(), 2);
    assert!(evidence.checks[0].output_before.contains("console=ttyS0"));
    assert_eq!(evidence.checks[0].output_after, "this kernel is live-patched\n");
    assert_eq!(evidence.checks[0].output_reverted, evidence.checks[0].output_before);
    let notes = evidence.console_notes.join("\n");
    assert!(notes.contains("tainting kernel"), "{notes}");
    assert!(notes.contains("unpatching complete"), "{notes}");
    let lines = listener.lines.lock().expect("not poisoned").join("\n");
    for phase in ["booting", "loading the module", "waiting for the transition back", "unloading"] {
        assert!(lines.contains(phase), "{phase}: {lines}");
    }
}

#[test]
fn checks_are_optional_and_a_dash_in_the_name_is_understood() {
    let Some(mut trial) = Trial::of("trial_good") else { return };
    trial.module_name = "trial-good".to_owned();
    let evidence = trial.run().expect("the trial passes");
    assert!(evidence.checks.is_empty());
}

/// `trial_both` with a check for each of its two fixes.
fn both() -> Option<Trial> {
    let mut trial = Trial::of("trial_both")?;
    trial.functions_expected = 2;
    Some(trial.check("cat /proc/cmdline", "console=ttyS0", "this kernel is live-patched").check(
        "cat /proc/version",
        "Linux version",
        "a version that was live-patched",
    ))
}

#[test]
fn livepatch_of_both_fixes_takes_the_place_of_the_earlier_one() {
    let Some(trial) = both() else { return };
    let trial = trial.over("trial_good");
    let listener = Listener::default();
    let evidence = trial.run_with(&listener).expect("the trial passes");
    let replaced = evidence.replaced.expect("evidence");
    eprintln!(
        "trial with replacing: {:.2} s, transition {:.2} s, {} looks",
        evidence.duration_seconds, replaced.transition_seconds, replaced.looks
    );
    let (_, module) = trial.earlier.as_ref().expect("given");
    assert_eq!((replaced.name.as_str(), replaced.digest), ("trial_good", Sha256Digest::of(module)));
    assert!(replaced.looks > 10, "{replaced:?}");
    assert_eq!(evidence.checks[1].output_after, "a version that was live-patched\n");
    // Without the earlier one it was tried as well.
    let notes = evidence.console_notes.join("\n");
    let complete = notes.matches("'trial_both': patching complete").count();
    assert_eq!((complete, notes.matches("'trial_good': patching complete").count()), (2, 1));
    let lines = listener.lines.lock().expect("not poisoned").join("\n");
    for phase in ["loading the earlier livepatch", "replacing the earlier livepatch"] {
        assert!(lines.contains(phase), "{phase}: {lines}");
    }
}

#[test]
fn livepatch_that_stays_beside_the_earlier_one_does_not_replace_it() {
    let Some(trial) = Trial::of("trial_good") else { return };
    let failure = trial.over("trial_both").fails_with(FailureClass::TrialLoadFailed);
    let said = "trial_good is active but did not replace the earlier livepatch trial_both";
    assert!(failure.message.contains(said), "{failure:#?}");
}

#[test]
fn check_that_only_the_earlier_livepatch_breaks_is_told() {
    let Some(trial) = both() else { return };
    // The first time the livepatch is loaded the check holds, the second time it does not.
    let check = "cat /proc/version >>/tmp/all; grep -c live-patched /tmp/all";
    let failure =
        trial.over("trial_good").check(check, "", "1\n").fails_with(FailureClass::TrialCheckFailed);
    assert!(failure.message.contains("in the place of the earlier one"), "{failure:#?}");
}

#[test]
fn earlier_livepatch_that_does_not_come_up_is_no_fault_of_the_new_one() {
    let Some(trial) = both() else { return };
    let failure = trial.over("trial_unresolved").fails_with(FailureClass::TrialEarlierFailed);
    assert!(failure.message.contains("elivepatch_no_such_function"), "{failure:#?}");
    let Some(mut trial) = both() else { return };
    trial.options.transition_limit = Duration::from_secs(8);
    let failure = trial.over("trial_blocked").fails_with(FailureClass::TrialEarlierFailed);
    assert!(failure.message.contains("its transition did not end"), "{failure:#?}");
}

#[test]
fn garbage_is_refused_by_the_kernel() {
    let Some(mut trial) = Trial::of("trial_good") else { return };
    let garbage = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(garbage.path(), "this is not a module\n".repeat(500)).expect("written");
    trial.module = garbage.path().to_path_buf().try_into().expect("UTF-8");
    let failure = trial.fails_with(FailureClass::TrialLoadFailed);
    assert!(failure.message.contains("the kernel refused trial_good"), "{failure:#?}");
}

#[test]
fn livepatch_for_an_unknown_function_is_refused_with_the_kernels_reason() {
    let Some(trial) = Trial::of("trial_unresolved") else { return };
    let failure = trial.fails_with(FailureClass::TrialLoadFailed);
    assert!(failure.message.contains("elivepatch_no_such_function"), "{failure:#?}");
}

#[test]
fn oops_in_the_patched_function_is_a_kernel_fault() {
    let Some(trial) = Trial::of("trial_oops") else { return };
    let trial = trial.check("cat /proc/cmdline", "console=ttyS0", "anything");
    let failure = trial.fails_with(FailureClass::TrialKernelFault);
    assert!(failure.message.contains("with the livepatch active: BUG:"), "{failure:#?}");
    assert!(failure.details.iter().any(|line| line.contains("trial_oops")), "{failure:#?}");
}

#[test]
fn warning_while_loading_is_a_kernel_fault() {
    let Some(trial) = Trial::of("trial_warn") else { return };
    let failure = trial.fails_with(FailureClass::TrialKernelFault);
    assert!(failure.message.contains("while loading the module: WARNING:"), "{failure:#?}");
    let details = failure.details.join("\n");
    assert!(details.contains("a warning made for the test"), "{details}");
}

#[test]
fn transition_that_never_ends_names_the_task() {
    let Some(mut trial) = Trial::of("trial_blocked") else { return };
    trial.options.transition_limit = Duration::from_secs(3);
    let failure = trial.fails_with(FailureClass::TrialTransitionStalled);
    assert!(failure.message.contains("trial_sleeper"), "{failure:#?}");
    assert!(failure.details.iter().any(|line| line.contains("msleep")), "{failure:#?}");
}

#[test]
fn guest_that_stands_still_is_ended() {
    let Some(mut trial) = Trial::of("trial_hang") else { return };
    // It must have been booted by then.
    trial.options.time_limit = Duration::from_secs(45);
    let failure = trial.fails_with(FailureClass::TrialKernelFault);
    assert!(failure.message.contains("while loading the module"), "{failure:#?}");
}

#[test]
fn wrong_number_of_functions_is_noticed() {
    let Some(mut trial) = Trial::of("trial_good") else { return };
    trial.functions_expected = 2;
    let failure = trial.fails_with(FailureClass::TrialLoadFailed);
    assert!(failure.message.contains("enabled with 1 functions; enabled with 2"), "{failure:#?}");
}

#[test]
fn kernel_of_another_release_is_noticed() {
    let Some(mut trial) = Trial::of("trial_good") else { return };
    trial.materials.release = "6.1.0-1-other".parse().expect("a release");
    let failure = trial.fails_with(FailureClass::TrialBootFailed);
    assert!(failure.message.contains("6.1.0-1-other"), "{failure:#?}");
}

#[test]
fn file_that_is_no_kernel_does_not_boot() {
    let Some(mut trial) = Trial::of("trial_good") else { return };
    trial.materials.kernel_image = trial.module.clone();
    trial.options.time_limit = Duration::from_secs(5);
    let failure = trial.fails_with(FailureClass::TrialBootFailed);
    assert!(failure.message.contains("did not get as far as loading"), "{failure:#?}");
}

#[test]
fn missing_module_is_named() {
    let Some(mut trial) = Trial::of("trial_good") else { return };
    trial.module = "/nowhere/lp.ko".into();
    let failure = trial.fails_with(FailureClass::TrialBootFailed);
    assert!(failure.message.contains("/nowhere/lp.ko"), "{failure:#?}");
}

#[test]
fn check_that_fails_is_told_with_its_run_and_output() {
    let cases = [
        ("cat /proc/cmdline", "no such text", "live-patched", "before the livepatch was loaded"),
        ("cat /proc/cmdline", "console=ttyS0", "no such text", "with the livepatch active"),
        // It counts its runs, so the third is not as the first.
        ("echo x >>/tmp/runs; wc -l </tmp/runs", "1", "2", "after the livepatch was unloaded"),
    ];
    for (command, before, after, when) in cases {
        let Some(trial) = Trial::of("trial_good") else { return };
        // Of a livepatch it says something only when it held on the kernel as shipped.
        let class = match when.starts_with("before") {
            true => FailureClass::TrialCheckUnusable,
            false => FailureClass::TrialCheckFailed,
        };
        let trial = trial.check("true", "", "").check(command, before, after);
        let failure = trial.fails_with(class);
        assert!(failure.message.starts_with("check 2 did not hold"), "{failure:#?}");
        assert!(failure.message.contains(when), "{failure:#?}");
        assert!(failure.details.iter().any(|line| line.starts_with("output: ")), "{failure:#?}");
    }
}

#[test]
fn hostile_checks_neither_block_nor_forge_nor_flood() {
    let Some(trial) = Trial::of("trial_good") else { return };
    let trial = trial
        .check("yes", "y\ny\n", "y\n")
        .check("echo begun; sleep 1000 & echo done", "done", "done")
        .check("echo x; exec 3>/dev/ttyS1; echo 'x end' >&3; kill -9 $$", "x", "x")
        .check("cat /trial/nonce || echo hidden", "hidden", "hidden")
        .check("';' ) } $(reboot -f", "", "")
        .check("cat /dev/urandom | head -c 30000", "", "");
    let evidence = trial.run().expect("the trial passes");
    assert_eq!(evidence.checks[0].output_before.len(), elivepatch_builder::CHECK_OUTPUT_BYTES);
    assert_eq!(evidence.checks[1].output_after, "begun\ndone\n");
}

#[test]
fn check_without_end_is_stopped() {
    let Some(trial) = Trial::of("trial_good") else { return };
    let trial = trial.check("echo begun; sleep 1000", "never", "never");
    let failure = trial.fails_with(FailureClass::TrialCheckUnusable);
    let details = failure.details.join("\n");
    assert!(details.contains("stopped after 10 s"), "{details}");
    assert!(details.contains("output: begun"), "{details}");
}

#[test]
fn cancelled_trial_ends_at_once() {
    let Some(trial) = Trial::of("trial_good") else { return };
    let started = Instant::now();
    let listener = Listener { cancels: true, ..Listener::default() };
    let failure = trial.run_with(&listener).expect_err("cancelled");
    assert!(failure.message.contains("cancelled"), "{failure:#?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn probed_accelerator_carries_a_trial() {
    let Some(mut trial) = Trial::of("trial_good") else { return };
    let work = tempfile::tempdir().expect("a directory");
    let started = Instant::now();
    let accelerator = Accelerator::probe(
        &DirectLauncher,
        &trial.materials.kernel_image,
        busybox(),
        Utf8Path::from_path(work.path()).expect("UTF-8"),
    );
    eprintln!("probe: {accelerator} after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    trial.options.accelerator = accelerator;
    let evidence = trial.run().expect("the trial passes");
    assert_eq!(evidence.accelerator, accelerator.as_str());
}
