//! Hostile tools in the real sandbox: a Makefile that a patch brought along can run anything, so
//! each of these is a makefile that tries to get out. They need bubblewrap and may be run as root
//! or not; what root adds is tested when there is root.

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{Overlay, Sandbox, SandboxCommand, SandboxLimits, SilentObserver};
use elivepatch_model::{Failure, FailureClass, StepName};

const LIMITS: SandboxLimits = SandboxLimits {
    time: Duration::from_secs(20),
    silence: Duration::from_secs(10),
    memory_bytes: 512 << 20,
    processes: 64,
    output_bytes: 1 << 20,
    disk_bytes: 64 << 20,
};

struct Bench {
    directory: tempfile::TempDir,
    sandbox: Sandbox,
}

impl Bench {
    fn new(limits: SandboxLimits) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // As the server's cache in root's home is: nobody but its owner may enter.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(directory.path(), private).expect("own directory");
        let scratch = Utf8PathBuf::from_path_buf(directory.path().join("scratch")).expect("UTF-8");
        std::fs::create_dir(&scratch).expect("own directory");
        let sandbox = Sandbox::probe(limits, &scratch).expect("bubblewrap works here");
        Self { directory, sandbox }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.directory.path().join(name)).expect("UTF-8")
    }

    /// Runs a makefile's recipe in the sandbox; gives exit code and output.
    fn make(&self, recipe: &str) -> Result<(Option<i32>, String), Failure> {
        let work = self.path("work");
        self.sandbox.make_directory(&work).expect("own directory");
        let recipe = recipe.replace('$', "$$").replace('\n', "\n\t");
        std::fs::write(work.join("Makefile"), format!("all:\n\t@{recipe}\n")).expect("own file");
        let command = SandboxCommand::new(Utf8Path::new("/"), ["make", "-f", "/scratch/Makefile"])
            .writable(&work, "/scratch")
            .directory("/scratch");
        let finished = self.sandbox.run(&command, StepName::Compile, &SilentObserver)?;
        Ok((finished.code(), finished.text()))
    }
}

#[test]
fn tool_that_ends_like_a_failed_sandbox_has_failed_itself() {
    let bench = Bench::new(LIMITS);
    for script in ["exit 119", "echo 'bwrap: cannot' >&2; exit 1", "echo sandbox: ready; exit 1"] {
        let command = SandboxCommand::new(Utf8Path::new("/"), ["sh", "-c", script]);
        let finished = bench
            .sandbox
            .run(&command, StepName::Compile, &SilentObserver)
            .unwrap_or_else(|failure| panic!("{script}: {failure}"));
        assert!(matches!(finished.code(), Some(119 | 1)), "{script}");
        let printed = script.starts_with("echo");
        assert_eq!(finished.text().lines().count(), usize::from(printed), "{script}");
    }
}

#[test]
fn sandbox_that_cannot_be_set_up_is_no_failure_of_the_tool() {
    let bench = Bench::new(LIMITS);
    let command = SandboxCommand::new(Utf8Path::new("/"), ["true"]).directory("/not-there");
    let result = bench.sandbox.run(&command, StepName::Compile, &SilentObserver);
    let failure = result.expect_err("there is no such directory");
    assert_eq!(failure.class, FailureClass::SandboxFailed, "{failure}");
}

fn must_be_stopped(result: Result<(Option<i32>, String), Failure>, reason: &str) {
    let failure = result.expect_err("the tool goes over a limit");
    assert_eq!(failure.class, FailureClass::LimitExceeded, "{failure}");
    assert!(failure.message.contains(reason), "{failure}");
}

#[test]
fn network_is_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let bench = Bench::new(LIMITS);
    let recipe = format!(
        "tail -n +3 /proc/net/dev | sed 's/:.*//; s/^ */interface /';\
         bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo CONNECTED' 2>&1; true"
    );
    let (_, output) = bench.make(&recipe).expect("the recipe runs");
    assert!(!output.contains("CONNECTED"), "{output}");
    assert!(output.contains("connect: "), "bash has not even tried: {output}");
    let interfaces: Vec<&str> =
        output.lines().filter_map(|line| line.strip_prefix("interface ")).collect();
    assert_eq!(interfaces, ["lo"], "{output}");
    listener.set_nonblocking(true).expect("own socket");
    assert!(listener.accept().is_err(), "somebody came through");
}

#[test]
fn files_of_the_machine_are_out_of_reach() {
    let bench = Bench::new(LIMITS);
    let secret = bench.path("secret");
    std::fs::write(&secret, "TOPSECRET").expect("own file");
    let recipe = format!(
        "cat /etc/shadow {secret} /scratch/../../..{secret} /proc/1/root{secret} 2>&1;\
         ls /root /home /var /reach 2>&1; touch /usr/x /etc/x /x 2>&1; id -u; true"
    );
    let (_, output) = bench.make(&recipe).expect("the recipe runs");
    assert!(!output.contains("TOPSECRET"), "{output}");
    assert!(!output.contains("root:"), "{output}");
    for path in ["/etc/shadow", "/root", "/home", "/var"] {
        assert!(
            output.contains(&format!("{path}': No such file"))
                || output.contains(&format!("{path}: No such file")),
            "{path}: {output}"
        );
    }
    assert!(!Utf8Path::new("/usr/x").exists());
}

#[test]
fn no_capability_and_no_way_to_one() {
    let bench = Bench::new(LIMITS);
    let recipe = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status;\
        unshare --user true && echo NAMESPACE; mount -t tmpfs none /tmp && echo MOUNTED; true";
    let (_, output) = bench.make(recipe).expect("the recipe runs");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(output.contains(&format!("{set}:\t0000000000000000")), "{output}");
    }
    assert!(output.contains("NoNewPrivs:\t1"), "{output}");
    assert!(!output.contains("NAMESPACE") && !output.contains("MOUNTED"), "{output}");
}

#[test]
fn root_is_given_up() {
    let bench = Bench::new(LIMITS);
    assert_eq!(bench.sandbox.drops_root(), rustix::process::geteuid().is_root());
    let (code, output) = bench.make("cat /proc/self/uid_map; touch /scratch/mine").expect("runs");
    assert_eq!(code, Some(0), "{output}");
    let owner = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(bench.path("work/mine")).expect("it was made"),
    );
    assert_ne!(owner, 0, "the tool wrote as root");
}

#[test]
fn other_processes_are_invisible() {
    let bench = Bench::new(LIMITS);
    let (_, output) = bench.make("ls -d /proc/[0-9]* | wc -l; kill -9 -1; true").expect("runs");
    let count: usize =
        output.lines().next().and_then(|line| line.trim().parse().ok()).expect("a number");
    assert!(count < 15, "{output}");
}

#[test]
fn fork_bomb_is_contained_and_ended() {
    let bench = Bench::new(SandboxLimits { time: Duration::from_secs(4), ..LIMITS });
    let started = Instant::now();
    // Each call starts two more; with the limit, forks fail and it goes on.
    let result = bench.make(
        "explode_31337() { explode_31337 | explode_31337 & }; explode_31337 2>/dev/null; sleep 60",
    );
    if let Err(failure) = result {
        assert_eq!(failure.class, FailureClass::LimitExceeded, "{failure}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    let deadline = Instant::now() + Duration::from_secs(5);
    while processes_named("explode_31337") > 0 {
        assert!(Instant::now() < deadline, "processes of the bomb are left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn processes_named(marker: &str) -> usize {
    std::fs::read_dir("/proc")
        .expect("proc")
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.windows(marker.len()).any(|part| part == marker.as_bytes()))
        .count()
}

#[test]
fn process_limit_holds() {
    let bench = Bench::new(LIMITS);
    let recipe =
        "for i in $(seq 200); do sleep 5 & done 2>&1; ls -d /proc/[0-9]* | wc -l; kill -9 -1";
    let output = match bench.make(recipe) {
        Ok((_, output)) => output,
        Err(failure) => panic!("{failure}"),
    };
    assert!(output.contains("fork"), "200 processes were started: {output}");
}

#[test]
fn disk_cannot_be_filled() {
    let bench = Bench::new(LIMITS);
    must_be_stopped(
        bench.make("while :; do dd if=/dev/zero of=/scratch/f$$.$(date +%N) bs=1M count=8 2>/dev/null; sleep 0.02; done"),
        "64 MiB to disk",
    );
}

/// A linker asks for all of its output at once, and removes it when there is no room: no look at the
/// disk ever finds it full.
#[test]
fn disk_without_room_is_told_from_a_full_tmp() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small disk");
        return;
    }
    let bench = Bench::new(SandboxLimits { disk_bytes: 8 << 30, ..LIMITS });
    let work = bench.path("work");
    std::fs::create_dir(&work).expect("own directory");
    let mount = |program: &str, arguments: &[&str]| {
        let status = std::process::Command::new(program).args(arguments).arg(&work).status();
        assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?}");
    };
    mount("mount", &["-t", "tmpfs", "-o", "size=400m,mode=0755", "elivepatch-test"]);
    let on_disk = bench.make("fallocate --length 4G /scratch/output && echo written");
    let in_tmp = bench.make("dd if=/dev/zero of=/tmp/a.s bs=1M count=600");
    mount("umount", &["--lazy"]);
    let failure = on_disk.expect_err("there is no room");
    assert_eq!(failure.class, FailureClass::DiskFull, "{failure}");
    assert!(failure.message.contains(&format!("no space left on the disk of {work}")), "{failure}");
    assert!(failure.message.ends_with("MiB were free at the lowest look"), "{failure}");
    must_be_stopped(in_tmp, "/tmp");
}

#[test]
fn one_file_cannot_be_larger_than_the_disk_limit() {
    let bench = Bench::new(LIMITS);
    let result = bench
        .make("dd if=/dev/zero of=/scratch/big bs=1M count=1000 2>&1; ls -s /scratch/big; true");
    let size = std::fs::metadata(bench.path("work/big")).map_or(0, |metadata| metadata.len());
    assert!(size <= 64 << 20, "{size}: {result:?}");
}

#[test]
fn places_outside_the_work_directory_cannot_be_filled() {
    let bench = Bench::new(LIMITS);
    let recipe = "for d in / /dev /dev/shm /run /proc /build; do \
        dd if=/dev/zero of=$d/fill bs=1M count=2 2>/dev/null && echo WROTE $d; done; true";
    let (_, output) = bench.make(recipe).expect("the recipe runs");
    assert!(!output.contains("WROTE"), "{output}");
    // In /tmp, which lies in memory, many files that are small enough each.
    let recipe = "for i in $(seq 100); do dd if=/dev/zero of=/tmp/fill$i bs=1M count=16 2>&1 || break; done; rm -f /tmp/fill*; true";
    let (_, output) = bench.make(recipe).expect("the recipe runs");
    assert!(output.contains("No space left"), "{output}");
}

#[test]
fn endless_run_is_ended() {
    let bench = Bench::new(SandboxLimits { time: Duration::from_secs(2), ..LIMITS });
    must_be_stopped(bench.make("while :; do echo x; sleep 0.1; done"), "ran for more than 2 s");
}

#[test]
fn silence_is_ended() {
    let bench = Bench::new(SandboxLimits { silence: Duration::from_secs(1), ..LIMITS });
    must_be_stopped(bench.make("sleep 60"), "printed nothing for 1 s");
}

#[test]
fn endless_output_is_ended() {
    let bench = Bench::new(LIMITS);
    must_be_stopped(bench.make("yes"), "printed more than 1024 KiB");
}

#[test]
fn memory_is_limited() {
    let bench = Bench::new(LIMITS);
    let (code, output) = bench.make("tail /dev/zero 2>&1").expect("one process hits its own limit");
    assert_ne!(code, Some(0), "{output}");
    assert!(output.contains("memory"), "{output}");
    // Many processes, each under the limit, are over it together.
    must_be_stopped(
        bench.make(
            "for i in 1 2 3 4 5 6; do head -c 150M /dev/zero | tail -n 1 | sleep 15 & done; wait",
        ),
        "MiB of memory",
    );
}

#[test]
fn base_stays_as_it_is_under_an_overlay() {
    let bench = Bench::new(LIMITS);
    assert!(bench.sandbox.overlays(), "overlayfs in user namespaces works on Linux 5.11 and later");
    let (lower, layer) = (bench.path("lower"), bench.path("layer"));
    bench.sandbox.make_directory(&lower).expect("own directory");
    bench.sandbox.make_layer(&layer).expect("own directory");
    std::fs::write(lower.join("file"), "original").expect("own file");
    let script = "cat file; echo changed > file.new; mv -f file.new file; cat file; rm file; ls";
    let command = SandboxCommand::new(Utf8Path::new("/"), ["sh", "-c", script])
        .overlay(Overlay { lower: lower.clone(), between: Vec::new(), layer })
        .directory("/build");
    let finished =
        bench.sandbox.run(&command, StepName::Compile, &SilentObserver).expect("it runs");
    assert_eq!(finished.text(), "originalchanged\n");
    assert_eq!(std::fs::read_to_string(lower.join("file")).expect("still there"), "original");
}

#[test]
fn layers_of_other_overlays_lie_between_and_stay_as_they_are() {
    let bench = Bench::new(LIMITS);
    let lower = bench.path("lower");
    bench.sandbox.make_directory(&lower).expect("own directory");
    for name in ["kept", "changed", "removed", "again"] {
        std::fs::write(lower.join(name), "lower").expect("own file");
        bench.sandbox.hand_over(&lower.join(name)).expect("own file");
    }
    let run = |name: &str, between: &[&str], script: &str| {
        let layer = bench.path(name);
        bench.sandbox.make_layer(&layer).expect("own directory");
        let between = between.iter().map(|name| bench.path(name)).collect();
        let command = SandboxCommand::new(Utf8Path::new("/"), ["sh", "-c", script])
            .overlay(Overlay { lower: lower.clone(), between, layer })
            .directory("/build");
        let finished = bench.sandbox.run(&command, StepName::Compile, &SilentObserver);
        finished.expect("it runs").text().to_owned()
    };
    run("first", &[], "echo first > changed; echo first > again; rm removed; mkdir new");
    run("second", &[], "echo second > again; echo second > file");
    let seen = "ls; cat kept changed again file";
    let text = run("top", &["second", "first"], &format!("{seen}; echo top > again; rm kept"));
    assert_eq!(text, "again\nchanged\nfile\nkept\nnew\nlowerfirst\nsecond\nsecond\n");
    // What the upper one did is not in those below it.
    assert_eq!(run("other", &["second", "first"], seen), text);
}

#[test]
fn layer_beside_the_overlay_counts_as_disk() {
    let bench = Bench::new(LIMITS);
    let (lower, layer) = (bench.path("lower"), bench.path("layer"));
    bench.sandbox.make_directory(&lower).expect("own directory");
    bench.sandbox.make_layer(&layer).expect("own directory");
    let script = "for i in $(seq 100); do dd if=/dev/zero of=/layer/f$i bs=1M count=8 2>/dev/null; sleep 0.05; done";
    let command = SandboxCommand::new(Utf8Path::new("/"), ["sh", "-c", script])
        .overlay(Overlay { lower, between: Vec::new(), layer })
        .directory("/build");
    let failure = bench
        .sandbox
        .run(&command, StepName::Compile, &SilentObserver)
        .expect_err("800 MiB are over the limit");
    assert_eq!(failure.class, FailureClass::LimitExceeded, "{failure}");
}

#[test]
fn memory_that_processes_share_is_limited() {
    let bench = Bench::new(LIMITS);
    // Each process stays below its own limit; what they share is in none of their private memory.
    let script = "import mmap, os, time\n\
        maps = [mmap.mmap(-1, 100 << 20) for _ in range(3)]\n\
        os.fork()\n\
        for m in maps: m.write(b'x' * (100 << 20))\n\
        time.sleep(15)\n";
    std::fs::create_dir_all(bench.path("work")).expect("own directory");
    std::fs::write(bench.path("work").join("share.py"), script).expect("own file");
    must_be_stopped(bench.make("/usr/bin/python3 /scratch/share.py"), "MiB of memory");
}
