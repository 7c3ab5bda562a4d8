use super::CveArgs;
use crate::{
    cve::{self, Report, ReportFile},
    output::say,
    problem::{Problem, warn},
    server::Server,
};

/// The files that the report is written to.
pub struct Reports {
    html: Option<ReportFile>,
    openvex: Option<ReportFile>,
}

impl Reports {
    /// Looks whether they may be written: better now than after hours.
    pub fn open(arguments: &CveArgs) -> Result<Self, Problem> {
        let force = arguments.force;
        let open = |path: &Option<std::path::PathBuf>, mark| {
            path.as_ref().map(|path| ReportFile::open(path, mark, force)).transpose()
        };
        let html = open(&arguments.html, cve::HTML_MARK)?;
        let openvex = open(&arguments.openvex, cve::OPENVEX_MARK)?;
        if let (Some(html), Some(openvex)) = (&html, &openvex)
            && html.path() == openvex.path()
        {
            return Err(Problem::usage("--html and --openvex name the same file")
                .hint("give each a file of its own"));
        }
        Ok(Self { html, openvex })
    }

    /// Writes them.
    pub fn write(&self, report: &Report, server: &Server) -> Result<(), Problem> {
        if let Some(file) = &self.html {
            file.write(&cve::html(report, server.url.as_str()))?;
            say(&format!("report: {}", file.path().display()));
        }
        let Some(file) = &self.openvex else { return Ok(()) };
        match cve::openvex(report, server.url.as_str()) {
            Some(text) => {
                file.write(&text)?;
                say(&format!("OpenVEX document: {}", file.path().display()));
            }
            // An earlier one would go on saying what is not so any more; but it is not ours to remove.
            None => warn(&format!(
                "{} is not written: there is no CVE to state anything about, and an OpenVEX document \
                 without statements is not valid",
                file.path().display()
            )),
        }
        Ok(())
    }
}
