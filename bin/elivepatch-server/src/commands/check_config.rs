use camino::Utf8Path;
use elivepatch_server::{
    ServerConfig,
    app::FixSource,
    config::{Places, V1Limits},
    tls::MadeCertificate,
};

use super::{load_config, worker};
use crate::{arguments::Arguments, error::CommandError, manifest_key, owner, report, runner};

/// Reads the config, shows what it says, and names every problem.
pub fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let places = Places::of_this_user();
    let path = arguments.config_file(&places);
    let config = load_config(arguments, &places)?;
    if path.exists() {
        anstream::println!("config file:      {path}");
    } else {
        anstream::println!("config file:      none at {path}; the defaults serve");
    }
    anstream::println!("listen:           {}", config.listen);
    let access = match config.wants_tokens() {
        true => "with a token",
        false => "every user of this machine, without a token",
    };
    anstream::println!("access:           {access}");
    let V1Limits { orders, orders_per_day, kernels_per_day } = config.v1_limits();
    let shown = |limit: Option<u32>| limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    let v1 = match config.serves_v1() {
        true => format!(
            "answered, without a token; builds at a time: {}; a day: {}; new kernels a day: {}",
            shown(orders),
            shown(orders_per_day),
            shown(kernels_per_day)
        ),
        false => "off".to_owned(),
    };
    anstream::println!("REST API v1.0:    {v1}");
    for warning in config.v1_warnings() {
        report::warn(warning);
    }
    anstream::println!("encryption:       {}", encryption(&config)?);
    anstream::println!("data directory:   {}", config.data_directory);
    anstream::println!("cache directory:  {}", config.cache_directory);
    anstream::println!("queue limit:      {} builds", config.queue_limit);
    anstream::println!("workers:          {}", report::workers(config.builder.workers));
    if let Some(server) = worker::named_server(&config)? {
        anstream::println!("builds for:       {server}, by elivepatch-server worker");
    }
    match config.builder.jobs {
        0 => anstream::println!("jobs:             one for each core"),
        jobs => anstream::println!("jobs:             {jobs}"),
    }
    anstream::println!(
        "debian mirror:    {}",
        config.debian.mirror.as_deref().unwrap_or("as apt on this machine")
    );
    anstream::println!("debian suites:    {}", config.debian.suites.join(", "));
    anstream::println!(
        "disk budget:      {}",
        match config.cache.disk_budget_gib {
            Some(gib) => format!("{gib} GiB for the cache"),
            None => "none: the cache grows".to_owned(),
        }
    );
    anstream::println!(
        "without proof:    {}",
        match config.policy.allow_unproven {
            true => "made where a request accepts it (allow_unproven)",
            false => "refused",
        }
    );
    anstream::println!(
        "own recipes:      {}",
        match &config.toolchain_recipes {
            Some(directory) => directory.as_str(),
            None => "none",
        }
    );
    anstream::println!("manifest key:     {}", manifest_key_line(&config)?);
    let directories =
        [("data_directory", &config.data_directory), ("cache_directory", &config.cache_directory)];
    let problems: Vec<String> = directories
        .iter()
        .filter_map(|(key, path)| Some(format!("{key}: {}", directory_problem(path)?)))
        .collect();
    if !problems.is_empty() {
        return Err(CommandError::input(
            anyhow::anyhow!("{}", problems.join("; ")),
            "change the key in the config, or the directory",
        ));
    }
    try_fixes(&config)?;
    try_builder(config)?;
    anstream::println!("no problem found");
    Ok(())
}

/// The key that manifests are signed with; one that is to be in the data directory may not be there yet.
fn manifest_key_line(config: &ServerConfig) -> Result<String, CommandError> {
    let path = config.manifest_key();
    if config.signing.manifest_key.is_none() && !path.exists() {
        return Ok(format!("made at the first start ({path})"));
    }
    let key = manifest_key::read(config)?;
    Ok(format!("{} ({path})", key.id()))
}

/// How connections are encrypted. A certificate that is given is read; none is made.
fn encryption(config: &ServerConfig) -> Result<String, CommandError> {
    if !config.encrypts() {
        return Ok("none".to_owned());
    }
    if config.tls.certificate.is_none() && !MadeCertificate::of(&config.data_directory).exists() {
        return Ok("with a certificate that the server makes at its start".to_owned());
    }
    let certificate = super::certificate::open(config)?;
    Ok(certificate.map_or_else(String::new, |certificate| {
        format!("with the certificate {} ({})", certificate.fingerprint(), certificate.path())
    }))
}

/// Looks at the sources of fixes.
fn try_fixes(config: &ServerConfig) -> Result<(), CommandError> {
    for source in super::fix::options(config).fixes.iter().map(FixSource::new) {
        anstream::println!("fixes:            {}", source.label());
    }
    let problems = super::fix::source_problems(config);
    if problems.is_empty() {
        return Ok(());
    }
    Err(CommandError::input(
        anyhow::anyhow!("a source of fixes cannot be used: {}", problems.join("; ")),
        "correct its [[fixes]] in the config, or what it names",
    ))
}

/// Tries the sandbox as a build would use it, and as the user who would. Nothing is left of it, not even an empty cache.
fn try_builder(mut config: ServerConfig) -> Result<(), CommandError> {
    owner::become_owner_of(&config.cache_directory)?;
    let scratch = tempfile::tempdir().map_err(CommandError::bug)?;
    let path = Utf8Path::from_path(scratch.path()).ok_or_else(|| {
        CommandError::bug(anyhow::anyhow!("the temporary directory is not UTF-8"))
    })?;
    config.data_directory = path.to_owned();
    if !config.cache_directory.exists() {
        config.cache_directory = path.join("cache");
    }
    let runner = runner::open(&config)?;
    for line in runner.describe() {
        anstream::println!("worker:           {line}");
    }
    if let Some(failure) = runner.signing_problem() {
        return Err(super::failed(failure));
    }
    let unusable = runner.unusable_sources();
    let Some((_, first)) = unusable.first() else { return Ok(()) };
    let lines: Vec<String> = unusable
        .iter()
        .map(|(source, failure)| format!("the [[source]] {source} cannot be used: {failure}"))
        .collect();
    Err(CommandError::input(anyhow::anyhow!("{}", lines.join("; ")), first.hint.clone()))
}

/// Why the server could not write in a directory; one that is not there is made at start.
fn directory_problem(path: &Utf8Path) -> Option<String> {
    let mut existing = path;
    while !existing.exists() {
        existing = existing.parent()?;
    }
    if !existing.is_dir() {
        return Some(format!("{existing} is not a directory"));
    }
    match tempfile::tempfile_in(existing) {
        Ok(_) => None,
        Err(error) => Some(format!("cannot write in {existing}: {error}")),
    }
}
