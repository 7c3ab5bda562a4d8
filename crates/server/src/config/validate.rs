use camino::Utf8Path;
use toml::de::DeTable;

use super::{
    ConfigProblem, MOST_WORKERS, ServerConfig, file::line_at, fixes::fixes_problems,
    policy::denied_file_problem, signing::signing_problems, source_problems::source_problems,
};

/// The largest size, in MiB: 1 TiB. No build needs it, and as bytes it is far from overflowing.
const MOST_MIB: u64 = 1024 * 1024;

/// The smallest disk budget, in GiB: one stock kernel's packages, toolchain root and base fit, and
/// are not made anew for each build.
const LEAST_BUDGET_GIB: u64 = 5;

/// The longest time, in seconds: 31 days, for the same reason.
const MOST_SECONDS: u64 = 31 * 24 * 3600;

/// The longest time between two readings of the feed, in hours: 30 days.
const MOST_HOURS: u64 = 30 * 24;

/// The shortest time between two reports of a host, in seconds: 500 hosts are 50 reports a second then.
const LEAST_REPORT_SECONDS: u64 = 10;

/// The longest, in seconds: a withdrawn livepatch stays on hosts for that long.
const MOST_REPORT_SECONDS: u64 = 24 * 3600;

/// The longest time until a feed is stale, in days.
const MOST_DAYS: u64 = 365;

/// The key by which, before there were tokens, somebody said that he knew.
const GONE: &str = "i_know_that_there_is_no_authentication_yet";

/// The problem of a config that still has it. Nobody should be told that it is unknown who was told to set it.
pub(super) fn key_that_is_gone(text: &str) -> Option<ConfigProblem> {
    let line = Some(line_of_key(text, GONE)?);
    let message = "it is no longer needed: remove it. Whoever comes from another machine needs a token now \
                   (elivepatch-server token create), and connections from there are encrypted; see [access] and \
                   [tls] in docs/access.md";
    Some(ConfigProblem { key: GONE.to_owned(), line, message: message.to_owned() })
}

/// Every value that cannot be used.
pub(super) fn problems(config: &ServerConfig, text: &str) -> Vec<ConfigProblem> {
    let mut found = Problems { text, problems: Vec::new() };
    for (key, message) in config.tls.problems() {
        found.add(key, message);
    }
    for (key, message) in config.worker.problems() {
        found.add(key, message);
    }
    directories(config, &mut found);
    found.at_least("queue_limit", config.queue_limit.into(), 1);
    let builder = &config.builder;
    found.at_least("builder.workers", builder.workers.into(), 1);
    found.at_most("builder.workers", builder.workers.into(), MOST_WORKERS.into());
    let sizes = [
        ("builder.memory_limit_mib", builder.memory_limit_mib, 256),
        ("builder.output_limit_mib", builder.output_limit_mib, 1),
        ("builder.disk_limit_mib", builder.disk_limit_mib, 256),
        ("builder.base_disk_limit_mib", builder.base_disk_limit_mib, 4096),
        ("builder.originals_limit_mib", builder.originals_limit_mib, 256),
    ];
    for (key, value, least) in sizes {
        found.at_least(key, value, least);
        found.at_most(key, value, MOST_MIB);
    }
    let times = [
        ("builder.build_time_limit_seconds", builder.build_time_limit_seconds),
        ("builder.silence_limit_seconds", builder.silence_limit_seconds),
        ("builder.base_build_seconds", builder.base_build_seconds),
        ("builder.trial_time_limit_seconds", builder.trial_time_limit_seconds),
    ];
    for (key, value) in times {
        found.at_least(key, value, 10);
        found.at_most(key, value, MOST_SECONDS);
    }
    found.at_least("builder.process_limit", builder.process_limit.into(), 16);
    found.at_least("builder.header_objects", builder.header_objects as u64, 1);
    if let Some(budget) = config.cache.disk_budget_gib {
        found.at_least("cache.disk_budget_gib", budget, LEAST_BUDGET_GIB);
        found.at_most("cache.disk_budget_gib", budget, MOST_MIB);
    }
    for (key, value) in config.compat.limits() {
        found.at_least(key, value.into(), 1);
    }
    policy(config, &mut found);
    feed(config, &mut found);
    for (index, message) in fixes_problems(config) {
        found.add_to_table("fixes", index, message);
    }
    let report_seconds = config.hosts.report_seconds.into();
    found.at_least("hosts.report_seconds", report_seconds, LEAST_REPORT_SECONDS);
    found.at_most("hosts.report_seconds", report_seconds, MOST_REPORT_SECONDS);
    for (key, message) in signing_problems(&config.signing) {
        found.add(key, message);
    }
    debian(config, &mut found);
    sources(config, &mut found);
    found.problems
}

fn policy(config: &ServerConfig, found: &mut Problems<'_>) {
    let policy = &config.policy;
    for problem in policy.deny_files.iter().filter_map(|path| denied_file_problem(path)) {
        found.add("policy.deny_files", problem);
    }
    found.at_least("policy.cve_header_objects", policy.cve_header_objects as u64, 1);
    found.at_least("policy.livepatch_functions", policy.livepatch_functions.into(), 1);
    found.at_least("policy.livepatch_objects", policy.livepatch_objects.into(), 1);
}

fn feed(config: &ServerConfig, found: &mut Problems<'_>) {
    let feed = &config.feed;
    if let Some(source) = &feed.source {
        let schemes = ["https://", "http://", "git://", "ssh://"];
        let is_used = schemes.iter().any(|scheme| source.starts_with(scheme))
            || Utf8Path::new(source).is_absolute();
        if !is_used {
            found.add(
                "feed.source",
                format!(
                    "{:?} is neither an address with https, http, git or ssh nor an absolute path",
                    elivepatch_cve::feed::shown_source(source)
                ),
            );
        }
    }
    for key in &feed.public_keys {
        if let Err(error) = elivepatch_bundle::PublicKey::parse(key) {
            found.add("feed.public_keys", error.to_string());
        }
    }
    found.at_least("feed.every_hours", feed.every_hours.into(), 1);
    found.at_most("feed.every_hours", feed.every_hours.into(), MOST_HOURS);
    found.at_least("feed.stale_days", feed.stale_days.into(), 1);
    found.at_most("feed.stale_days", feed.stale_days.into(), MOST_DAYS);
}

fn directories(config: &ServerConfig, found: &mut Problems<'_>) {
    let data = &config.data_directory;
    let cache = &config.cache_directory;
    for (key, directory) in [("data_directory", data), ("cache_directory", cache)] {
        if !directory.is_absolute() {
            found.add(key, format!("\"{directory}\" is not an absolute path"));
        }
    }
    if let Some(recipes) = &config.toolchain_recipes
        && !recipes.is_absolute()
    {
        found.add("toolchain_recipes", format!("\"{recipes}\" is not an absolute path"));
    }
    let inside = |inner: &Utf8Path, outer: &Utf8Path| inner.starts_with(outer);
    if inside(data, cache) {
        let message = format!("{data} is in the cache directory, which is safe to delete");
        found.add("data_directory", message);
    } else if inside(cache, data) {
        let message = format!("{cache} is in the data directory; keep what can be deleted apart");
        found.add("cache_directory", message);
    }
}

fn debian(config: &ServerConfig, found: &mut Problems<'_>) {
    let mirrors = [
        ("debian.mirror", &config.debian.mirror),
        ("debian.security_mirror", &config.debian.security_mirror),
    ];
    for (key, mirror) in mirrors {
        if let Some(url) = mirror
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            found.add(key, format!("\"{url}\" is not an http:// or https:// URL"));
        }
    }
    if config.debian.suites.is_empty() {
        found.add("debian.suites", "it is empty, so no kernel would ever be found".to_owned());
    }
    for suite in config.debian.suites.iter().filter(|suite| !is_suite(suite)) {
        found.add("debian.suites", format!("{suite:?} is not the name of a suite"));
    }
}

/// Whether the text may be the name of a suite.
pub(super) fn is_suite(suite: &str) -> bool {
    suite.starts_with(|first: char| first.is_ascii_lowercase())
        && suite.bytes().all(|byte| byte.is_ascii_lowercase() || b"-/.0123456789".contains(&byte))
        && !suite.contains("..")
}

fn sources(config: &ServerConfig, found: &mut Problems<'_>) {
    for (index, message) in source_problems(config) {
        found.add_to_table("source", index, message);
    }
}

struct Problems<'a> {
    text: &'a str,
    problems: Vec<ConfigProblem>,
}

impl Problems<'_> {
    fn add(&mut self, key: &str, message: String) {
        let line = line_of_key(self.text, key);
        self.problems.push(ConfigProblem { key: key.to_owned(), line, message });
    }

    /// Adds a problem of one of the tables `[[NAME]]`, by its index.
    fn add_to_table(&mut self, name: &str, index: usize, message: String) {
        let heading = format!("[[{name}]]");
        let headings = self.text.lines().enumerate();
        let mut headings = headings.filter(|(_, line)| line.trim() == heading);
        let line = headings.nth(index).map(|(line, _)| line + 1);
        self.problems.push(ConfigProblem { key: name.to_owned(), line, message });
    }

    fn at_least(&mut self, key: &str, value: u64, least: u64) {
        if value < least {
            self.add(key, format!("{value} is too little; {least} is the least"));
        }
    }

    fn at_most(&mut self, key: &str, value: u64, most: u64) {
        if value > most {
            self.add(key, format!("{value} is too much; {most} is the most"));
        }
    }
}

/// The line of a key such as `builder.jobs`, if the file has it.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let found = |table: &DeTable<'_>| {
        let mut keys = table.keys();
        keys.find(|known| known.get_ref() == name).map(|known| line_at(text, known.span().start))
    };
    match section {
        "" => found(table.get_ref()),
        section => found(table.get_ref().get(section)?.get_ref().as_table()?),
    }
}
