//! The server's side of the lease protocol.

use std::time::{Duration, Instant};

use elivepatch_api::{ClaimRequest, Heartbeat, Lease, LeaseToken, LeasedBuild};
use elivepatch_model::{
    BuildEvent, BuildNumber, BuildState, BuilderStamp, Failure, Manifest, ProbeRecord,
    Sha256Digest, clamp_line, limits,
};
use elivepatch_store::{
    BlobReader, BlobWriter, Claim, ClaimedBuild, LeaseProof, Renewal, WorkerEnd,
};

use super::{App, AppError, Caller, now};

/// How often a worker renews its lease: a cancelled build stops within this time.
const HEARTBEAT_SECONDS: u32 = 3;

/// The longest time that a claim is held open.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The longest line of a log, in bytes. Workers cut lines at 2000 characters.
const LOG_LINE_BYTES: usize = 10_000;

/// The longest name of something that progresses, or of its unit, in characters.
const PROGRESS_CHARACTERS: usize = 200;

/// The longest version that is shown, in characters.
const VERSION_CHARACTERS: usize = 80;

/// The longest rules that are shown, in characters.
const RULES_CHARACTERS: usize = 400;

/// The longest name of a worker, in bytes.
const WORKER_NAME_BYTES: usize = 64;

impl App {
    /// Leases a build to a worker. Waits for one as long as the request says.
    ///
    /// # Errors
    /// When the worker's name is not usable, or its builder would not make the same as the server's.
    pub async fn claim(
        &self,
        caller: &Caller,
        request: &ClaimRequest,
    ) -> Result<Option<Lease>, AppError> {
        let name = &request.worker;
        if name.is_empty() || name.len() > WORKER_NAME_BYTES || name.chars().any(char::is_control) {
            return Err(AppError::bad_request(
                format!("worker is not a usable name: {name:.80?}"),
                format!("send 1 to {WORKER_NAME_BYTES} printable characters"),
            ));
        }
        let own = &self.inner.builder_stamp;
        if request.builder != *own {
            tracing::warn!(worker = name, caller = caller.actor(), "a worker has another builder");
            return Err(other_builder(&request.builder, own));
        }
        // No worker of another machine takes the name of one inside, nor of one that has another token.
        let worker = match &caller.token {
            Some(token) => format!("{token}/{name}"),
            None => name.clone(),
        };
        let claim = Claim {
            worker,
            architectures: request.architectures.clone(),
            warm_releases: request.warm_releases.clone(),
        };
        let wait = Duration::from_secs(request.wait_seconds.into()).min(LONGEST_WAIT);
        let until = Instant::now() + wait;
        let mut waiter = self.wakeups().queue_waiter();
        loop {
            self.expire_leases().await?;
            if let Some(claimed) = self.store().claim(&claim, now()).await? {
                tracing::info!(build = %claimed.build.number, worker = claim.worker, "leased");
                self.wakeups().build_changed(claimed.build.number);
                return Ok(Some(lease(claimed)));
            }
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() || !tokio::time::timeout(rest, waiter.wait()).await.unwrap_or(false) {
                return Ok(None);
            }
        }
    }

    /// Renews a lease.
    ///
    /// # Errors
    /// When the lease has ended.
    pub async fn heartbeat(&self, proof: &LeaseProof) -> Result<Heartbeat, AppError> {
        let now = now();
        Ok(match self.store().renew(proof, now).await? {
            Renewal::Until(deadline) => Heartbeat { deadline, cancelled: false },
            Renewal::Cancelled => Heartbeat { deadline: now, cancelled: true },
        })
    }

    /// Adds a worker's events to its build.
    ///
    /// # Errors
    /// When the lease has ended, or one of the events is a state: those are the server's.
    pub async fn add_events(
        &self,
        proof: &LeaseProof,
        events: &[BuildEvent],
    ) -> Result<(), AppError> {
        if events.iter().any(|event| matches!(event, BuildEvent::State { .. })) {
            return Err(AppError::bad_request(
                "a worker cannot send state events",
                "end the build with complete or fail",
            ));
        }
        let events: Vec<BuildEvent> = events.iter().cloned().map(clamped).collect();
        self.store().add_events(proof, &events, now()).await?;
        self.wakeups().build_changed(proof.number);
        Ok(())
    }

    /// Begins to receive a worker's module.
    ///
    /// # Errors
    /// When the lease has ended.
    pub async fn begin_module(&self, proof: &LeaseProof) -> Result<BlobWriter, AppError> {
        self.store().check_lease(proof, now()).await?;
        Ok(self.store().begin_blob(limits::MODULE_BYTES)?)
    }

    /// Keeps a worker's module for its build.
    ///
    /// # Errors
    /// When the lease has ended meanwhile.
    pub async fn end_module(&self, proof: &LeaseProof, writer: BlobWriter) -> Result<(), AppError> {
        let module = self.store().keep_blob(writer.finish().await?).await?;
        Ok(self.store().set_module(proof, module, now()).await?)
    }

    /// Ends a build with a livepatch.
    ///
    /// # Errors
    /// When the lease has ended, or the manifest does not fit build or module.
    pub async fn complete(&self, proof: &LeaseProof, manifest: &Manifest) -> Result<(), AppError> {
        self.store().complete(proof, manifest, now()).await?;
        tracing::info!(build = %proof.number, "build succeeded");
        self.wakeups().build_changed(proof.number);
        self.wakeups().run_changed();
        Ok(())
    }

    /// Ends a probe with what it found.
    ///
    /// # Errors
    /// When the lease has ended, or the build is no probe.
    pub async fn complete_probe(
        &self,
        proof: &LeaseProof,
        probe: &ProbeRecord,
    ) -> Result<(), AppError> {
        self.store().complete_probe(proof, probe, now()).await?;
        tracing::info!(build = %proof.number, "probe succeeded");
        self.wakeups().build_changed(proof.number);
        self.wakeups().run_changed();
        Ok(())
    }

    /// Ends an attempt without a livepatch.
    ///
    /// # Errors
    /// When the lease has ended.
    pub async fn fail(&self, proof: &LeaseProof, failure: &Failure) -> Result<(), AppError> {
        let failure = failure.clamped();
        let state = self.store().fail(proof, &failure, now()).await?;
        tracing::info!(build = %proof.number, %state, class = %failure.class, "{}", failure.message);
        match state {
            BuildState::Queued => self.wakeups().queue_grew(proof.number),
            _ => {
                self.wakeups().build_changed(proof.number);
                self.wakeups().run_changed();
            }
        }
        Ok(())
    }

    /// Puts a build back into the queue whose worker stops.
    ///
    /// # Errors
    /// When the lease has ended.
    pub async fn release(&self, proof: &LeaseProof) -> Result<(), AppError> {
        self.store().release(proof, now()).await?;
        self.announce_taken_back(&[proof.number], "its worker stops");
        Ok(())
    }

    /// Opens one of the texts of a leased build, or the module that it replaces.
    ///
    /// # Errors
    /// When the lease has ended, or the blob is not one of the build's.
    pub async fn leased_blob(
        &self,
        proof: &LeaseProof,
        digest: Sha256Digest,
    ) -> Result<BlobReader, AppError> {
        self.store().check_lease(proof, now()).await?;
        let build = self.store().build(proof.number).await?;
        let texts = [build.config].into_iter().chain(build.kallsyms);
        let patches = build.baseline.iter().map(|patch| patch.digest);
        let mut all = texts.chain(patches).chain(build.fixes.iter().map(|fix| fix.digest));
        // The build names it, and what it names may be anything: only a livepatch of its release is
        // handed out.
        let release = &build.target.release;
        let is_replaced = build.options.replaces == Some(digest)
            && self.store().has_module(digest, release).await?;
        if !is_replaced && !all.any(|text| text == digest) {
            return Err(AppError::NotOfBuild { number: proof.number });
        }
        Ok(self.store().open_blob(digest).await?)
    }

    /// Takes back the builds of a worker that is known to be gone, such as the one inside an
    /// earlier run of this server.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn release_worker(
        &self,
        worker: &str,
        end: WorkerEnd,
    ) -> Result<Vec<BuildNumber>, AppError> {
        let builds = self.store().release_worker(worker, end, now()).await?;
        self.announce_taken_back(&builds, "its worker is gone");
        Ok(builds)
    }

    /// Takes back the builds whose leases have ended. Idempotent; gives their number.
    pub(super) async fn expire_leases(&self) -> Result<usize, AppError> {
        let builds = self.store().expire_leases(now()).await?;
        self.announce_taken_back(&builds, "its worker was silent for too long");
        Ok(builds.len())
    }

    fn announce_taken_back(&self, builds: &[BuildNumber], reason: &str) {
        for number in builds {
            tracing::warn!(build = %number, "build taken back: {reason}");
            self.wakeups().queue_grew(*number);
        }
    }
}

/// What is said to a worker whose builder has not the server's stamp: builds are known by keys that hold the server's
/// builder, and another one's results would be kept under them.
fn other_builder(its: &BuilderStamp, own: &BuilderStamp) -> AppError {
    let (message, hint) = if its.version() != own.version() {
        let shown = |stamp: &BuilderStamp| clamp_line(stamp.version(), VERSION_CHARACTERS);
        (
            format!("the worker has elivepatch-server {}, the server {}", shown(its), shown(own)),
            "install the server's version on the worker's machine",
        )
    } else if its.common != own.common {
        (
            "the worker's toolchain recipes, or the key that it signs modules with, are not the server's".to_owned(),
            "give it what the server's config has: toolchain_recipes and [signing], with the files that they name",
        )
    } else if its.rules != own.rules {
        let shown = |stamp: &BuilderStamp| clamp_line(&stamp.rules, RULES_CHARACTERS);
        (
            format!("the worker's config has {}, the server's has {}", shown(its), shown(own)),
            "give it what the server's config has under [builder], [policy] and [debian]",
        )
    } else {
        (
            "the worker's sources of kernels are not the server's".to_owned(),
            "give it the [[source]] sections of the server's config, in their order, with the files that they name",
        )
    };
    AppError::OtherBuilder { message, hint }
}

/// The event with each of its texts within its limit, whatever the worker sent.
fn clamped(event: BuildEvent) -> BuildEvent {
    match event {
        BuildEvent::Step { step } => BuildEvent::Step { step: step.clamped() },
        BuildEvent::Log { step, line } if line.len() > LOG_LINE_BYTES => {
            let line = format!("{}…", &line[..line.floor_char_boundary(LOG_LINE_BYTES)]);
            BuildEvent::Log { step, line }
        }
        BuildEvent::Progress { step, what, done, total, unit } => BuildEvent::Progress {
            step,
            what: clamp_line(&what, PROGRESS_CHARACTERS),
            done,
            total,
            unit: clamp_line(&unit, PROGRESS_CHARACTERS),
        },
        other => other,
    }
}

fn lease(claimed: ClaimedBuild) -> Lease {
    let ClaimedBuild { build, token, deadline } = claimed;
    Lease {
        token: LeaseToken(token),
        deadline,
        heartbeat_seconds: HEARTBEAT_SECONDS,
        build: LeasedBuild {
            number: build.number,
            key: build.key,
            target: build.target,
            config: build.config,
            kallsyms: build.kallsyms,
            baseline: build.baseline,
            fixes: build.fixes,
            checks: build.checks,
            options: build.options,
            rebuild: build.rebuild,
            attempt: build.attempts,
        },
    }
}
