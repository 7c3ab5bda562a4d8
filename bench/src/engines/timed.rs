//! Builds without a server, up to the inspected module.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::Context;
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{BuildOrder, Builder, FixText, Observer};
use elivepatch_model::{
    AdaptationKind, BuildEvent, BuildKey, Engine, Failure, Fix, Sha256Digest, StepName, StepState,
    TargetFacts,
};

/// `USER_HZ`, the unit of the times in /proc, on x86-64.
const TICKS_PER_SECOND: f64 = 100.0;

/// One kernel that livepatches are built for, on a base that is kept in the cache.
pub struct Kernel<'a> {
    /// The builder.
    pub builder: &'a Builder,
    /// The kernel to be patched.
    pub target: TargetFacts,
    /// Its config.
    pub config: Vec<u8>,
    /// Work directories are made here, and removed.
    pub scratch: Utf8PathBuf,
}

/// One build, timed.
#[derive(Debug)]
pub struct Timed {
    /// From the order to the inspected module, in seconds.
    pub to_module: f64,
    /// The steps, in seconds.
    pub steps: BTreeMap<StepName, f64>,
    /// Processor time of the whole machine while it was built, in seconds.
    pub processor: f64,
    /// What lies in the work directory at the end, in bytes.
    pub disk: u64,
    /// The module.
    pub module: Vec<u8>,
}

impl Kernel<'_> {
    /// Builds the patches up to the inspected module; no trial.
    ///
    /// # Errors
    /// When the build fails before.
    pub fn build(
        &self,
        name: &str,
        patches: &[(String, String)],
        engine: Option<Engine>,
    ) -> anyhow::Result<Timed> {
        self.build_without(name, patches, engine, BTreeSet::new())
    }

    /// The same with all adaptations switched off: the patches are built as sent.
    ///
    /// # Errors
    /// As [`Kernel::build`].
    pub fn build_as_sent(
        &self,
        name: &str,
        patches: &[(String, String)],
        engine: Engine,
    ) -> anyhow::Result<Timed> {
        self.build_without(name, patches, Some(engine), AdaptationKind::ALL.into())
    }

    fn build_without(
        &self,
        name: &str,
        patches: &[(String, String)],
        engine: Option<Engine>,
        without: BTreeSet<AdaptationKind>,
    ) -> anyhow::Result<Timed> {
        let fixes: Vec<FixText> = patches
            .iter()
            .map(|(name, text)| {
                let text = text.clone().into_bytes();
                FixText { fix: Fix { name: name.clone(), digest: Sha256Digest::of(&text) }, text }
            })
            .collect();
        // Not the server's key: but as there, equal orders have equal ones.
        let digests: String = fixes.iter().map(|fix| fix.fix.digest.to_string()).collect();
        let order = BuildOrder {
            key: BuildKey(Sha256Digest::of(format!("{digests} {engine:?}").as_bytes())),
            target: self.target.clone(),
            config: self.config.clone(),
            fixes,
            checks: Vec::new(),
            without,
            engine,
            rebuild: None,
        };
        let work = self.scratch.join(name);
        fs_err::create_dir_all(&work)?;
        let watch = Watch::new();
        let processor = processor_seconds()?;
        let result = self.builder.build(&order, &watch, &work);
        let processor = processor_seconds()? - processor;
        let disk = disk_bytes(&work)?;
        let module = module_in(&work)?;
        elivepatch_builder::remove_work_directory(&work)?;
        let Some(to_module) = *watch.to_module.lock().expect("nobody panics with it") else {
            let failure = result.err().map(describe).unwrap_or_default();
            anyhow::bail!("{name} gives no module: {failure}");
        };
        Ok(Timed {
            to_module,
            steps: watch.steps.into_inner().expect("nobody panics with it"),
            processor,
            disk,
            module: module.context("the inspected module is not in the work directory")?,
        })
    }
}

fn describe(failure: Failure) -> String {
    format!("{failure}\n{}", failure.details.join("\n"))
}

/// Ends the build when its trial begins.
struct Watch {
    began: Instant,
    steps: Mutex<BTreeMap<StepName, f64>>,
    to_module: Mutex<Option<f64>>,
    is_enough: AtomicBool,
}

impl Watch {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            steps: Mutex::default(),
            to_module: Mutex::default(),
            is_enough: AtomicBool::new(false),
        }
    }
}

impl Observer for Watch {
    fn event(&self, event: BuildEvent) {
        let BuildEvent::Step { step } = event else { return };
        if step.state == StepState::Done {
            let seconds = step.duration_seconds.unwrap_or_default();
            self.steps.lock().expect("nobody panics with it").insert(step.name, seconds);
            if step.name == StepName::Inspect {
                let seconds = self.began.elapsed().as_secs_f64();
                *self.to_module.lock().expect("nobody panics with it") = Some(seconds);
                self.is_enough.store(true, Ordering::Relaxed);
            }
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_enough.load(Ordering::Relaxed)
    }
}

/// Time in which the machine's processors were not idle, in seconds, all of them together. The tools of
/// a sandbox are not waited for by this process, so that its own account does not hold them; on a
/// machine that does nothing else, the machine's does.
fn processor_seconds() -> anyhow::Result<f64> {
    let stat = fs_err::read_to_string("/proc/stat")?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let line = line.context("/proc/stat does not begin with all processors")?;
    // user, nice, system, idle, iowait, irq, softirq of proc(5), in ticks.
    let fields: Vec<f64> =
        line.split_whitespace().take(7).map(str::parse).collect::<Result<_, _>>()?;
    let idle: f64 = fields.iter().skip(3).take(2).sum();
    Ok((fields.iter().sum::<f64>() - idle) / TICKS_PER_SECOND)
}

fn module_in(work: &Utf8Path) -> anyhow::Result<Option<Vec<u8>>> {
    for entry in work.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().ends_with(".ko") && entry.file_type()?.is_file() {
            return Ok(Some(fs_err::read(entry.path())?));
        }
    }
    Ok(None)
}

/// What the files below a directory occupy, in bytes.
fn disk_bytes(directory: &Utf8Path) -> anyhow::Result<u64> {
    let output = std::process::Command::new("du")
        .args(["--summarize", "--block-size=1", "--", directory.as_str()])
        .output()?;
    anyhow::ensure!(output.status.success(), "du ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().next().context("du says nothing")?.parse()?)
}
