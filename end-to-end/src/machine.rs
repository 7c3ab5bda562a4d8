//! A machine that is patched: a stock kernel in QEMU with a disk of its own, on which the real client runs. It can
//! be started again, and its power can be cut.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    initrd::Initrd,
    material::stock_modules,
    programs::{bound_to_this_test, program},
};

/// How long a machine may take for what it is told: it runs under software emulation.
const LIMIT: Duration = Duration::from_secs(240);

/// The modules that a disk and a network need, in the order in which they are loaded.
const MODULES: [&str; 9] = [
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
];

/// Makes the system ready, runs what the test says, and goes off. What is printed goes to the second serial port.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /disk /var/lib /run /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tracefs tracefs /sys/kernel/tracing
for module in /modules/*.ko; do insmod $module; done
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
mount /dev/vda /disk
mkdir -p /disk/state
ln -s /disk/state /var/lib/elivepatch
exec >/dev/ttyS1 2>&1
. /run-command
. /script
sync
poweroff -f
"#;

/// What scripts run commands with.
pub(crate) const RUN: &str = r#"
# run NAME COMMAND…: the command between marks with its name and exit code.
run() {
    name=$1
    shift
    "$@" >/tmp/said 2>&1
    code=$?
    echo "==> $name"
    cat /tmp/said
    echo "<== $name $code"
}
"#;

/// What a command printed, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Standard output and error.
    pub output: String,
    /// The exit code.
    pub code: i32,
}

/// A machine that is off.
#[derive(Debug)]
pub struct TargetMachine {
    place: tempfile::TempDir,
    files: PathBuf,
}

/// A machine that is on.
#[derive(Debug)]
pub struct RunningMachine<'a> {
    machine: &'a TargetMachine,
    child: Child,
    began: Instant,
}

impl TargetMachine {
    /// One whose disk has these files.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(files: &[(&str, &Path)]) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let content = place.path().join("files");
        fs::create_dir(&content).expect("own directory");
        for (name, path) in files {
            fs::copy(path, content.join(name)).expect("own directory");
        }
        let disk = place.path().join("disk");
        File::create(&disk).and_then(|file| file.set_len(64 << 20)).expect("own file");
        let made = Command::new("/sbin/mkfs.ext4")
            .args(["-q", "-d"])
            .args([&content, &disk])
            .status()
            .expect("mkfs.ext4 of e2fsprogs");
        assert!(made.success());
        Self { place, files: content }
    }

    /// Starts it with a shell script, in which `run NAME COMMAND…` marks what a command prints. `more` goes to the
    /// kernel's command line.
    ///
    /// # Panics
    /// When QEMU cannot be started.
    pub fn start(&self, script: &str, more: &str) -> RunningMachine<'_> {
        let path = |name: &str| self.place.path().join(name);
        fs::write(path("initrd"), initrd(script)).expect("own directory");
        let _ = fs::remove_file(path("said"));
        let image = std::env::var_os("ELIVEPATCH_TEST_KERNEL");
        let image = image.expect("ELIVEPATCH_TEST_KERNEL names no image: make test does");
        let mut command = bound_to_this_test(Path::new("qemu-system-x86_64"));
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
            .args(["-machine", "pc", "-accel", "tcg,tb-size=128", "-cpu", "max", "-m", "768"])
            .arg("-kernel")
            .arg(image)
            .arg("-initrd")
            .arg(path("initrd"))
            .args(["-append", &format!("console=ttyS0 panic=-1 no_timer_check {more}")])
            .args(["-serial", &format!("file:{}", path("console").display())])
            .args(["-serial", &format!("file:{}", path("said").display())])
            .args(["-drive", &format!("file={},if=virtio,format=raw", path("disk").display())])
            .args(["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"])
            .stdin(Stdio::null());
        let child = command.spawn().expect("qemu-system-x86_64");
        RunningMachine { machine: self, child, began: Instant::now() }
    }

    /// Starts it, and waits until it has gone off by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn runs(&self, script: &str) -> Said {
        self.start(script, "").goes_off()
    }

    /// The files that its disk was made with.
    pub fn files(&self) -> &Path {
        &self.files
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.place.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }
}

impl RunningMachine<'_> {
    /// Waits until it says something.
    ///
    /// # Panics
    /// When it does not, or goes off before.
    pub fn wait_for(&mut self, text: &str) {
        loop {
            let said = self.machine.read("said");
            if said.contains(text) {
                return;
            }
            let is_off = self.child.try_wait().expect("a child").is_some();
            assert!(
                !is_off && self.began.elapsed() < LIMIT,
                "{text:?} was not said:\n{said}\n{}",
                self.machine.read("console")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Cuts its power, and gives what it said until then.
    ///
    /// # Panics
    /// When there is no such process any more.
    pub fn cut(mut self) -> Said {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child");
        Said { text: self.machine.read("said") }
    }

    /// Waits until it has gone off by itself, and gives what it said.
    ///
    /// # Panics
    /// When it does not.
    pub fn goes_off(mut self) -> Said {
        loop {
            match self.child.try_wait().expect("a child") {
                Some(status) if status.success() => break,
                Some(status) => panic!("{status}:\n{}", self.machine.read("console")),
                None if self.began.elapsed() > LIMIT => {
                    let _ = self.child.kill();
                    panic!(
                        "it does not end:\n{}\n{}",
                        self.machine.read("said"),
                        self.machine.read("console")
                    );
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        Said { text: self.machine.read("said") }
    }
}

/// What a machine said.
#[derive(Debug)]
pub struct Said {
    text: String,
}

impl Said {
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// What a command said and how it ended, by its name in the script.
    ///
    /// # Panics
    /// When it was not run.
    pub fn of(&self, name: &str) -> Ran {
        let begin = format!("==> {name}\n");
        let end = format!("<== {name} ");
        let rest = self.text.split_once(&begin);
        let (_, rest) = rest.unwrap_or_else(|| panic!("{name} was not run:\n{}", self.text));
        let (output, rest) =
            rest.split_once(&end).unwrap_or_else(|| panic!("{name} did not end:\n{}", self.text));
        let code = rest.lines().next().and_then(|code| code.trim().parse().ok());
        Ran { output: output.to_owned(), code: code.expect("an exit code") }
    }

    /// The output of a command that must have ended with 0.
    ///
    /// # Panics
    /// When it did not.
    pub fn done(&self, name: &str) -> String {
        let ran = self.of(name);
        assert_eq!(ran.code, 0, "{name}: {}\nall:\n{}", ran.output, self.text);
        ran.output
    }
}

/// The client as one file that needs no library.
pub(crate) fn static_client() -> Vec<u8> {
    let path = std::env::var_os("ELIVEPATCH_TEST_STATIC_CLIENT").map_or_else(
        || {
            let beside = program("elivepatch");
            let target = beside.parent().and_then(Path::parent).expect("target/PROFILE");
            target.join("x86_64-unknown-linux-gnu/debug/elivepatch")
        },
        PathBuf::from,
    );
    // Its debug information would fill the machine's memory.
    let stripped = tempfile::NamedTempFile::new().expect("a file");
    let ran = Command::new("strip").arg("-o").arg(stripped.path()).arg(&path).status();
    assert!(ran.expect("strip").success(), "{} is not there: make test builds it", path.display());
    fs::read(stripped.path()).expect("own file")
}

fn initrd(script: &str) -> Vec<u8> {
    let mut initrd = Initrd::new(&["bin", "dev", "modules"]);
    initrd.file("bin/elivepatch", 0o755, &static_client());
    for (number, (name, module)) in stock_modules(&MODULES).into_iter().enumerate() {
        initrd.file(&format!("modules/{number:02}-{name}.ko"), 0o644, &module);
    }
    initrd.file("init", 0o755, INIT.as_bytes());
    initrd.file("run-command", 0o755, RUN.as_bytes());
    initrd.file("script", 0o755, script.as_bytes());
    initrd.finish()
}
