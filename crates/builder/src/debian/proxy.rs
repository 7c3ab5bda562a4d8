//! The machine's own proxy settings, which the private apt and curl follow.

use std::process::Command;

/// The proxy that the machine's own apt uses for http, for curl.
pub(super) fn machine_proxy() -> Option<String> {
    let name = "Acquire::http::Proxy";
    let output = Command::new("apt-config").args(["shell", "proxy", name]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = text.trim().strip_prefix("proxy=")?.trim_matches('\'').to_owned();
    (!value.is_empty() && value != "DIRECT").then_some(value)
}

/// The machine's own proxy and TLS settings for apt, as configuration lines.
pub(super) fn machine_proxies() -> Vec<String> {
    let Ok(output) = Command::new("apt-config").args(["dump", "Acquire"]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| {
            let lower = line.to_ascii_lowercase();
            lower.starts_with("acquire::http")
                && ["proxy", "cainfo", "sslcert", "sslkey", "verify"]
                    .iter()
                    .any(|w| lower.contains(w))
        })
        .map(str::to_owned)
        .collect()
}
