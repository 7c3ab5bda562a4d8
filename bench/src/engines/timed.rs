//! Builds without a server: up to the inspected module, or whole.

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
use elivepatch_builder::{BuildOrder, Builder, FixText, Observer, remove_work_directory};
use elivepatch_model::{
    AdaptationKind, BuildEvent, BuildKey, Engine, Failure, Fix, Sha256Digest, StepName, StepState,
    TargetFacts,
};

use crate::disk_use::peak_while;

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
    /// Processor time of the whole machine in `to_module`, in seconds.
    pub processor: f64,
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
        let work = self.scratch.join(name);
        fs_err::create_dir_all(&work)?;
        let watch = Watch::new(Until::Module)?;
        let result = self.builder.build(&self.order(patches, engine, without), &watch, &work);
        let module = module_in(&work)?;
        remove_work_directory(&work)?;
        let Some(mark) = watch.mark.into_inner().expect("nobody panics with it") else {
            let failure = result.err().map(describe).unwrap_or_default();
            anyhow::bail!("{name} gives no module: {failure}");
        };
        let mark = mark?;
        Ok(Timed {
            to_module: mark.seconds,
            steps: watch.steps.into_inner().expect("nobody panics with it"),
            processor: mark.processor,
            module: module.context("the inspected module is not in the work directory")?,
        })
    }

    /// Does a whole build, its trial included; gives the most that its work directory took on the
    /// disk meanwhile, in bytes.
    ///
    /// # Errors
    /// When there is no livepatch.
    pub fn peak_disk(&self, name: &str, patches: &[(String, String)]) -> anyhow::Result<u64> {
        let work = self.scratch.join(name);
        fs_err::create_dir_all(&work)?;
        let watch = Watch::new(Until::End)?;
        let order = self.order(patches, None, BTreeSet::new());
        let (result, peak) = peak_while(&work, || self.builder.build(&order, &watch, &work));
        remove_work_directory(&work)?;
        match result {
            Ok(_) => Ok(peak),
            Err(failure) => anyhow::bail!("{name} gives no livepatch: {}", describe(failure)),
        }
    }

    fn order(
        &self,
        patches: &[(String, String)],
        engine: Option<Engine>,
        without: BTreeSet<AdaptationKind>,
    ) -> BuildOrder {
        let fixes: Vec<FixText> = patches
            .iter()
            .map(|(name, text)| {
                let text = text.clone().into_bytes();
                FixText { fix: Fix { name: name.clone(), digest: Sha256Digest::of(&text) }, text }
            })
            .collect();
        // Not the server's key: but as there, equal orders have equal ones.
        let digests: String = fixes.iter().map(|fix| fix.fix.digest.to_string()).collect();
        BuildOrder {
            key: BuildKey(Sha256Digest::of(format!("{digests} {engine:?}").as_bytes())),
            target: self.target.clone(),
            config: self.config.clone(),
            fixes,
            checks: Vec::new(),
            without,
            engine,
            rebuild: None,
            kallsyms: None,
            baseline: Vec::new(),
            replaces: None,
            stack: false,
            // The kernels are built here, and run nowhere.
            accept_unproven: true,
        }
    }
}

fn describe(failure: Failure) -> String {
    format!("{failure}\n{}", failure.details.join("\n"))
}

/// How far a build goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until the module is inspected.
    Module,
    /// Until the livepatch is tried.
    End,
}

/// Clock and processors when the module was inspected, since the build began.
struct Mark {
    seconds: f64,
    processor: f64,
}

/// Takes the times, and ends the build where it is to end.
struct Watch {
    until: Until,
    began: Instant,
    processor: f64,
    steps: Mutex<BTreeMap<StepName, f64>>,
    mark: Mutex<Option<anyhow::Result<Mark>>>,
    is_enough: AtomicBool,
}

impl Watch {
    fn new(until: Until) -> anyhow::Result<Self> {
        Ok(Self {
            until,
            processor: processor_seconds()?,
            began: Instant::now(),
            steps: Mutex::default(),
            mark: Mutex::default(),
            is_enough: AtomicBool::new(false),
        })
    }

    /// Both are read here, and not when the build has come to its end: the beginning of the trial,
    /// and whatever the end takes, is no part of the time, and so none of the processors' work.
    fn read_clocks(&self) -> anyhow::Result<Mark> {
        let seconds = self.began.elapsed().as_secs_f64();
        Ok(Mark { seconds, processor: processor_seconds()? - self.processor })
    }
}

impl Observer for Watch {
    fn event(&self, event: BuildEvent) {
        let BuildEvent::Step { step } = event else { return };
        if step.state != StepState::Done {
            return;
        }
        if step.name == StepName::Inspect {
            *self.mark.lock().expect("nobody panics with it") = Some(self.read_clocks());
            self.is_enough.store(self.until == Until::Module, Ordering::Relaxed);
        }
        let seconds = step.duration_seconds.unwrap_or_default();
        self.steps.lock().expect("nobody panics with it").insert(step.name, seconds);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use elivepatch_model::Step;

    use super::*;

    fn done(name: StepName) -> BuildEvent {
        let (state, duration_seconds) = (StepState::Done, Some(1.0));
        BuildEvent::Step { step: Step { name, state, duration_seconds, summary: None } }
    }

    #[test]
    fn times_are_those_at_the_end_of_the_inspection() {
        let watch = Watch::new(Until::Module).expect("/proc is mounted");
        watch.event(done(StepName::Link));
        assert!(!watch.is_cancelled());
        watch.event(done(StepName::Inspect));
        assert!(watch.is_cancelled());
        let before = processor_seconds().expect("/proc is mounted") - watch.processor;
        // What the build does afterwards is not counted, however much it is.
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {}
        let after = processor_seconds().expect("/proc is mounted") - watch.processor;
        let mark = watch.mark.into_inner().expect("nobody panics").expect("a mark");
        let mark = mark.expect("/proc is mounted");
        assert!(mark.seconds < watch.began.elapsed().as_secs_f64() - 0.3, "{}", mark.seconds);
        assert!(mark.processor <= before && before < after, "{} {before} {after}", mark.processor);
    }

    #[test]
    fn whole_build_is_not_ended_before_its_trial() {
        let watch = Watch::new(Until::End).expect("/proc is mounted");
        watch.event(done(StepName::Inspect));
        assert!(!watch.is_cancelled());
    }
}
