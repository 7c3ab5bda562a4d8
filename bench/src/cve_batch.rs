//! What it costs to make one livepatch of the fixes of all CVEs that matter on a kernel: a real server with
//! two workers, the whole feed, and a directory of fixes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_api::{
    CveSelection, RunRequest, RunResource, RunState,
    client::{Client, RequestTexts},
};
use elivepatch_model::{Architecture, BuildOptions, KernelRelease, RunNumber, TargetFacts};

use crate::{figures::Figures, median::median, note, say, server::Server};

/// The whole batch, in seconds at most: the target on two cores.
const BATCH_TARGET: f64 = 1200.0;

/// The answer when nothing is new, in seconds at most.
const AGAIN_TARGET: f64 = 1.0;

/// How many fixes are tried side by side.
const WORKERS: u32 = 2;

/// How long the server may take to read the feed.
const FEED_LIMIT: Duration = Duration::from_secs(120);

/// How long to wait for the batch before it is given up.
const BATCH_LIMIT: Duration = Duration::from_secs(2 * 3600);

/// What is measured with.
pub struct Batch<'a> {
    /// The server's program.
    pub server: &'a Utf8Path,
    /// The feed.
    pub feed: &'a Utf8Path,
    /// The directory of fixes.
    pub fixes: &'a Utf8Path,
    /// The cache with the base of the kernel.
    pub cache: &'a Utf8Path,
    /// The kernel.
    pub release: &'a KernelRelease,
    /// For the data directory.
    pub place: &'a Utf8Path,
    /// For the log.
    pub output: &'a Utf8Path,
}

/// Runs the batch.
///
/// # Errors
/// When it does not come to an end, or not to a livepatch.
pub async fn measure(batch: &Batch<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    let Batch { release, place, .. } = batch;
    say(format!("one livepatch of all CVEs that matter on {release}: some twenty minutes"));
    let config = write_config(batch)?;
    let log = batch.output.join("server-cve.log");
    let server = Server::with_config(batch.server, &config, log)?;
    let client = server.client();
    let request = RunRequest {
        target: TargetFacts::new((*release).clone(), Architecture::X86_64),
        linux_version: None,
        selection: CveSelection::default(),
        checks: Vec::new(),
        options: BuildOptions::default(),
        again: false,
    };
    let began = Instant::now();
    let number = begin(client, &request).await?;
    let run = finished(client, number).await?;
    let took = began.elapsed().as_secs_f64();
    ensure!(run.state == RunState::Finished, "the run ended: {:?}", run.failure);
    let build = run.livepatch.context("the run made no livepatch")?;
    let manifest = client.manifest(build).await?.manifest;
    let waiting = run.counts.get("waiting").copied().unwrap_or_default();
    ensure!(waiting == 0, "{waiting} CVEs have no verdict");
    for (verdict, count) in &run.counts {
        note(format!("{count:>6} {verdict}"));
    }
    note(format!(
        "{} functions in {} s of trial",
        manifest.functions.len(),
        manifest.trial.duration_seconds.round()
    ));
    let seconds = run.cves.iter().filter_map(|cve| cve.result.probe_seconds);
    figures.seconds("cve.batch", took).target(BATCH_TARGET);
    figures.seconds("cve.batch.fix", median(seconds.map(f64::from)));
    figures.seconds("cve.batch.each", took / f64::from(run.to_try.max(1)));
    let mut again = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let texts = RequestTexts::default();
        let submission = client.start_run(&request, &texts).await?;
        again.push(began.elapsed().as_secs_f64());
        ensure!(submission.joined && submission.run.number == number, "it was done again");
    }
    figures.seconds("cve.batch.again", median(again)).target(AGAIN_TARGET);
    drop(server);
    fs_err::remove_dir_all(place.join("batch"))?;
    Ok(())
}

fn write_config(batch: &Batch) -> anyhow::Result<Utf8PathBuf> {
    let Batch { feed, fixes, cache, place, .. } = batch;
    let data = place.join("batch");
    fs_err::create_dir_all(&data)?;
    let config = place.join("batch.toml");
    let text = format!(
        "data_directory = {:?}\ncache_directory = {:?}\n[builder]\nworkers = {WORKERS}\n[feed]\n\
         source = {:?}\nstale_days = 365\n[[fixes]]\nkind = \"directory\"\npath = {:?}\n",
        data.as_str(),
        cache.as_str(),
        feed.as_str(),
        fixes.as_str(),
    );
    fs_err::write(&config, text)?;
    Ok(config)
}

/// Begins the run, as soon as the server has read the feed.
async fn begin(client: &Client, request: &RunRequest) -> anyhow::Result<RunNumber> {
    let began = Instant::now();
    loop {
        match client.start_run(request, &RequestTexts::default()).await {
            Ok(submission) => return Ok(submission.run.number),
            Err(error) if began.elapsed() > FEED_LIMIT => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn finished(client: &Client, number: RunNumber) -> anyhow::Result<RunResource> {
    let began = Instant::now();
    let mut shown = String::new();
    loop {
        let run = client.run_in_short(number).await?;
        if run.state.is_finished() {
            return Ok(client.run(number).await?);
        }
        ensure!(began.elapsed() < BATCH_LIMIT, "it is not done after two hours: {run:?}");
        let activity = run.activity.unwrap_or_default();
        if began.elapsed().as_secs().is_multiple_of(60) && activity != shown {
            note(&activity);
            shown = activity;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
