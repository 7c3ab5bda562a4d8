//! The report as an OpenVEX document (version 0.2.0), for scanners.

use elivepatch_api::RunCve;
use elivepatch_cve::{Applicability, Group};
use elivepatch_model::Sha256Digest;
use serde::Serialize;

use super::{
    product::package_url,
    report::Report,
    words::{action, group_of, reason},
};

/// By what an earlier document is known as elivepatch's own.
pub const MARK: &str = "\"tooling\": \"elivepatch ";

const CONTEXT: &str = "https://openvex.dev/ns/v0.2.0";

/// The namespace that OpenVEX has for documents of everybody.
const NAMESPACE: &str = "https://openvex.dev/docs/public/vex-";

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@context")]
    context: &'a str,
    #[serde(rename = "@id")]
    id: String,
    author: &'a str,
    timestamp: String,
    version: u32,
    tooling: String,
    statements: Vec<Statement>,
}

#[derive(Serialize)]
struct Statement {
    vulnerability: Vulnerability,
    products: [Product; 1],
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_notes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    justification: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_statement: Option<String>,
}

#[derive(Serialize)]
struct Vulnerability {
    #[serde(rename = "@id")]
    id: String,
    name: String,
    description: String,
}

#[derive(Clone, Serialize)]
struct Product {
    #[serde(rename = "@id")]
    id: String,
    identifiers: Identifiers,
}

#[derive(Clone, Serialize)]
struct Identifiers {
    purl: String,
}

/// The document; `None` when there is nothing to state: one without statements is not valid.
///
/// It has the CVEs that the report lists. Those that never were in the kernel's version, and those that are no
/// CVEs, are not in it: a scanner that goes by the version does not ask about them, and there are ten thousand
/// of them.
pub fn openvex(report: &Report, server: &str) -> Option<String> {
    let purl = package_url(&report.target, &report.grounds.linux_version);
    let product = Product { id: purl.clone(), identifiers: Identifiers { purl } };
    let statements: Vec<_> =
        report.cves.iter().filter_map(|cve| statement(cve, report, &product)).collect();
    if statements.is_empty() {
        return None;
    }
    let tooling = concat!("elivepatch ", env!("CARGO_PKG_VERSION"));
    let author = format!("elivepatch, for the server {server}");
    let mut document = Document {
        context: CONTEXT,
        id: String::new(),
        author: &author,
        timestamp: report.at.to_string(),
        version: 1,
        tooling: tooling.to_owned(),
        statements,
    };
    // The same content has the same name, and other content another: so its version stays 1.
    let content = serde_json::to_vec(&document).expect("plain data");
    document.id = format!("{NAMESPACE}{}", Sha256Digest::of(&content));
    let mut text = serde_json::to_string_pretty(&document).expect("plain data");
    text.push('\n');
    Some(text)
}

fn statement(cve: &RunCve, report: &Report, product: &Product) -> Option<Statement> {
    let verdict = cve.result.verdict();
    let told = || Some(format!("{verdict}: {}", reason(cve)));
    let fixed = |notes| ("fixed", notes, None, None);
    // Its schema wants a justification or an impact statement, and not both: what is known beside the
    // justification is in the notes.
    let not_present = || ("not_affected", told(), Some("vulnerable_code_not_present"), None);
    let affected = || ("affected", told(), None, Some(action(cve)));
    let (status, notes, justification, action_statement) = match group_of(verdict) {
        Group::FixedLive => match &cve.result.applicability {
            Applicability::AlreadyLive { .. } => fixed(told()),
            _ => fixed(Some(live_note(report))),
        },
        Group::NotInKernel => not_present(),
        Group::NotAffected => match (&cve.result.outcome, &cve.result.applicability) {
            (None, Applicability::Rejected) => return None,
            (None, Applicability::NotAffected) => not_present(),
            _ => fixed(told()),
        },
        // Whether the kernel has the code is not known, and nothing that was tried has shown it.
        Group::Open | Group::NoFixYet | Group::WaitsForPerson | Group::LeftOut
            if is_unsure(cve) =>
        {
            ("under_investigation", told(), None, None)
        }
        // The code is in the kernel, and in its version the flaw is not fixed. That a livepatch may be made
        // changes nothing before it is.
        _ => affected(),
    };
    let status_notes = match (status, report.grounds.is_upper_bound) {
        ("affected", true) => Some(format!(
            "{}; the distribution may carry a fix that the version does not tell",
            notes.unwrap_or_default()
        )),
        _ => notes,
    };
    Some(Statement {
        vulnerability: Vulnerability {
            id: format!("https://www.cve.org/CVERecord?id={}", cve.result.id),
            name: cve.result.id.to_string(),
            description: cve.title.clone(),
        },
        products: [product.clone()],
        status,
        status_notes,
        justification,
        action_statement,
    })
}

/// Whether it is not known that the kernel has the code: no base shows where it is linked to.
fn is_unsure(cve: &RunCve) -> bool {
    matches!(&cve.result.applicability, Applicability::Candidate { parents, .. } if parents.is_empty())
}

fn live_note(report: &Report) -> String {
    let livepatch = report.run.as_ref().and_then(|run| run.livepatch.as_ref());
    match livepatch {
        Some(livepatch) => format!(
            "fixed where the livepatch {} (sha256 {}) is loaded: /sys/kernel/livepatch/{0}/enabled is 1",
            livepatch.name, livepatch.digest
        ),
        None => "fixed where the livepatch of this run is loaded".to_owned(),
    }
}

#[cfg(test)]
#[path = "openvex_tests.rs"]
mod tests;
