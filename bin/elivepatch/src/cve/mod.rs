//! What became of a kernel's CVEs, for people and for programs: on the terminal, as HTML, as OpenVEX.

mod changes;
mod chart;
mod explain;
mod html;
mod openvex;
mod product;
mod report;
mod report_file;
mod state;
mod summary;
mod tables;
mod words;

pub use self::{
    changes::Changes,
    explain::explain,
    html::{MARK as HTML_MARK, html},
    openvex::{MARK as OPENVEX_MARK, openvex},
    report::{LivepatchNote, Report, groups},
    report_file::ReportFile,
    state::{Remembered, StateFile, StateKey, last_module},
    summary::{dry_run, finished, hints},
    tables::{Filter, VERDICTS, list, listed},
    words::{Tense, doubts, is_exposed, sentence},
};

#[cfg(test)]
pub mod fixtures;
