use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use elivepatch_api::{AssessmentResource, RunCheck, RunResource, RunState};
use elivepatch_cve::{CveId, Group, Outcome};
use elivepatch_model::{BuildNumber, Sha256Digest};
use serde::Serialize;

use super::{
    super::host::{
        StateArgs,
        apply::{self, Module},
    },
    CveArgs,
    reports::Reports,
};
use crate::{
    cve::{self, Changes, LivepatchNote, Remembered, Report, StateFile, doubts},
    destination::Destination,
    download::{self, Sent, SentFixes, Stored},
    exit::Exit,
    live,
    output::{data, release, say},
    problem::{Problem, warn},
    report,
    server::Server,
    text::printable,
};

/// To whom and where the result is told.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// What was asked for.
    pub arguments: &'a CveArgs,
    /// The server.
    pub server: &'a Server,
    /// Where the module goes; `None`: it is not wanted.
    pub destination: Option<&'a Destination>,
    /// The files for the report.
    pub reports: &'a Reports,
    /// The behaviour checks that were asked for; none when the run is only followed.
    pub checks: &'a [RunCheck],
    /// The live fixes that the livepatch is to keep; `None` when the run is only followed: then what the run says.
    pub kept: Option<&'a [Sha256Digest]>,
    /// Whether a livepatch is wanted that nothing proves to fit; `None` when the run is only followed: then as
    /// whoever began it has said.
    pub accept_unproven: Option<bool>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct ResultJson<'a> {
    server: &'a str,
    exposed: bool,
    groups: BTreeMap<Group, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_file: Option<String>,
    run: &'a RunResource,
}

/// Stores the livepatch of a finished run, writes the reports, and says what is new.
pub async fn tell(
    told: &Told<'_>,
    run: RunResource,
    explained: Option<&AssessmentResource>,
    state: Option<&StateFile>,
    before: Option<&Remembered>,
) -> Result<Exit, Problem> {
    let Told { arguments, server, destination, reports, .. } = *told;
    if run.state != RunState::Finished {
        if arguments.json {
            print_json(server, &run, None)?;
        }
        return Err(not_finished(&run));
    }
    // Looked at before it is stored again.
    let had_module = match destination {
        Some(destination) if run.livepatch.is_some() => {
            before.is_some_and(|before| before.has_module_in(destination.directory()))
        }
        _ => true,
    };
    let (note, stored) = match run.livepatch {
        Some(build) => livepatch(told, &run, build).await?,
        None => (None, None),
    };
    let report = Report::of_run(run.clone(), note);
    reports.write(&report, server)?;
    let is_known = had_module && before.is_some_and(|before| before.is_as_told(&run));
    if !is_known || !arguments.tells_only_news() {
        release();
        print(told, &report, &run, stored.as_ref(), explained, before)?;
    }
    // Only what was told is remembered.
    if let Some(state) = state {
        remember(state, &Remembered::new(server.url.as_str(), &run, stored.as_ref()));
    }
    if let (true, Some(stored), Some(build)) = (arguments.apply, &stored, run.livepatch) {
        let directory = StateArgs::of_environment().directory();
        let patches = live::of_build(server, &directory, build, &stored.manifest).await;
        let quiet = arguments.tells_only_news();
        apply::module(&Module {
            path: &stored.module_path,
            patches,
            dropped: &[],
            key: &arguments.manifest_key,
            quiet,
            through_sudo: arguments.through_sudo,
        })?;
    }
    Ok(match report.is_exposed() && !(is_known && arguments.tells_only_news()) {
        true => Exit::Exposed,
        false => Exit::Done,
    })
}

/// Without a memory everything is new the next time; that is no reason to fail.
fn remember(state: &StateFile, remembered: &Remembered) {
    if let Err(problem) = state.write(remembered) {
        warn(&format!(
            "{}: the next run will be told as new; give a directory that you may write to with \
             --state-directory",
            problem.message()
        ));
    }
}

fn print(
    told: &Told<'_>,
    report: &Report,
    run: &RunResource,
    stored: Option<&Stored>,
    explained: Option<&AssessmentResource>,
    before: Option<&Remembered>,
) -> Result<(), Problem> {
    let Told { arguments, server, .. } = *told;
    for doubt in doubts(&report.grounds) {
        warn(&printable(&doubt));
    }
    for cve in unmade(told.checks, run) {
        warn(&format!("the checks of {cve} were not made: its fix is not in the livepatch"));
    }
    if arguments.json {
        return print_json(server, run, stored);
    }
    if let Some(answer) = explained {
        for id in &arguments.explain {
            let cve = answer.cves.iter().find(|cve| cve.id == *id).expect("it was asked for");
            let known = report.cves.iter().find(|cve| cve.result.id == *id);
            cve::explain(cve, known, report)?;
        }
        return Ok(());
    }
    let changes = before.map(|before| Changes::between(before, server.url.as_str(), run));
    cve::finished(report, changes.as_ref())?;
    let listed = cve::listed(report, &arguments.filter());
    cve::list(&listed)?;
    if let Some(stored) = stored {
        data(&format!("livepatch: {}", stored.module_path.display()))?;
        if !arguments.apply {
            report::print_loading(stored)?;
        }
    } else if let Some(build) = run.livepatch {
        data(&format!("livepatch: build {build} ({})", server.follow_command(build)))?;
    }
    if listed.is_empty()
        && let Some(hint) = cve::hints(report, &server.run_command(run.number))
    {
        say(&hint);
    }
    Ok(())
}

/// The CVEs of checks that no trial made, since their fixes are in no livepatch.
fn unmade(checks: &[RunCheck], run: &RunResource) -> BTreeSet<CveId> {
    let is_live = |cve: &CveId| {
        let found = run.cves.iter().find(|found| found.result.id == *cve);
        found.is_some_and(|found| matches!(found.result.outcome, Some(Outcome::Livepatch { .. })))
    };
    checks.iter().filter_map(|check| check.cve).filter(|cve| !is_live(cve)).collect()
}

/// The livepatch of a run, on this machine's disk where that is wanted.
async fn livepatch(
    told: &Told<'_>,
    run: &RunResource,
    number: BuildNumber,
) -> Result<(Option<LivepatchNote>, Option<Stored>), Problem> {
    let Told { arguments, server, destination, .. } = *told;
    let patience = Duration::from_secs(arguments.give_up_after);
    let go_on = server.run_command(run.number);
    let aside = |problem: Problem| {
        problem.aside(format!("run {} is there; get it with: {go_on}", run.number))
    };
    let build = server.patiently(patience, || server.client.build(number)).await;
    let build = build.map_err(|error| aside(server.problem(&error)))?;
    let stored = match destination {
        Some(destination) => {
            let accept_unproven = told.accept_unproven.unwrap_or(build.options.accept_unproven);
            let sent = sent(run, told.kept, accept_unproven);
            let trust = arguments.manifest_key.trust(StateArgs::of_environment().directory());
            let fetch = download::fetch(server, &build, Some(&sent), &trust, destination, patience);
            Some(fetch.await.map_err(aside)?)
        }
        None => None,
    };
    let manifest = stored.as_ref().map(|stored| &stored.manifest).or(build.manifest.as_ref());
    let note = manifest.map(|manifest| LivepatchNote {
        name: printable(&manifest.module.name),
        digest: manifest.module.digest,
    });
    Ok((note, stored))
}

/// What the livepatch must be by what the run says of it.
fn sent(run: &RunResource, kept: Option<&[Sha256Digest]>, accept_unproven: bool) -> Sent {
    let fixed = run.cves.iter().filter(|cve| {
        matches!(cve.result.outcome, Some(Outcome::Livepatch { .. }))
            && !cve.result.fixes.is_empty()
    });
    let digests = fixed.map(|cve| cve.result.fixes.iter().map(|fix| fix.digest).collect());
    let kept: Vec<Sha256Digest> = match kept {
        Some(kept) => kept.to_vec(),
        None => run.kept.iter().map(|fix| fix.digest).collect(),
    };
    let kept = kept.into_iter().map(|digest| vec![digest]);
    Sent {
        release: run.target.release.clone(),
        build_id: run.target.build_id.clone(),
        accept_unproven,
        fixes: SentFixes::OfEach(digests.chain(kept).collect()),
    }
}

fn print_json(server: &Server, run: &RunResource, stored: Option<&Stored>) -> Result<(), Problem> {
    let is_open = |(verdict, count): (&String, &u64)| *count > 0 && cve::is_exposed(verdict);
    report::print_json(&ResultJson {
        server: server.url.as_str(),
        exposed: run.counts.iter().any(is_open),
        groups: cve::groups(&run.counts),
        module: stored.map(|stored| stored.module_path.display().to_string()),
        manifest_file: stored.map(|stored| stored.manifest_path.display().to_string()),
        run,
    })
}

/// Why there is no result.
fn not_finished(run: &RunResource) -> Problem {
    let number = run.number;
    match &run.failure {
        Some(failure) => {
            let problem = Problem::from_failure(&format!("run {number} failed"), failure);
            match run.kept.iter().find(|fix| Some(fix.name.as_str()) == failure.fix.as_deref()) {
                Some(fix) => problem
                    .aside(format!(
                        "{} is live, and the livepatch was to keep it",
                        printable(&fix.name)
                    ))
                    .hint("order without what is live, which loading it then takes out: --alone"),
                None => problem,
            }
        }
        None => Problem::new(Exit::Build, format!("run {number} is {}", run.state.as_str()))
            .hint("to have it done after all, run the same command again"),
    }
}
