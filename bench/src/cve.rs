//! What the CVE feed costs: reading it, bringing it up to date, and judging all CVEs for a kernel.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_api::AssessmentRequest;
use elivepatch_builder::{Builder, BuilderOptions, SilentObserver};
use elivepatch_model::{Architecture, BuilderIdentity, Failure, KernelRelease, TargetFacts};
use elivepatch_server::{
    App, AppOptions,
    app::{CveOptions, FeedOptions, FixSourceOptions, Inventories, Inventory, Store, update_feed},
};

use crate::{
    cve_batch::{self, Batch},
    figures::Figures,
    median::median,
    note,
    process_memory::peak_bytes,
    say, table,
};

/// Reading the whole feed the first time, in seconds at most.
const INDEX_TARGET: f64 = 3.0;

/// The memory that it takes, in MB at most.
const MEMORY_TARGET: f64 = 150.0;

/// Taking over the changes of some records, in seconds at most.
const UPDATE_TARGET: f64 = 0.2;

/// Judging all CVEs for a kernel, in seconds at most.
const APPLICABILITY_TARGET: f64 = 0.05;

/// How many records are changed.
const CHANGED: usize = 200;

/// How often each thing is done.
const RUNS: usize = 5;

/// What is measured with.
#[derive(Debug, clap::Args)]
pub struct Inputs {
    /// The feed: a directory or a tarball.
    #[arg(long, value_name = "PATH")]
    feed: PathBuf,
    /// The cache with the base of the kernel.
    #[arg(long, value_name = "DIR")]
    cache: Utf8PathBuf,
    /// The server's program, and a directory of fixes, for a livepatch of all; without them that is left out.
    #[arg(long, value_name = "FILE", requires = "fixes")]
    server: Option<Utf8PathBuf>,
    /// See `--server`: files `COMMIT.patch`.
    #[arg(long, value_name = "DIR", requires = "server")]
    fixes: Option<Utf8PathBuf>,
    /// A stock kernel whose base is ready.
    #[arg(long)]
    release: KernelRelease,
    /// Where cve.json goes.
    #[arg(long, value_name = "DIR")]
    output: Utf8PathBuf,
}

/// Measures, prints a table and writes cve.json.
///
/// # Errors
/// When something is missing or fails.
pub fn run(inputs: &Inputs) -> anyhow::Result<()> {
    let output = camino::absolute_utf8(&inputs.output).context("no usable path")?;
    let place = tempfile::tempdir_in(&output)?;
    let place = Utf8PathBuf::from_path_buf(place.path().to_owned()).ok().context("no UTF-8")?;
    let feed = fs::canonicalize(&inputs.feed).context("there is no such feed")?;
    let mut figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        index(&feed, &place, &mut figures).await?;
        update(&feed, &place, &mut figures).await?;
        applicability(inputs, &place, &mut figures).await?;
        let (Some(server), Some(fixes)) = (&inputs.server, &inputs.fixes) else { return Ok(()) };
        let batch = Batch {
            server: &camino::absolute_utf8(server).context("no usable path")?,
            feed: Utf8Path::from_path(&feed).context("the feed's path is not UTF-8")?,
            fixes: &fixes.canonicalize_utf8().context("there is no such directory of fixes")?,
            cache: &camino::absolute_utf8(&inputs.cache).context("no usable path")?,
            release: &inputs.release,
            place: &place,
            output: &output,
        };
        cve_batch::measure(&batch, &mut figures).await
    });
    // What was measured before something failed is not lost.
    let path = output.join("cve.json");
    figures.write(&path)?;
    println!("{}", table::table(&figures));
    println!("figures: {path}");
    measured
}

fn options(source: &Path, place: &Utf8Path) -> FeedOptions {
    FeedOptions {
        source: source.display().to_string(),
        mirror: place.join("mirror"),
        every: Duration::from_secs(3600),
        stale_after: Duration::from_secs(3600),
    }
}

async fn store(place: &Utf8Path, name: &str) -> anyhow::Result<Store> {
    let directory = place.join(name);
    fs_err::create_dir_all(&directory)?;
    Ok(Store::open(&directory).await?)
}

/// Reads the feed into an empty store, several times.
async fn index(feed: &Path, place: &Utf8Path, figures: &mut Figures) -> anyhow::Result<()> {
    say("the whole feed, the first time");
    let mut times = Vec::new();
    for number in 0..RUNS {
        let store = store(place, &format!("index-{number}")).await?;
        let began = Instant::now();
        let updated = update_feed(&store, &options(feed, place), false).await?;
        times.push(began.elapsed().as_secs_f64());
        if number == 0 {
            note(format!("{} records", updated.counts.published + updated.counts.rejected));
            let memory = peak_bytes(std::process::id())?;
            figures.memory("feed.index.memory", memory).target(MEMORY_TARGET);
        }
        store.close().await;
    }
    figures.seconds("feed.index", median(times)).target(INDEX_TARGET);
    Ok(())
}

/// Reads the feed from a repository, changes some records, and takes the changes over.
async fn update(feed: &Path, place: &Utf8Path, figures: &mut Figures) -> anyhow::Result<()> {
    say(format!("{CHANGED} changed records in a repository"));
    let repository = place.join("vulns");
    unpack(feed, &repository)?;
    git(&repository, &["init", "--quiet"])?;
    commit(&repository)?;
    let store = store(place, "update").await?;
    let options = options(repository.as_std_path(), place);
    update_feed(&store, &options, false).await?;
    let records = dyads(repository.as_std_path());
    let (mut times, mut fetches) = (Vec::new(), Vec::new());
    for number in 0..RUNS {
        for record in records.iter().skip(number).step_by(records.len() / CHANGED).take(CHANGED) {
            let text = fs_err::read_to_string(record)?;
            fs_err::write(record, format!("{text}# changed {number}\n"))?;
        }
        commit(&repository)?;
        let began = Instant::now();
        let updated = update_feed(&store, &options, false).await?;
        times.push(began.elapsed().as_secs_f64());
        anyhow::ensure!(updated.change.changed == CHANGED, "{:?}", updated.change);
        // What git itself takes to find out that there is nothing new.
        let began = Instant::now();
        update_feed(&store, &options, false).await?;
        fetches.push(began.elapsed().as_secs_f64());
    }
    store.close().await;
    figures
        .seconds("feed.update", median(times))
        .target(UPDATE_TARGET)
        .compared_with("the same with nothing changed", median(fetches));
    Ok(())
}

/// Judges all CVEs for a kernel, warm.
async fn applicability(
    inputs: &Inputs,
    place: &Utf8Path,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    say(format!("all CVEs for {}", inputs.release));
    let cache = camino::absolute_utf8(&inputs.cache).context("no usable path")?;
    fs_err::create_dir_all(place.join("probe"))?;
    let builder = Builder::open(BuilderOptions::new(cache), &place.join("probe"))
        .map_err(|failure| anyhow::anyhow!("{failure}"))?;
    // The files of the fixes decide where they are at hand, which is what a server with fixes is asked.
    let path = inputs.fixes.as_deref().map(Utf8Path::canonicalize_utf8).transpose()?;
    let fixes: Vec<_> = path.into_iter().map(|path| FixSourceOptions::Directory { path }).collect();
    note(match fixes.is_empty() {
        true => "no fixes are at hand".to_owned(),
        false => "with the files of the fixes that are at hand".to_owned(),
    });
    let app = App::open(AppOptions {
        data_directory: place.join("index-0"),
        queue_limit: 1,
        builder_identity: BuilderIdentity::default(),
        allow_unproven: false,
        feed: None,
        cve: CveOptions { fixes, ..CveOptions::default() },
        manifest_key: None,
        inventories: Some(Arc::new(Kernels(builder))),
        host_report_seconds: 900,
        v1: None,
    })
    .await?;
    let target = TargetFacts::new(inputs.release.clone(), Architecture::X86_64);
    let mut times = Vec::new();
    for number in 0..=RUNS {
        let request =
            AssessmentRequest { target: target.clone(), linux_version: None, explain: Vec::new() };
        let began = Instant::now();
        let assessed = app.assess(request).await?;
        let took = began.elapsed().as_secs_f64();
        anyhow::ensure!(assessed.base.is_some(), "the base of {} is not ready", inputs.release);
        match number {
            // The records come from the store once.
            0 => note(format!("the first time {took:.3} s; {:?}", assessed.counts)),
            _ => times.push(took),
        }
    }
    app.close().await;
    figures.seconds("feed.applicability", median(times)).target(APPLICABILITY_TARGET);
    Ok(())
}

/// Puts the feed into a directory, whatever it is.
fn unpack(feed: &Path, into: &Utf8Path) -> anyhow::Result<()> {
    fs_err::create_dir_all(into)?;
    let mut command = if feed.is_dir() {
        let mut copy = Command::new("cp");
        copy.arg("--recursive").arg(feed.join(".")).arg(into);
        copy
    } else {
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--auto-compress", "--file"]).arg(feed).arg("--directory").arg(into);
        tar
    };
    let status = command.status()?;
    anyhow::ensure!(status.success(), "{command:?} failed");
    Ok(())
}

fn commit(repository: &Utf8Path) -> anyhow::Result<()> {
    git(repository, &["add", "--all"])?;
    git(repository, &["commit", "--quiet", "--message", "feed"])
}

fn git(repository: &Utf8Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("git")
        .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"])
        .args(arguments)
        .current_dir(repository)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status()?;
    anyhow::ensure!(status.success(), "git {arguments:?} failed");
    Ok(())
}

/// The dyads of published records, sorted.
fn dyads(feed: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![feed.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "dyad")
                && path.components().any(|part| part.as_os_str() == "published")
            {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    found
}

/// The bases of a builder.
struct Kernels(Builder);

impl std::fmt::Debug for Kernels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Kernels")
    }
}

impl Inventories for Kernels {
    fn find(&self, target: &TargetFacts) -> Result<Option<Inventory>, String> {
        let found = self.0.inventory(target);
        let found = found.map_err(|failure| failure.to_string())?;
        Ok(found.map(|mut kernel| {
            let built = std::mem::take(&mut kernel.built);
            let kernel = Arc::new(kernel);
            let same = Arc::clone(&kernel);
            Inventory {
                base: kernel.base.clone(),
                version: kernel.version.clone(),
                built,
                has_file: Box::new(move |path| kernel.has_file(path)),
                left_out: Box::new(move |path| same.left_out(path)),
            }
        }))
    }

    fn stock_config(&self, release: &KernelRelease) -> Result<Vec<u8>, Failure> {
        self.0.stock_config(release, &SilentObserver)
    }

    fn stock_releases(&self, version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        self.0.stock_releases(version, &SilentObserver)
    }
}
