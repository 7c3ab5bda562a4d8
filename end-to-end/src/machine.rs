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
    programs::{bound_to_this_test, static_client_path},
    said::Said,
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
[ ! -e /dev/vda ] || mount /dev/vda /disk
mkdir -p /disk/state
ln -s /disk/state /var/lib/elivepatch
exec >/dev/ttyS1 2>&1
. /run-command
. /script
sync
poweroff -f
"#;

/// The same for a machine with a system of its own: its first process comes from the disk, and runs the script as a
/// service.
const SYSTEM_INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /disk
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
mount /dev/vda /disk
cp /script /run-command /disk/
umount /proc /sys
exec switch_root /disk /sbin/init
"#;

/// What starts the services of a machine that has a system of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceManager {
    /// systemd, which runs the script as a service.
    Systemd,
    /// OpenRC under sysvinit, which runs the script when all services are there.
    OpenRc,
}

/// Runs the script under sysvinit: a line of its table, behind those that start the services.
const SCRIPT_INITTAB: &str = "\nsc:2345:once:/bin/sh /script-runner\n";
/// What that line runs.
const SCRIPT_RUNNER: &str = "exec </dev/null >/dev/ttyS1 2>&1\n\
     export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n. /run-command\n. /script\nsync\npoweroff\n";

/// The service that runs the script.
const SCRIPT_SERVICE: &str = "[Unit]\nAfter=multi-user.target\n\n[Service]\nType=oneshot\n\
     ExecStart=/bin/sh -c '. /run-command; . /script; sync; systemctl poweroff'\n\
     StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS1\nTimeoutStartSec=infinity\n\n\
     [Install]\nWantedBy=graphical.target\n";

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
# watch NAME PID SECONDS: what a process uses in that time, for Said::used.
watch() {
    echo "==> $1"
    cat /proc/uptime /proc/$2/stat
    sleep $3
    cat /proc/uptime /proc/$2/stat
    grep -e VmHWM -e VmRSS /proc/$2/status
    echo "<== $1 $?"
}
"#;

/// Shell commands by which a machine has a way to a server of this one at the same address: servers answer to names
/// of the loopback interface only.
pub fn way_to(server_url: &str) -> String {
    let port = server_url.rsplit(':').next().expect("it has a port").trim_end_matches('/');
    format!(
        "printf '#!/bin/sh\\nexec nc 10.0.2.2 {port}\\n' >/bin/to-server; chmod +x /bin/to-server
         nc -ll -p {port} -e /bin/to-server &
         way=$!
        "
    )
}

/// A machine that is off.
#[derive(Debug)]
pub struct TargetMachine {
    place: tempfile::TempDir,
    files: PathBuf,
    /// A kernel that has no drivers for disk and network; `None`: the stock kernel, with both.
    bare: Option<PathBuf>,
    /// Whether its disk has a system of its own.
    has_system: bool,
    /// The process whose network it is in, when that is not this test's.
    network: Option<u32>,
}

/// A machine that is on.
#[derive(Debug)]
pub struct RunningMachine<'a> {
    machine: &'a TargetMachine,
    child: Child,
    began: Instant,
    limit: Duration,
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
        let machine = Self { place, files: content, bare: None, has_system: false, network: None };
        machine.make_disk(64);
        machine
    }

    /// One whose disk has the system of a tar archive, with its manager of services, the client as `/usr/bin/elivepatch`,
    /// and these files at these places.
    ///
    /// # Panics
    /// When it cannot be made; only root can.
    pub fn with_system(archive: &Path, manager: ServiceManager, files: &[(&str, &[u8])]) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join("files");
        fs::create_dir(&root).expect("own directory");
        let made = Command::new("tar").arg("-xpf").arg(archive).arg("-C").arg(&root).status();
        assert!(made.expect("tar").success(), "{}", archive.display());
        let busybox = fs::read("/bin/busybox").expect("busybox-static");
        let script: (&str, &[u8]) = match manager {
            ServiceManager::Systemd => {
                ("etc/systemd/system/script.service", SCRIPT_SERVICE.as_bytes())
            }
            ServiceManager::OpenRc => ("script-runner", SCRIPT_RUNNER.as_bytes()),
        };
        let own: [(&str, &[u8]); 3] =
            [("usr/bin/elivepatch", &static_client()), ("usr/local/bin/nc", &busybox), script];
        for (path, content) in own.into_iter().chain(files.iter().copied()) {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
            fs::write(&path, content).expect("own directory");
            let mode = if path.extension().is_some() { 0o644 } else { 0o755 };
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(&path, mode).expect("own file");
        }
        match manager {
            ServiceManager::Systemd => {
                let wants = root.join("etc/systemd/system/graphical.target.wants");
                fs::create_dir_all(&wants).expect("own directory");
                std::os::unix::fs::symlink("../script.service", wants.join("script.service"))
                    .expect("own directory");
            }
            ServiceManager::OpenRc => {
                let path = root.join("etc/inittab");
                let table = fs::read_to_string(&path).expect("sysvinit's table");
                fs::write(&path, table + SCRIPT_INITTAB).expect("own directory");
            }
        }
        let machine = Self { place, files: root, bare: None, has_system: true, network: None };
        machine.make_disk(1024);
        machine
    }

    /// Makes the disk, of so many MiB, with the files.
    fn make_disk(&self, mebibytes: u64) {
        let disk = self.place.path().join("disk");
        File::create(&disk).and_then(|file| file.set_len(mebibytes << 20)).expect("own file");
        let made = Command::new("/sbin/mkfs.ext4")
            .args(["-q", "-d"])
            .args([&self.files, &disk])
            .status()
            .expect("mkfs.ext4 of e2fsprogs");
        assert!(made.success());
    }

    /// One with another kernel, which needs no drivers for disk and network: it has neither, and forgets everything
    /// when it is off. The files are where those of a disk would be.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn bare(image: &Path, files: &[(&str, &Path)]) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let content = place.path().join("files");
        fs::create_dir(&content).expect("own directory");
        for (name, path) in files {
            fs::copy(path, content.join(name)).expect("own directory");
        }
        Self {
            place,
            files: content,
            bare: Some(image.to_owned()),
            has_system: false,
            network: None,
        }
    }

    /// The same, in the network of another process.
    #[must_use]
    pub fn in_network_of(mut self, process: u32) -> Self {
        self.network = Some(process);
        self
    }

    /// Starts it with a shell script, in which `run NAME COMMAND…` marks what a command prints. `more` goes to the
    /// kernel's command line.
    ///
    /// # Panics
    /// When QEMU cannot be started.
    pub fn start(&self, script: &str, more: &str) -> RunningMachine<'_> {
        let path = |name: &str| self.place.path().join(name);
        let is_bare = self.bare.is_some();
        let files = if is_bare { Some(&*self.files) } else { None };
        let init = if self.has_system { SYSTEM_INIT } else { INIT };
        fs::write(path("initrd"), initrd(init, script, files)).expect("own directory");
        let _ = fs::remove_file(path("said"));
        let image = self.bare.clone().unwrap_or_else(|| {
            let image = std::env::var_os("ELIVEPATCH_TEST_KERNEL");
            image.expect("ELIVEPATCH_TEST_KERNEL names no image: make test does").into()
        });
        let mut command = match self.network {
            None => bound_to_this_test(Path::new("qemu-system-x86_64")),
            Some(process) => {
                let mut command = bound_to_this_test(Path::new("nsenter"));
                command.args(["--target", &process.to_string(), "--net", "qemu-system-x86_64"]);
                command
            }
        };
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
            .stdin(Stdio::null());
        if !is_bare {
            command
                .args(["-drive", &format!("file={},if=virtio,format=raw", path("disk").display())])
                .args(["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"]);
        }
        let child = command.spawn().expect("qemu-system-x86_64");
        RunningMachine { machine: self, child, began: Instant::now(), limit: LIMIT }
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
    /// The same with more time: for what waits for builds of a server.
    #[must_use]
    pub fn with_patience(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

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
                !is_off && self.began.elapsed() < self.limit,
                "{text:?} was not said:\n{said}\n{}",
                self.machine.read("console")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it has said so far.
    pub fn said(&self) -> Said {
        Said { text: self.machine.read("said") }
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
                None if self.began.elapsed() > self.limit => {
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

/// The client as one file that needs no library.
pub(crate) fn static_client() -> Vec<u8> {
    let path = static_client_path();
    // Its debug information would fill the machine's memory.
    let stripped = tempfile::NamedTempFile::new().expect("a file");
    let ran = Command::new("strip").arg("-o").arg(stripped.path()).arg(&path).status();
    assert!(ran.expect("strip").success(), "{} is not there: make test builds it", path.display());
    fs::read(stripped.path()).expect("own file")
}

/// With the files of a machine that has no disk, or with the drivers for one.
fn initrd(init: &str, script: &str, files: Option<&Path>) -> Vec<u8> {
    let mut initrd = Initrd::new(&["bin", "dev", "modules", "disk"]);
    initrd.file("bin/elivepatch", 0o755, &static_client());
    initrd.file("init", 0o755, init.as_bytes());
    initrd.file("run-command", 0o644, RUN.as_bytes());
    initrd.file("script", 0o755, script.as_bytes());
    if let Some(files) = files {
        for entry in fs::read_dir(files).expect("own directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            initrd.file(&format!("disk/{name}"), 0o644, &fs::read(&path).expect("own file"));
        }
        return initrd.finish();
    }
    for (number, (name, module)) in stock_modules(&MODULES).into_iter().enumerate() {
        initrd.file(&format!("modules/{number:02}-{name}.ko"), 0o644, &module);
    }
    initrd.finish()
}
