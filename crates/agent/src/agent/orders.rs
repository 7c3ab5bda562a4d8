//! Carrying out what was decided.

use std::time::Instant;

use elivepatch_api::{Assigned, HostFault};
use elivepatch_host::{
    ApplyOptions, Applying, By, FailedOrder, Host, HostProblem, Obstacle, Reverted,
};
use elivepatch_model::with_causes;
use jiff::Timestamp;

use super::{Agent, BUSY_PAUSE, Surroundings};
use crate::Decision;

/// Why an order was not carried out.
enum Failed {
    /// That passes soon, by itself.
    ForNow(HostFault),
    /// It is tried again later.
    Really(HostFault),
}

impl<'a, S: Surroundings> Agent<'a, S> {
    /// Does what was decided. Gives whether something was tried.
    pub(super) async fn carry_out(&mut self, decision: Decision) -> bool {
        let (digest, outcome) = match decision {
            Decision::Load(assigned) => (Some(assigned.digest), self.load(&assigned).await),
            Decision::Unload { reason } => (None, self.unload(&reason)),
            Decision::Nothing | Decision::NotYet(_) | Decision::Refuse(_) => return false,
        };
        match outcome {
            Ok(()) => self.record.failed = None,
            // Somebody else is at work, or the network: that passes.
            Err(Failed::ForNow(HostFault { what, hint })) => {
                self.surroundings.say(&format!("{what}; {hint}"));
                self.report_at = Some(Instant::now() + BUSY_PAUSE);
                self.has_order_of_now = false;
                return false;
            }
            Err(Failed::Really(HostFault { what, hint })) => {
                self.surroundings.say(&format!("{what}; {hint}"));
                let before = self.record.failed.take().filter(|before| before.digest == digest);
                let tries = before.map_or(0, |before| before.tries).saturating_add(1);
                let at = Timestamp::now();
                self.record.failed = Some(FailedOrder { digest, tries, at, what, hint });
            }
        }
        true
    }

    async fn load(&mut self, assigned: &Assigned) -> Result<(), Failed> {
        // It may be kept here from an earlier time. One that is not trusted any more, or has lost its manifest, is fetched
        // again: it may be signed anew.
        let trust = self.directory.trust();
        let kept = self.directory.held(assigned.digest).ok().flatten();
        let kept = kept.filter(|held| held.manifest.is_some() && trust.verify_held(held).is_ok());
        let applying = match kept {
            Some(held) => Applying::from(held),
            None => self.surroundings.fetch(assigned).await.map_err(Failed::ForNow)?,
        };
        if applying.module.digest != assigned.digest {
            return Err(Failed::Really(HostFault {
                what: format!(
                    "the module of build {} is not the one that is assigned: {} and not {}",
                    assigned.build, applying.module.digest, assigned.digest
                ),
                hint: "look at the server's log; nothing was loaded".to_owned(),
            }));
        }
        let options = self.apply_options();
        let mut host = self.host()?;
        // Somebody may have changed his mind while it was fetched, and while the lock was waited for.
        let known = host.known();
        if known.current != self.reported || known.taken_back.contains(&assigned.digest) {
            return Err(changed());
        }
        match known.current {
            Some(withdrawn) if assigned.at_once => {
                host.note_withdrawn(withdrawn).map_err(|problem| failed(&problem))?;
            }
            Some(_) if known.current_by == Some(By::Person) => loses_nothing(&host, &applying)?,
            _ => {}
        }
        // It waits for the lock that is held here, and then looks after what this has loaded.
        self.surroundings.start_guard();
        let name = applying.module.name.clone();
        host.apply(&applying, &options, &mut |_| {}).map_err(|problem| failed(&problem))?;
        self.surroundings.say(&format!("{name} of build {} is active", assigned.build));
        Ok(())
    }

    fn unload(&mut self, reason: &str) -> Result<(), Failed> {
        let options = self.apply_options();
        let mut host = self.host()?;
        if host.known().current != self.reported {
            return Err(changed());
        }
        if let Some(withdrawn) = self.reported {
            host.note_withdrawn(withdrawn).map_err(|problem| failed(&problem))?;
        }
        let why = match reason.is_empty() {
            true => "withdrawn by the server".to_owned(),
            false => format!("withdrawn by the server: {reason}"),
        };
        match host.revert(None, &why, &options, &mut |_| {}) {
            Ok(Reverted::ToNone { from, .. } | Reverted::To { from, .. }) => {
                self.surroundings.say(&format!("{from} is taken back: {why}"));
                Ok(())
            }
            // Somebody was quicker.
            Err(HostProblem::NothingLoaded) => {
                host.forget_current().map_err(|problem| failed(&problem))
            }
            Err(problem) => Err(failed(&problem)),
        }
    }

    fn apply_options(&self) -> ApplyOptions {
        ApplyOptions { transition_limit: self.options.transition_limit, by: By::Server }
    }

    fn host(&self) -> Result<Host<'a>, Failed> {
        Host::open(self.machine, self.directory).map_err(|problem| failed(&problem))
    }
}

fn failed(problem: &HostProblem) -> Failed {
    let fault = HostFault { what: with_causes(problem), hint: problem.hint() };
    let is_transition = |obstacle: &Obstacle| matches!(obstacle, Obstacle::InTransition(_));
    match problem {
        HostProblem::Busy => Failed::ForNow(fault),
        HostProblem::Obstacles { obstacles, .. } if obstacles.iter().all(is_transition) => {
            Failed::ForNow(fault)
        }
        _ => Failed::Really(fault),
    }
}

/// Somebody has loaded something, or taken it back, since the server was asked.
fn changed() -> Failed {
    Failed::ForNow(HostFault {
        what: "somebody on this machine has changed what is loaded meanwhile".to_owned(),
        hint: "the server is asked again".to_owned(),
    })
}

/// Looks whether a livepatch has all that somebody on this machine has loaded.
fn loses_nothing(host: &Host<'_>, applying: &Applying) -> Result<(), Failed> {
    let lost = host.would_lose(applying).map_err(|problem| failed(&problem))?;
    let Some((live, fixes)) = lost else { return Ok(()) };
    let names: Vec<&str> = fixes.iter().map(|fix| fix.name.as_str()).collect();
    Err(Failed::Really(HostFault {
        what: format!(
            "the assigned livepatch {} lacks fixes of {live}, which somebody on this machine has loaded: {}",
            applying.module.name,
            names.join(", ")
        ),
        hint: "assign one that has them too, or load it here: elivepatch apply".to_owned(),
    }))
}
