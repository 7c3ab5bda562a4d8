use std::sync::Arc;

use elivepatch_api::{ExposedCve, ExposedKernel, ExposureQuery, ExposureResource, HostStanding};
use elivepatch_model::{BuilderIdentity, printable};
use elivepatch_server::{
    App, AppError, AppOptions, ServerConfig,
    app::{Inventories, StoreError},
};

use super::{PAGE, of_app};
use crate::{
    commands::{failed, feed, fix},
    error::CommandError,
    host_arguments::ExposureArguments,
    report,
    runner::BasesBeside,
};

/// How many CVEs a person is shown.
const SHOWN: usize = 50;

pub(super) async fn show(
    config: &ServerConfig,
    asked: &ExposureArguments,
) -> Result<(), CommandError> {
    let app = open(config).await?;
    let found = all(&app, asked).await;
    app.close().await;
    let found = found.map_err(of_app)?;
    if asked.output.json {
        report::json(&found);
        return Ok(());
    }
    tell(&found, asked);
    Ok(())
}

/// The server's logic, beside a server that may run.
async fn open(config: &ServerConfig) -> Result<App, CommandError> {
    // Says that there is no data directory as the other commands do.
    feed::open(config).await?.close().await;
    let bases = BasesBeside::of(config).map_err(failed)?;
    let options = AppOptions {
        data_directory: config.data_directory.clone(),
        queue_limit: config.queue_limit,
        builder_identity: BuilderIdentity::default(),
        allow_unproven: config.policy.allow_unproven,
        feed: feed::options(config),
        // It signs nothing.
        manifest_key: None,
        cve: fix::options(config),
        inventories: bases.map(|bases| Arc::new(bases) as Arc<dyn Inventories>),
        host_report_seconds: config.hosts.report_seconds,
        v1: None,
    };
    App::open_beside(options).await.map_err(|error| match error {
        AppError::Store(error @ StoreError::Newer { .. }) => {
            CommandError::input(error, "run the newer elivepatch-server")
        }
        error => of_app(error),
    })
}

/// All pages of the answer as one.
async fn all(app: &App, asked: &ExposureArguments) -> Result<ExposureResource, AppError> {
    let mut query = ExposureQuery {
        cve: asked.cve,
        host: asked.host.clone(),
        standing: None,
        after: None,
        limit: Some(PAGE),
    };
    let mut whole = app.exposure(query.clone()).await?;
    while let Some(after) = whole.next.take() {
        query.after = Some(after);
        let page = app.exposure(query.clone()).await?;
        match asked.cve {
            // Each page has the one that is asked for.
            Some(_) => whole.machines.extend(page.machines),
            None => whole.cves.extend(page.cves),
        }
        whole.next = page.next;
    }
    Ok(whole)
}

fn tell(found: &ExposureResource, asked: &ExposureArguments) {
    if found.hosts == 0 {
        anstream::eprintln!("no host is registered");
        return;
    }
    anstream::println!("feed of: {}", report::age(found.feed_data_at));
    if found.feed_is_stale {
        report::warn("the feed is stale: elivepatch-server feed status");
    }
    let rows = found.kernels.iter().map(kernel);
    report::table(&["KERNEL", "LIVEPATCH", "HOSTS", "EXPOSED TO", "PATCHED"], rows);
    for kernel in &found.kernels {
        for why in kernel.upper_bound.iter().chain(&kernel.problem) {
            report::warn(&format!("{}: {why}", kernel.release));
        }
    }
    if found.kernels_left_out > 0 {
        report::warn(&format!(
            "{} further kernels, of few hosts each, were not looked at; host exposure --host NAME does",
            found.kernels_left_out
        ));
    }
    anstream::println!();
    match (&asked.cve, &asked.host) {
        (Some(_), _) => tell_of_cve(found),
        (None, Some(host)) if found.cves.is_empty() => {
            anstream::println!("{host} is exposed to no CVE that is known here");
        }
        (None, _) => tell_cves(found, asked.host.is_some()),
    }
}

fn kernel(kernel: &ExposedKernel) -> Vec<String> {
    let livepatches = kernel.livepatches.join(" ");
    let (exposed, patched) = match kernel.problem {
        Some(_) => ("?".to_owned(), "?".to_owned()),
        None => (kernel.exposed.to_string(), kernel.patched.to_string()),
    };
    vec![
        kernel.release.to_string(),
        if livepatches.is_empty() { "-".to_owned() } else { printable(&livepatches) },
        kernel.hosts.to_string(),
        exposed,
        patched,
    ]
}

fn tell_of_cve(found: &ExposureResource) {
    let Some(cve) = found.cves.first() else { return };
    anstream::println!("{}: {}", cve.id, printable(&cve.title));
    anstream::println!("exposed:      {}", cve.exposed);
    anstream::println!("patched:      {}", cve.patched);
    anstream::println!("not affected: {}", cve.not_affected);
    anstream::println!("unknown:      {}", cve.unknown);
    let exposed = |host: &&elivepatch_api::ExposedHost| host.standing == HostStanding::Exposed;
    for host in found.machines.iter().filter(exposed) {
        anstream::println!("  {} ({})", host.name, host.release);
    }
}

fn tell_cves(found: &ExposureResource, of_host: bool) {
    let of_one = |cve: &ExposedCve| vec![cve.id.to_string(), score(cve), printable(&cve.title)];
    let of_all = |cve: &ExposedCve| {
        let counts = [cve.exposed, cve.patched, cve.not_affected].map(|count| count.to_string());
        let mut row = vec![cve.id.to_string(), score(cve)];
        row.extend(counts);
        row.push(printable(&cve.title));
        row
    };
    let shown = found.cves.iter().take(SHOWN);
    match of_host {
        true => report::table(&["CVE", "CVSS", "TITLE"], shown.map(of_one)),
        false => report::table(
            &["CVE", "CVSS", "EXPOSED", "PATCHED", "NOT AFFECTED", "TITLE"],
            shown.map(of_all),
        ),
    }
    if found.cves.len() > SHOWN {
        anstream::println!("and {} more: --json has all", found.cves.len() - SHOWN);
    }
}

fn score(cve: &ExposedCve) -> String {
    cve.cvss.as_ref().map_or_else(|| "-".to_owned(), |cvss| format!("{:.1}", cvss.score))
}
