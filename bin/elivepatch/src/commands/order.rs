//! What a build orders: the patches that are given, together with what is live on the machine.

use elivepatch_api::{
    BuildRequest,
    client::{NamedPatch, RequestTexts},
};
use elivepatch_model::{Fix, Sha256Digest, limits::PATCHES};

use super::{build::BuildArgs, host::StateArgs};
use crate::{
    download::{Sent, SentFixes},
    inputs,
    live::{self, Choice, Live, NotFound},
    output::say,
    problem::{Problem, warn},
    server::Server,
    target::{self, Asked, Target},
    text::printable,
};

/// A build that is to be submitted: all of it is read and checked here before anything is sent.
#[derive(Debug)]
pub struct Order {
    /// What is asked for.
    pub request: BuildRequest,
    config: Vec<u8>,
    kallsyms: Option<Vec<u8>>,
    baseline: Vec<NamedPatch>,
    /// The fixes, in their order.
    pub patches: Vec<NamedPatch>,
    /// Live fixes that it leaves out because that was asked for.
    pub dropped: Vec<Fix>,
}

/// What an order came to.
#[derive(Debug)]
pub enum Ordered {
    /// Something is to be built.
    New(Box<Order>),
    /// All that was given is live.
    AllLive {
        /// The livepatch that has it.
        livepatch: String,
    },
}

impl Order {
    /// Reads what the command line names.
    pub fn read(arguments: &BuildArgs) -> Result<Self, Problem> {
        let patches = inputs::read_patches(&arguments.patches)?;
        let checks = match &arguments.checks {
            Some(path) => inputs::read_checks(path)?,
            None => Vec::new(),
        };
        let Target { facts, config, kallsyms, baseline } = target::find(&Asked {
            config: arguments.config.as_deref(),
            release: arguments.kernel.as_ref(),
            facts: arguments.facts.as_deref(),
            baseline: &arguments.baseline,
        })?;
        let options = arguments.how.options();
        let request = BuildRequest { target: facts, checks, options };
        let (baseline, dropped) = (baseline.patches, Vec::new());
        Ok(Self { request, config, kallsyms, baseline, patches, dropped })
    }

    /// The texts that go with it.
    pub fn texts(&self) -> RequestTexts<'_> {
        RequestTexts {
            config: Some(&self.config),
            kallsyms: self.kallsyms.as_deref(),
            baseline: &self.baseline,
            patches: &self.patches,
        }
    }

    /// What the manifest of the livepatch must say again.
    pub fn identity(&self) -> Sent {
        let target = &self.request.target;
        let fixes = self.patches.iter().map(|patch| Sha256Digest::of(&patch.content));
        Sent {
            release: target.release.clone(),
            build_id: target.build_id.clone(),
            accept_unproven: self.request.options.accept_unproven,
            fixes: SentFixes::InOrder(fixes.collect()),
        }
    }

    /// The same with the fixes that are live on the machine, so that its livepatch can replace the one that is there
    /// and nothing is lost.
    ///
    /// # Errors
    /// When it is not known what is live, or what is to be dropped is not.
    pub async fn with_what_is_live(
        self,
        arguments: &BuildArgs,
        server: &Server,
    ) -> Result<Ordered, Problem> {
        let directory = StateArgs::of_environment().directory();
        let facts = &self.request.target;
        if arguments.alone {
            for (livepatch, fixes) in live::lost(server, facts, &directory).await {
                say_lost(&livepatch, &self, &fixes);
            }
            return Ok(Ordered::New(Box::new(self)));
        }
        let live = live::find(server, facts, &directory).await.map_err(NotFound::into_problem)?;
        let fixes = live.as_ref().map(Live::fixes).unwrap_or_default();
        let choice = live::choose(fixes, &self.patches, &arguments.drop)?;
        let Some(live) = live else { return Ok(Ordered::New(Box::new(self))) };
        for name in &choice.already {
            say(&format!("{} is live already, in {}", printable(name), printable(&live.name)));
        }
        if choice.new.is_empty() && choice.dropped.is_empty() {
            return Ok(Ordered::AllLive { livepatch: live.name });
        }
        if choice.new.is_empty() && choice.kept.is_empty() {
            let name = printable(&live.name);
            return Err(Problem::input(format!("nothing would be left of {name}"))
                .hint("take it out of the kernel: elivepatch revert"));
        }
        let texts =
            live::kept_or_fetched(server, &directory, &live, &choice.kept, &self.patches).await?;
        self.together(&live, choice, texts).map(|order| Ordered::New(Box::new(order)))
    }

    /// Puts live fixes before the new ones.
    fn together(
        mut self,
        live: &Live,
        choice: Choice,
        texts: Vec<NamedPatch>,
    ) -> Result<Self, Problem> {
        let given = std::mem::take(&mut self.patches);
        let is_new = |(place, patch)| choice.new.contains(&place).then_some(patch);
        self.patches = texts;
        self.patches.extend(given.into_iter().enumerate().filter_map(is_new));
        if self.patches.len() > PATCHES {
            return Err(Problem::input(format!(
                "{} fixes are live and {} are new, and a livepatch holds at most {PATCHES}",
                choice.kept.len(),
                choice.new.len()
            ))
            .hint("leave some out with --drop FIX"));
        }
        // What is live is not compiled in, even where its patch waits for the next kernel to be built.
        self.baseline.retain(|patch| {
            let digest = Sha256Digest::of(&patch.content);
            let is_live = live.fixes().iter().any(|fix| fix.digest == digest);
            if is_live {
                let name = printable(&patch.name);
                say(&format!("baseline: {name} is left out, for it is live and not compiled in"));
            }
            !is_live
        });
        let request = live.manifest.request.as_ref();
        let earlier = request.map(|request| &request.checks[..]).unwrap_or_default();
        let checks = choice.checks(earlier, &self.request.checks);
        self.request.checks.splice(..0, checks);
        self.request.options.replaces = live.replaced();
        self.say_together(live, &choice);
        self.dropped = choice.dropped;
        Ok(self)
    }

    fn say_together(&self, live: &Live, choice: &Choice) {
        let name = printable(&live.name);
        let names = |names: Vec<&str>| {
            /// As many as are read; a livepatch of CVEs has dozens.
            const SHOWN: usize = 8;
            let more = names.len().saturating_sub(SHOWN);
            let mut shown: Vec<String> = names.into_iter().take(SHOWN).map(printable).collect();
            shown.extend((more > 0).then(|| format!("and {more} more")));
            shown.join(", ")
        };
        let of = |fixes: &[Fix]| names(fixes.iter().map(|fix| fix.name.as_str()).collect());
        say(&format!("incremental: the livepatch is to replace {name}, which is live"));
        if !choice.kept.is_empty() {
            say(&format!("  it keeps {}", of(&choice.kept)));
        }
        if !choice.dropped.is_empty() {
            say(&format!("  it drops {}", of(&choice.dropped)));
        }
        let new = self.patches[choice.kept.len()..].iter().map(|patch| patch.name.as_str());
        if !choice.new.is_empty() {
            say(&format!("  it adds {}", names(new.collect())));
        }
        if live.replaced().is_none() {
            warn(&format!(
                "the server does not have {name}: that the new livepatch replaces it is not tried"
            ));
        }
    }
}

/// Says what loading a livepatch takes out that was ordered alone.
fn say_lost(livepatch: &str, order: &Order, fixes: &[Fix]) {
    let is_given = |fix: &&Fix| {
        order.patches.iter().any(|patch| Sha256Digest::of(&patch.content) == fix.digest)
    };
    let lost: Vec<String> =
        fixes.iter().filter(|fix| !is_given(fix)).map(|fix| printable(&fix.name)).collect();
    match (fixes.is_empty(), lost.is_empty()) {
        (true, _) => warn(&format!("loading it takes out {livepatch}, with whatever it fixes")),
        (false, false) => {
            warn(&format!("loading it takes out {livepatch}, and with it {}", lost.join(", ")));
        }
        (false, true) => {}
    }
}
