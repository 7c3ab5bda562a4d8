use std::path::PathBuf;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use elivepatch_api::{AssessedCve, AssessmentRequest, AssessmentResource};
use elivepatch_cve::CveId;
use elivepatch_model::{Architecture, KernelRelease, TargetFacts};

use crate::{
    cve_report,
    exit::Exit,
    output::say,
    problem::{Problem, warn},
    report,
    server::ServerArgs,
    target::{self, baseline::BaselineArgs, facts_file, running::RunningKernel},
    text::printable,
};

/// The verdicts that a list can be limited to.
const VERDICTS: [&str; 5] = ["candidate", "mainline-only", "no-fix", "not-loaded", "not-built"];

/// `elivepatch cve`.
#[derive(Debug, Args)]
pub struct CveArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only say which CVEs matter. It must be given: this version builds no livepatch of them yet
    #[arg(long, required = true)]
    dry_run: bool,
    /// The kernel, as uname -r prints it there [default: the running one]
    #[arg(short = 'a', long, value_name = "RELEASE", conflicts_with = "facts")]
    kernel: Option<KernelRelease>,
    /// What elivepatch facts has saved on the machine
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// The version of Linux, such as 6.1.176, where neither release nor facts tell it
    #[arg(long, value_name = "VERSION")]
    linux_version: Option<String>,
    /// List the CVEs with this verdict; give it again for more
    #[arg(long, value_name = "VERDICT", value_parser = verdicts())]
    verdict: Vec<String>,
    /// List only CVEs with at least this CVSS score, 0.0 to 10.0, and those without a score
    #[arg(long, value_name = "SCORE", value_parser = severity, requires = "verdict")]
    severity: Option<f32>,
    /// Look at these CVEs only; give it again for more
    #[arg(long, value_name = "CVE")]
    only: Vec<CveId>,
    /// Leave these CVEs out; give it again for more
    #[arg(long, value_name = "CVE")]
    exclude: Vec<CveId>,
    /// Explain a CVE in full; give it again for more
    #[arg(long, value_name = "CVE")]
    explain: Vec<CveId>,
    /// Print all that may matter as JSON
    #[arg(long, conflicts_with_all = ["verdict", "severity", "explain"])]
    json: bool,
}

fn verdicts() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(VERDICTS)
}

fn severity(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(score) if (0.0..=10.0).contains(&score) => Ok(score),
        _ => Err("a score is a number from 0.0 to 10.0".to_owned()),
    }
}

/// Says which CVEs matter on a kernel.
pub async fn run(arguments: &CveArgs) -> Result<Exit, Problem> {
    let target = target(arguments)?;
    let server = arguments.server.open()?;
    let named = arguments.explain.iter().chain(&arguments.only).copied();
    let request = AssessmentRequest {
        target,
        linux_version: arguments.linux_version.clone(),
        explain: named.collect(),
    };
    let assessed = server.client.assess(&request).await.map_err(|error| server.problem(&error))?;
    say_doubts(&assessed);
    if let Some(problem) = missing(&request.explain, &assessed) {
        return Err(problem);
    }
    let assessed = limited(assessed, arguments);
    if arguments.json {
        report::print_json(&assessed)?;
        return Ok(Exit::Done);
    }
    for id in &arguments.explain {
        let cve = assessed.cves.iter().find(|cve| cve.id == *id);
        cve_report::explain(cve.expect("it was asked for"), &assessed)?;
    }
    if arguments.explain.is_empty() {
        cve_report::summary(&request.target.release, &assessed)?;
        cve_report::list(&listed(&assessed, arguments))?;
    }
    Ok(Exit::Done)
}

/// What is wrong when a CVE that was asked for is not in the answer.
fn missing(asked: &[CveId], assessed: &AssessmentResource) -> Option<Problem> {
    let is_missing = |id: &&CveId| !assessed.cves.iter().any(|cve| cve.id == **id);
    let id = asked.iter().find(is_missing)?;
    let fault = assessed.faults.iter().find(|fault| fault.id == *id);
    Some(match fault {
        Some(fault) => Problem::input(format!(
            "the record of {id} in the server's feed cannot be used: {}",
            printable(&fault.reason)
        ))
        .hint("it was never read whole; look at what the kernel's CVE team says of it"),
        None => Problem::input(format!("the server's feed has no {id}"))
            .hint("look whether it is one of the kernel's, and how old the feed is"),
    })
}

/// The kernel that is asked about.
fn target(arguments: &CveArgs) -> Result<TargetFacts, Problem> {
    if let Some(path) = &arguments.facts {
        return Ok(facts_file::read(path)?.facts);
    }
    if let Some(release) = &arguments.kernel {
        return Ok(TargetFacts::new(release.clone(), Architecture::X86_64));
    }
    let kernel = RunningKernel::inspect();
    let none = BaselineArgs { paths: Vec::new(), none: true };
    Ok(target::collect_facts(&kernel, None, &none)?.facts)
}

fn say_doubts(assessed: &AssessmentResource) {
    for doubt in doubts(assessed) {
        warn(&doubt);
    }
    if assessed.base.is_none() && assessed.base_doubt.is_none() {
        say(
            "the server has no base of this kernel: all code counts as built (elivepatch-server base warm \
             makes one)",
        );
    }
}

/// What makes the answer less sure than it looks.
fn doubts(assessed: &AssessmentResource) -> Vec<String> {
    let mut doubts = Vec::new();
    if assessed.feed_is_stale {
        doubts.push(format!(
            "the server's CVE feed is of {} and was last read at {}: newer CVEs are not in this",
            assessed.feed_data_at, assessed.feed_read_at
        ));
    }
    if assessed.faulty > 0 {
        doubts.push(format!(
            "{} records of the server's feed cannot be used: what is new in them is not in this \
             (elivepatch-server feed faults)",
            assessed.faulty
        ));
    }
    let is_told = |id: CveId| assessed.cves.iter().any(|cve| cve.id == id);
    for fault in assessed.faults.iter().filter(|fault| is_told(fault.id)) {
        doubts.push(format!(
            "{} is told as it was before its record became unusable: {}",
            fault.id,
            printable(&fault.reason)
        ));
    }
    if assessed.is_upper_bound {
        doubts.push(
            "this distribution may carry fixes that the version does not tell: the kernel may have fewer \
             flaws than this says"
                .to_owned(),
        );
    }
    if let Some(doubt) = &assessed.base_doubt {
        let doubt = printable(doubt);
        doubts.push(format!("no base of this kernel is used: {doubt}; all code counts as built"));
    }
    doubts
}

/// The CVEs that the command line is about. The counts stay those of all.
fn limited(mut assessed: AssessmentResource, arguments: &CveArgs) -> AssessmentResource {
    assessed.cves.retain(|cve| {
        (arguments.only.is_empty() || arguments.only.contains(&cve.id))
            && !arguments.exclude.contains(&cve.id)
            || arguments.explain.contains(&cve.id)
    });
    assessed
}

/// The CVEs that are to be listed.
fn listed<'a>(assessed: &'a AssessmentResource, arguments: &CveArgs) -> Vec<&'a AssessedCve> {
    let is_asked = |cve: &&AssessedCve| {
        let verdict = cve.applicability.verdict();
        let score = cve.cvss.as_ref().map(|cvss| cvss.score);
        let is_named = !arguments.only.is_empty() || arguments.verdict.iter().any(|v| v == verdict);
        is_named && arguments.severity.is_none_or(|least| score.is_none_or(|score| score >= least))
    };
    assessed.cves.iter().filter(is_asked).collect()
}

#[cfg(test)]
mod tests {
    use elivepatch_api::FaultyCve;

    use super::*;

    fn answer() -> AssessmentResource {
        let answer = serde_json::json!({
            "linux_version": "6.1.176", "version_origin": "as asked for", "is_upper_bound": false,
            "feed_data_at": "2026-08-21T00:00:00Z", "feed_read_at": "2026-08-22T00:00:00Z",
            "feed_is_stale": false, "faulty": 0, "counts": {}, "cves": [],
        });
        serde_json::from_value(answer).expect("an answer")
    }

    fn fault(id: &str) -> FaultyCve {
        let id = id.parse().expect("a name");
        FaultyCve { id, reason: "it has no dyads".to_owned() }
    }

    #[test]
    fn faulty_cve_is_told_with_its_reason_and_an_unknown_one_without() {
        let mut assessed = answer();
        assessed.faults = vec![fault("CVE-2026-1111")];
        let told = |asked: &str| {
            let asked = [asked.parse().expect("a name")];
            format!("{:?}", missing(&asked, &assessed))
        };
        let (faulty, unknown) = (told("CVE-2026-1111"), told("CVE-2026-2222"));
        assert!(faulty.contains("cannot be used: it has no dyads"), "{faulty}");
        assert!(unknown.contains("feed has no CVE-2026-2222"), "{unknown}");
        assert!(missing(&[], &assessed).is_none());
    }

    #[test]
    fn each_doubt_is_told() {
        let mut assessed = answer();
        assert_eq!(doubts(&assessed), Vec::<String>::new());
        assessed.feed_is_stale = true;
        assessed.faulty = 2;
        assessed.is_upper_bound = true;
        assessed.base_doubt = Some("the bases one and two differ".to_owned());
        assessed.faults = vec![fault("CVE-2026-1111")];
        assessed.cves = vec![AssessedCve {
            id: assessed.faults[0].id,
            title: String::new(),
            description: None,
            cvss: None,
            program_files: Vec::new(),
            applicability: elivepatch_cve::Applicability::NotAffected,
        }];
        let told = doubts(&assessed);
        for (line, part) in told.iter().zip([
            "is of 2026-08-21T00:00:00Z and was last read at 2026-08-22T00:00:00Z",
            "2 records of the server's feed cannot be used",
            "CVE-2026-1111 is told as it was before its record became unusable: it has no dyads",
            "may carry fixes",
            "the bases one and two differ; all code counts as built",
        ]) {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(told.len(), 5);
    }
}
