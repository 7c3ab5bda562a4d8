mod orders;
mod turns;

use std::time::{Duration, Instant};

use elivepatch_api::{Assigned, HostFault, HostOrder, HostReport, Order};
use elivepatch_host::{
    AgentLock, AgentRecord, Applying, Booted, FailedOrder, Guarded, Host, HostProblem, Machine,
    PendingOrder, StateDirectory, Status, boot_id, is_switched_off, next_look, uptime,
};
use elivepatch_model::{HostName, Sha256Digest, TargetFacts, with_causes};
use jiff::{Timestamp, civil::DateTime};

use self::turns::{jitter, spread};
use crate::{AgentOptions, Decision, Situation, Wait, decide, is_open, report};

/// How soon the agent asks again when the server did not answer: twice as long each time, up to the most.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

/// How often it is looked whether the maintenance window has opened.
const WINDOW_LOOK: Duration = Duration::from_secs(30);

/// Bounds of the time between two reports, whatever the server says: a mistake there neither floods it nor lets a
/// machine be silent for days.
const SOONEST_REPORT: Duration = Duration::from_secs(5);
const LATEST_REPORT: Duration = Duration::from_secs(24 * 3600);

/// How soon it is tried again while another elivepatch is at work.
const BUSY_PAUSE: Duration = Duration::from_secs(10);

/// What the agent needs of the machine and the network beside [`Machine`].
pub trait Surroundings {
    /// The kernel and the machine, as they are told to the server.
    ///
    /// # Errors
    /// Why they cannot be told; one line.
    fn target(&self) -> Result<TargetFacts, String>;

    /// Tells the server how the machine stands.
    fn report(&self, report: &HostReport) -> impl Future<Output = Result<HostOrder, Unreached>>;

    /// Fetches a livepatch that is assigned. What comes is verified.
    fn fetch(&self, assigned: &Assigned) -> impl Future<Output = Result<Applying, HostFault>>;

    /// Lets something look after the machine that goes on when the agent is ended.
    fn start_guard(&self);

    /// Says what happens, for the log.
    fn say(&self, text: &str);

    /// What the clock of the machine shows, in its time zone.
    fn now(&self) -> DateTime;
}

/// Why the server gave no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// Why; one line.
    pub why: String,
    /// What can be done; one line.
    pub hint: String,
}

/// The agent of a machine.
pub struct Agent<'a, S> {
    machine: &'a Machine,
    directory: &'a StateDirectory,
    lock: AgentLock,
    name: HostName,
    options: AgentOptions,
    surroundings: S,
    record: AgentRecord,
    /// What the server wants, as it said last.
    order: Option<Order>,
    /// The livepatch that was meant to be active when that was said.
    reported: Option<Sha256Digest>,
    /// When the next report is due; absent: now.
    report_at: Option<Instant>,
    /// What waits for its turn in the window, and since when.
    turn: Option<(Sha256Digest, Instant)>,
    failures: u32,
    /// Whether the last report was answered.
    has_order_of_now: bool,
    /// Whether the last round met something that no record keeps: the machine could not be looked at, or was not
    /// well with its livepatch.
    had_trouble: bool,
}

impl<'a, S: Surroundings> Agent<'a, S> {
    /// The agent, before its first round.
    ///
    /// # Errors
    /// When another one runs, or the state directory cannot be used.
    pub fn new(
        machine: &'a Machine,
        directory: &'a StateDirectory,
        name: HostName,
        options: AgentOptions,
        surroundings: S,
    ) -> Result<Self, HostProblem> {
        let lock = directory.lock_agent()?;
        let record = directory.agent_record()?;
        let (order, reported, report_at, turn) = (None, None, None, None);
        let failures = 0;
        Ok(Self {
            machine,
            directory,
            lock,
            name,
            options,
            surroundings,
            record,
            order,
            reported,
            report_at,
            turn,
            failures,
            has_order_of_now: false,
            had_trouble: false,
        })
    }

    /// Whether the last round met no trouble, the server has answered, and all that it wants is done or waits for
    /// its time.
    pub fn is_well(&self) -> bool {
        !self.had_trouble
            && self.record.unheard.is_none()
            && self.record.failed.is_none()
            && self.record.refused.is_none()
    }

    /// One round: looks after the machine, reports when that is due, and does what is to be done. Gives how long it
    /// may be waited until the next one.
    pub async fn round(&mut self) -> Duration {
        self.had_trouble = false;
        self.load_after_boot();
        let mut next_look = self.look_after();
        let due = self.report_at.is_none_or(|at| at <= Instant::now());
        // What is about to be loaded is asked for again: it may have been withdrawn since.
        let mut decision = self.decision();
        self.note_decision(&decision);
        let acts = matches!(decision, Decision::Load(_) | Decision::Unload { .. });
        if (due || acts) && self.report().await {
            let told = self.told();
            decision = self.decision();
            self.note_decision(&decision);
            let has_tried = self.carry_out(decision).await;
            if has_tried {
                next_look = self.look_after();
                let decision = self.decision();
                self.note_decision(&decision);
            }
            // The server is told at once what has come of it.
            if has_tried || self.told() != told {
                self.report().await;
            }
            self.write_record();
            decision = self.decision();
        }
        let until_report = self
            .report_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        let wait = match decision {
            Decision::NotYet(Wait::Turn(left) | Wait::Retry(left)) => left,
            Decision::NotYet(Wait::Window) => WINDOW_LOOK,
            // The server has changed its mind meanwhile.
            Decision::Load(_) | Decision::Unload { .. } if self.has_order_of_now => Duration::ZERO,
            _ => LATEST_REPORT,
        };
        let pause = until_report.min(wait).min(next_look.unwrap_or(LATEST_REPORT));
        pause.max(Duration::from_secs(1))
    }

    /// Sees to it once in each boot that what belongs to the kernel is loaded: where nothing runs `elivepatch boot`,
    /// nobody else does.
    fn load_after_boot(&mut self) {
        let boot = match boot_id(self.machine) {
            Ok(boot) => boot,
            Err(problem) => return self.say_problem(&problem),
        };
        if self.record.boot_id.as_ref() == Some(&boot) {
            return;
        }
        self.surroundings.start_guard();
        match Host::boot(self.machine, self.directory, &mut |_| {}) {
            Ok(Booted::Loaded { name, .. }) => {
                self.surroundings.say(&format!("{name} is active, as it was before the reboot"));
            }
            Ok(_) => {}
            Err(HostProblem::Busy) => return,
            // It is told by what is looked at next, and not tried again and again.
            Err(problem) => self.say_problem(&problem),
        }
        self.record.boot_id = Some(boot);
        self.write_record();
    }

    /// Looks how the machine is with what was loaded last; gives when to look again.
    fn look_after(&mut self) -> Option<Duration> {
        let is_guarded = self.directory.read().is_ok_and(|state| state.marker.is_some());
        if !is_guarded {
            return None;
        }
        let directory = self.directory.clone().without_patience();
        let guarded =
            Host::open(self.machine, &directory).and_then(|mut host| host.guard(&mut |_| {}));
        let next = match guarded {
            Ok(Guarded::Well { lived }) => Some(next_look(lived).unwrap_or(BUSY_PAUSE)),
            Ok(Guarded::None) => None,
            Ok(Guarded::Disabled { name }) => {
                self.surroundings.say(&format!("{name} was disabled by somebody"));
                None
            }
            Ok(Guarded::TakenBack { name, health }) => {
                self.surroundings.say(&format!("{name} was taken back: {}", health.words()));
                self.had_trouble = true;
                None
            }
            Err(HostProblem::Busy) => Some(BUSY_PAUSE),
            Err(problem) => {
                self.say_problem(&problem);
                Some(BUSY_PAUSE)
            }
        };
        // Each look is told.
        self.report_at = None;
        next
    }

    /// Reports, and takes the order. Gives whether the server answered.
    async fn report(&mut self) -> bool {
        self.has_order_of_now = false;
        let report = match self.look() {
            Ok(report) => report,
            Err(why) => {
                // Without knowing the machine nothing is told and nothing done.
                self.surroundings.say(&why);
                self.had_trouble = true;
                self.report_at = Some(Instant::now() + FIRST_RETRY);
                return false;
            }
        };
        match self.surroundings.report(&report).await {
            Ok(answer) => {
                if self.record.unheard.take().is_some() {
                    self.surroundings.say("the server answers again");
                }
                self.failures = 0;
                self.has_order_of_now = true;
                self.reported = report.livepatch.as_ref().map(|livepatch| livepatch.digest);
                self.record.heard_at = Some(Timestamp::now());
                self.order = Some(answer.order);
                let after = Duration::from_secs(answer.report_after_seconds)
                    .clamp(SOONEST_REPORT, LATEST_REPORT);
                self.report_at = Some(Instant::now() + spread(after, self.name.as_str()));
                true
            }
            Err(Unreached { why, hint }) => {
                if self.record.unheard.as_ref() != Some(&why) {
                    self.surroundings.say(&format!("{why}; {hint}"));
                    self.record.unheard = Some(why);
                    self.write_record();
                }
                let pause =
                    FIRST_RETRY.saturating_mul(1 << self.failures.min(4)).min(LONGEST_RETRY);
                self.failures = self.failures.saturating_add(1);
                self.report_at = Some(Instant::now() + spread(pause, self.name.as_str()));
                false
            }
        }
    }

    fn refused(&self) -> Option<HostFault> {
        let (what, hint) = self.record.refused.clone()?;
        Some(HostFault { what, hint })
    }

    /// What a report says of the order.
    fn told(&self) -> (Option<HostFault>, Option<Sha256Digest>) {
        (self.refused(), self.record.pending.as_ref().map(|pending| pending.digest))
    }

    fn look(&self) -> Result<HostReport, String> {
        let words = |problem: HostProblem| with_causes(&problem);
        let status = Status::look(self.machine, self.directory).map_err(words)?;
        let boot = boot_id(self.machine).map_err(words)?;
        let up = uptime(self.machine).map_err(words)?;
        let target = self.surroundings.target()?;
        Ok(report(&status, &self.record, self.refused().as_ref(), target, boot, up.as_secs()))
    }

    /// What the last order comes to now.
    fn decision(&self) -> Decision {
        let Some(order) = &self.order else { return Decision::Nothing };
        let Ok(status) = Status::look(self.machine, self.directory) else {
            return Decision::Nothing;
        };
        decide(
            order,
            &Situation {
                current: status.current.as_ref().map(|(digest, _)| *digest),
                is_active: status.is_active(),
                locked_out: &status.locked_out,
                taken_back: &status.taken_back,
                failed: self.record.failed.as_ref(),
                is_window_open: is_open(&self.options.windows, &self.surroundings.now()),
                jitter: self.jitter_left(order),
                is_switched_off: is_switched_off(self.machine).unwrap_or(true),
                now: Timestamp::now(),
            },
        )
    }

    /// How long this machine is yet to wait in the window.
    fn jitter_left(&self, order: &Order) -> Duration {
        let Order::Load(assigned) = order else { return Duration::ZERO };
        let whole = jitter(self.options.jitter, self.name.as_str(), assigned.digest);
        match self.turn {
            Some((digest, since)) if digest == assigned.digest => {
                whole.saturating_sub(since.elapsed())
            }
            _ => whole,
        }
    }

    /// Keeps what is waited for, and why something is not done.
    fn note_decision(&mut self, decision: &Decision) {
        // Before the server has said anything, nothing is known.
        if self.order.is_none() {
            return;
        }
        // What has failed tells nothing any more when something else is wanted, or it is done.
        let wanted = match &self.order {
            Some(Order::Load(assigned)) => Some(assigned.digest),
            _ => None,
        };
        let is_over = |failed: &FailedOrder| {
            let is_wanted = failed.digest.is_none() || failed.digest == wanted;
            *decision == Decision::Nothing || !is_wanted
        };
        self.record.failed = self.record.failed.take().filter(|failed| !is_over(failed));
        let Some(Order::Load(assigned)) = &self.order else {
            self.record.pending = None;
            self.turn = None;
            self.record.refused = None;
            return;
        };
        let refused = match decision {
            Decision::Refuse(HostFault { what, hint }) => Some((what.clone(), hint.clone())),
            _ => None,
        };
        if let Some((what, hint)) =
            refused.as_ref().filter(|refused| self.record.refused.as_ref() != Some(*refused))
        {
            self.surroundings.say(&format!("{what}; {hint}"));
        }
        self.record.refused = refused;
        let pending = match decision {
            Decision::NotYet(wait) => Some(wait.words()),
            Decision::Load(_) => Some("it to be fetched and loaded".to_owned()),
            _ => None,
        };
        if let Decision::NotYet(Wait::Turn(_)) = decision
            && self.turn.is_none_or(|(digest, _)| digest != assigned.digest)
        {
            self.turn = Some((assigned.digest, Instant::now()));
        }
        if !matches!(decision, Decision::NotYet(Wait::Turn(_)) | Decision::Load(_)) {
            self.turn = None;
        }
        self.record.pending = pending.map(|waits_for| {
            let before = self.record.pending.as_ref();
            let since = before.filter(|before| before.digest == assigned.digest);
            PendingOrder {
                build: assigned.build,
                digest: assigned.digest,
                waits_for,
                since: since.map_or_else(Timestamp::now, |before| before.since),
            }
        });
    }

    fn write_record(&mut self) {
        if let Err(problem) = self.directory.write_agent_record(&self.lock, &self.record) {
            self.say_problem(&problem);
        }
    }

    fn say_problem(&mut self, problem: &HostProblem) {
        self.surroundings.say(&with_causes(problem));
        self.had_trouble = true;
    }
}
