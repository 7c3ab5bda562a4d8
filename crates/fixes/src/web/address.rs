//! Which addresses are asked.

use std::net::IpAddr;

use reqwest::Url;

/// What stands for the commit in a template.
pub(super) const PLACEHOLDER: &str = "SHA";

/// What is wrong with a template of addresses; `None`: nothing.
pub fn template_problem(template: &str) -> Option<String> {
    let Ok(url) = Url::parse(template) else {
        return Some(format!("{template:?} is not an address"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some(
            "an address with a user or password in it would be shown to others".to_owned(),
        );
    }
    let problem = match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => {
            Some("http is for this machine only, since anybody on the way could change a fix")
        }
        _ => Some("it is neither https nor, on this machine, http"),
    };
    if let Some(problem) = problem {
        return Some(format!("{template:?}: {problem}"));
    }
    let (_, rest) = template.split_once("://").unwrap_or_default();
    let (_, path) = rest.split_once(['/', '?']).unwrap_or_default();
    match (path.matches(PLACEHOLDER).count(), template.matches(PLACEHOLDER).count()) {
        (1, 1) => None,
        _ => Some(format!(
            "{template:?} must have {PLACEHOLDER} once, behind the server's name, where the commit stands"
        )),
    }
}

/// Whether an address is of this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The address that a server leads to. Kernel.org's short address leads to a page about the commit, beside
/// which cgit has its patch.
pub(super) fn patch_address(from: &Url, to: &str) -> Result<Url, &'static str> {
    let mut to = from.join(to).map_err(|_| "which is not an address")?;
    if to.scheme() != from.scheme() {
        return Err("which is another protocol");
    }
    if to.scheme() == "http" && !is_loopback(&to) {
        return Err("which is not on this machine, by http");
    }
    if from.scheme() == "https" && is_loopback(&to) && !is_loopback(from) {
        return Err("which is on this machine");
    }
    let page = to.path().strip_suffix("/commit/").map(str::to_owned);
    if let Some(repository) = page
        && to.query_pairs().any(|(key, _)| key == "id")
    {
        to.set_path(&format!("{repository}/patch/"));
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_leak_or_can_be_changed_on_the_way_are_refused() {
        for template in [
            "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git/patch/?id=SHA",
            "https://git.kernel.org/stable/c/SHA",
            "http://127.0.0.1:8080/SHA.patch",
            "http://[::1]/?SHA",
            "http://localhost/SHA",
        ] {
            assert_eq!(template_problem(template), None, "{template}");
        }
        for (template, expected) in [
            ("SHA.patch", "is not an address"),
            ("https://me:pw@example.org/SHA", "would be shown"),
            ("http://localhost@example.org/SHA", "would be shown"),
            ("http://example.org/SHA", "http is for this machine only"),
            ("http://localhost.example.org/SHA", "http is for this machine only"),
            ("file:///srv/SHA.patch", "neither https nor"),
            ("https://example.org/", "must have SHA once"),
            ("https://SHA.example.org/SHA", "must have SHA once"),
            ("https://SHA.example.org/", "must have SHA once"),
        ] {
            let problem = template_problem(template).unwrap_or_default();
            assert!(problem.contains(expected), "{template}: {problem}");
        }
    }

    #[test]
    fn server_leads_to_the_patch_beside_a_page_and_nowhere_else() {
        let from = |text: &str| Url::parse(text).expect("an address");
        let kernel_org = from("https://git.kernel.org/stable/c/abc");
        let to = "/pub/scm/linux/kernel/git/stable/linux.git/commit/?id=abc";
        assert_eq!(
            patch_address(&kernel_org, to).expect("one").as_str(),
            "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git/patch/?id=abc"
        );
        let local = from("http://127.0.0.1:1/abc");
        for (from, to) in [
            (&kernel_org, "http://git.kernel.org/abc"),
            (&kernel_org, "file:///etc/passwd"),
            (&kernel_org, "https://127.0.0.1/abc"),
            (&local, "http://example.org/abc"),
            (&local, "https://example.org/abc"),
        ] {
            assert!(patch_address(from, to).is_err(), "{to}");
        }
        assert!(patch_address(&local, "/other").is_ok());
    }
}
