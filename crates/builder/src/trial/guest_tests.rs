use super::*;

fn plan(accelerator: Accelerator) -> GuestPlan<'static> {
    GuestPlan {
        kernel_image: "/boot/vmlinuz".into(),
        initrd: b"",
        memory_mib: 512,
        accelerator,
        time_limit: Duration::from_millis(200),
        silence_limit: Duration::from_secs(9),
    }
}

/// Runs a shell command where QEMU would run.
struct Shell(&'static str);

impl QemuLauncher for Shell {
    fn command(
        &self,
        _arguments: &[String],
        _read_only: &[&Utf8Path],
        writable: &Utf8Path,
    ) -> std::process::Command {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", self.0]).current_dir(writable);
        command
    }
}

fn run(
    script: &'static str,
    plan: &GuestPlan<'_>,
    watch: &mut dyn FnMut(&[u8]) -> bool,
) -> GuestRun {
    let directory = tempfile::tempdir().expect("a directory");
    let work = Utf8Path::from_path(directory.path()).expect("UTF-8");
    run_guest(plan, &Shell(script), work, watch).expect("a run")
}

#[test]
fn comma_in_a_path_is_doubled() {
    let paths = GuestPaths::in_directory("/tmp/a,b".into());
    let arguments = arguments(&plan(Accelerator::Tcg), &paths);
    assert!(
        arguments.contains(&"file,id=console,path=/tmp/a,,b/console.log".to_owned()),
        "{arguments:?}"
    );
}

#[test]
fn accelerator_chooses_the_processor() {
    let paths = GuestPaths::in_directory("/w".into());
    let kvm = arguments(&plan(Accelerator::Kvm), &paths);
    assert!(kvm.windows(2).any(|pair| pair == ["-accel", "kvm"]), "{kvm:?}");
    assert!(kvm.windows(2).any(|pair| pair == ["-cpu", "host"]), "{kvm:?}");
}

#[test]
fn last_words_are_heard_and_the_console_is_kept() {
    let mut heard = Vec::new();
    let plan = GuestPlan { time_limit: Duration::from_secs(20), ..plan(Accelerator::Tcg) };
    let run = run(
        "echo console >console.log; echo oh >&2; printf words >>protocol.log",
        &plan,
        &mut |bytes| {
            heard.extend_from_slice(bytes);
            true
        },
    );
    assert!(matches!(run.end, GuestEnd::Exited(status) if status.success()), "{run:?}");
    assert_eq!(heard, b"words");
    assert_eq!(run.console, b"console\n");
    assert_eq!(run.qemu_log, "oh\n");
}

#[test]
fn guest_is_killed_at_its_limits() {
    let timed_out = run("sleep 30 & wait", &plan(Accelerator::Tcg), &mut |_| true);
    assert!(matches!(timed_out.end, GuestEnd::TimedOut), "{timed_out:?}");
    assert!(timed_out.duration < Duration::from_secs(10), "{timed_out:?}");

    let plan = GuestPlan {
        time_limit: Duration::from_secs(20),
        silence_limit: Duration::from_millis(100),
        ..plan(Accelerator::Tcg)
    };
    let silent = run("exec sleep 30", &plan, &mut |_| true);
    assert!(matches!(silent.end, GuestEnd::Silent), "{silent:?}");
    let stopped = run("exec sleep 30", &plan, &mut |_| false);
    assert!(matches!(stopped.end, GuestEnd::Stopped), "{stopped:?}");
    let plan = GuestPlan { silence_limit: Duration::from_secs(20), ..plan };
    let flood = "head -c 64M /dev/zero >console.log; exec sleep 30";
    let flood = run(flood, &plan, &mut |_| true);
    assert!(matches!(flood.end, GuestEnd::TooMuchOutput), "{flood:?}");
    assert_eq!(flood.console.len() as u64, CONSOLE_BYTES);
}
