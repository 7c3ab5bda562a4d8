//! For tests: a tree that behaves like a kernel's, built in the real sandbox with the machine's own
//! compiler.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, KernelConfig, KernelRelease};

use super::super::{Base, BaseInput, Supply};
use crate::{
    BaselinePatch, Cache, Observer,
    cache::CacheLock,
    process::available_cores,
    sandbox::{Sandbox, SandboxLimits},
    source::{KernelSource, SourceTree},
    toolchain::ToolchainRoot,
};

pub(crate) const CONFIG: &str = "# Linux/x86 6.12.117 Kernel Configuration\nCONFIG_X86_64=y\n\
    CONFIG_LOCALVERSION=\"-small\"\n# CONFIG_RUST is not set\n";

/// How many C files vmlinux is made of.
pub(crate) const FILES: usize = 24;

pub(crate) struct Kernel {
    pub(crate) directory: Utf8PathBuf,
    _temporary: Option<tempfile::TempDir>,
    pub(crate) cache: Cache,
    pub(crate) sandbox: Sandbox,
    pub(crate) release: KernelRelease,
    /// The patches that are compiled into the target's kernel.
    pub(crate) baseline: Vec<BaselinePatch>,
}

impl Kernel {
    /// One that another process made.
    pub(crate) fn at(directory: &Utf8Path) -> Self {
        let cache = Cache::open(&directory.join("cache")).expect("own directory");
        let limits = SandboxLimits::default();
        let probe = format!("probe-{}", std::process::id());
        let sandbox = Sandbox::probe(limits, &directory.join(probe)).expect("a sandbox");
        let release = "6.12.117-small".parse().expect("a release");
        let directory = directory.to_owned();
        let baseline = Vec::new();
        Self { directory, _temporary: None, cache, sandbox, release, baseline }
    }

    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut kernel = Self::at(Utf8Path::from_path(temporary.path()).expect("UTF-8"));
        kernel._temporary = Some(temporary);
        kernel.write("Makefile", include_str!("fake-kernel/Makefile"));
        kernel.write("include/fs.h", "int f(void);\n");
        for number in 0..FILES {
            kernel.write(
                &format!("fs/f{number:02}.c"),
                &format!("int f{number}(void) {{ return 1; }}\n"),
            );
        }
        let structs = ["alt_instr", "bug_entry", "exception_table_entry"]
            .map(|name| format!("struct {name} {{ int a, b, c; }} {name}_one = {{ 1, 2, 3 }};\n"));
        kernel.write(
            "fs/start.c",
            &format!("{}void start(void) {{ for (;;); }}\n", structs.concat()),
        );
        kernel.write("drivers/dummy.c", "int dummy(void) { return 2; }\n");
        let main = "__attribute__((used)) static int main_part(void) { return 3; }\n";
        kernel.write("virt/main.c", main);
        kernel
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path("linux").join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        std::fs::write(path, text).expect("own file");
    }

    pub(crate) fn toolchain(&self) -> ToolchainRoot {
        ToolchainRoot::of_this_machine(&self.path("toolchain"))
    }

    pub(crate) fn source(&self, name: &str) -> KernelSource {
        let tree = SourceTree { release: self.release.clone(), path: self.path(name) };
        let facts = tree.facts(&self.cache).expect("a source");
        KernelSource::Tree(facts.with_baseline(&self.baseline))
    }

    pub(crate) fn ready(
        &self,
        config: &str,
        observer: &dyn Observer,
    ) -> Result<(Base, bool), Failure> {
        self.ready_from(&self.source("linux"), config, observer)
    }

    pub(crate) fn ready_from(
        &self,
        source: &KernelSource,
        config: &str,
        observer: &dyn Observer,
    ) -> Result<(Base, bool), Failure> {
        self.ready_with(source, &|| Ok(Vec::new()), config, observer)
    }

    /// A base of a source that `bring` brings.
    pub(crate) fn ready_with(
        &self,
        source: &KernelSource,
        bring: &dyn Fn() -> Result<Vec<CacheLock>, Failure>,
        config: &str,
        observer: &dyn Observer,
    ) -> Result<(Base, bool), Failure> {
        let toolchain = self.toolchain();
        let parsed = KernelConfig::parse(config.as_bytes()).expect("a config");
        let input = BaseInput {
            release: &self.release,
            config: &parsed,
            config_text: config.as_bytes(),
            source,
            baseline: &self.baseline,
            toolchain: &toolchain,
            jobs: available_cores(),
            base_limits: SandboxLimits::default(),
        };
        let no_archive = || Err(Failure::new(FailureClass::Internal, "no archive here", ""));
        let supply = Supply { apt: &no_archive, source: bring };
        Base::ready(&input, &self.cache, &supply, &self.sandbox, observer)
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = self.cache.bases().read_dir_utf8().expect("own directory").flatten();
        let names = entries.map(|entry| entry.file_name().to_owned());
        names.filter(|name| name.ends_with(".partial")).collect()
    }
}

/// Keeps what it hears, and cancels after so many objects.
pub(crate) struct Listener {
    pub(crate) events: Mutex<Vec<BuildEvent>>,
    objects: AtomicUsize,
    cancel_after: usize,
}

impl Listener {
    pub(crate) fn new(cancel_after: usize) -> Self {
        Self { events: Mutex::default(), objects: AtomicUsize::new(0), cancel_after }
    }

    pub(crate) fn objects(&self) -> usize {
        self.objects.load(Ordering::SeqCst)
    }

    /// What was done of how many objects, in their order.
    pub(crate) fn progress(&self) -> Vec<(u64, u64)> {
        let events = self.events.lock().expect("nobody panicked");
        let of_objects = |event: &BuildEvent| match event {
            BuildEvent::Progress { done, total, unit, .. } if unit == "objects" => {
                Some((*done, *total))
            }
            _ => None,
        };
        events.iter().filter_map(of_objects).collect()
    }
}

impl Observer for Listener {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Log { line, .. } = &event
            && line.starts_with("  CC")
        {
            self.objects.fetch_add(1, Ordering::SeqCst);
        }
        self.events.lock().expect("nobody panicked").push(event);
    }

    fn is_cancelled(&self) -> bool {
        self.objects() >= self.cancel_after
    }
}

/// A small file system in memory, unmounted with the test.
pub(crate) struct Disk(pub(crate) Utf8PathBuf);

impl Disk {
    /// Mounts one and puts the kernel's cache there; `None` when the tests do not run as root.
    pub(crate) fn under_the_cache(kernel: &mut Kernel, mebibytes: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can mount a small disk");
            return None;
        }
        let place = kernel.path("disk");
        std::fs::create_dir(&place).expect("own directory");
        let options = format!("size={mebibytes}m,mode=0755");
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "elivepatch-test"])
            .arg(&place)
            .status();
        assert!(status.is_ok_and(|status| status.success()), "root cannot mount a tmpfs here");
        kernel.cache = Cache::open(&place.join("cache")).expect("own directory");
        Some(Self(place))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that has just been killed may still be on its way out.
        let status = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("warning: {} is still mounted", self.0);
        }
    }
}
