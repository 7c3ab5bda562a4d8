//! When which tool ran: read from the server's log.

use jiff::{SignedDuration, Timestamp};

/// The compiler (behind make), make, and kpatch's tools with those that its build script calls.
/// What else runs in the sandbox (`patch`, `cp`) is ours to answer for.
const FOREIGN_TOOLS: [&str; 5] = ["make", "create-diff-object", "ld", "strip", "create-klp-module"];

/// One run of a tool in the sandbox.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolRun {
    /// The program's name.
    pub tool: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl ToolRun {
    /// Whether it is the compiler, make or one of kpatch's.
    pub fn is_foreign(&self) -> bool {
        FOREIGN_TOOLS.contains(&self.tool.as_str())
    }
}

/// The runs that a server's log tells of and that lie in the span.
pub fn tool_runs(log: &str, (from, to): (Timestamp, Timestamp)) -> Vec<ToolRun> {
    log.lines().filter_map(read).filter(|run| run.began >= from && run.ended <= to).collect()
}

/// Reads `2026-11-23T16:04:56Z DEBUG tool ended tool="make" step=compile milliseconds=1.5`.
fn read(line: &str) -> Option<ToolRun> {
    let (time, fields) = line.split_once(" DEBUG ")?;
    let fields = fields.strip_prefix("tool ended ")?;
    let field = |name: &str| {
        fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let ended: Timestamp = time.trim().parse().ok()?;
    let seconds = field("milliseconds")?.parse::<f64>().ok()? / 1000.0;
    let began = ended.checked_sub(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()?;
    Some(ToolRun { tool: field("tool")?.trim_matches('"').to_owned(), began, ended })
}

/// The time in which at least one of the tools ran, in seconds.
pub fn union_seconds<'a>(runs: impl IntoIterator<Item = &'a ToolRun>) -> f64 {
    let mut spans: Vec<(Timestamp, Timestamp)> =
        runs.into_iter().map(|run| (run.began, run.ended)).collect();
    spans.sort();
    let mut covered = 0.0;
    let mut until = Timestamp::MIN;
    for (began, ended) in spans {
        if ended > until {
            covered += ended.duration_since(began.max(until)).as_secs_f64();
            until = ended;
        }
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
warning: there is no authentication yet
2026-11-23T16:00:01.000000Z  INFO build begins build=1 attempt=1
2026-11-23T16:00:03.000000Z DEBUG tool ended tool=\"make\" step=compile milliseconds=2000.0
2026-11-23T16:00:04.000000Z DEBUG tool ended tool=\"make\" step=compile milliseconds=2500.0
2026-11-23T16:00:04.500000Z DEBUG tool ended tool=\"cp\" step=link milliseconds=40.5
2026-11-23T16:00:06.000000Z DEBUG tool ended tool=\"ld\" step=link milliseconds=1000
2026-11-23T16:00:30.000000Z DEBUG tool ended tool=\"make\" step=compile milliseconds=900.0
";

    fn time(second: &str) -> Timestamp {
        format!("2026-11-23T16:00:{second}Z").parse().expect("a time")
    }

    #[test]
    fn runs_of_the_span_are_read_and_other_lines_left_out() {
        let runs = tool_runs(LOG, (time("00"), time("10")));
        let names: Vec<&str> = runs.iter().map(|run| run.tool.as_str()).collect();
        assert_eq!(names, ["make", "make", "cp", "ld"]);
        assert_eq!((runs[1].began, runs[1].ended), (time("01.5"), time("04")));
    }

    #[test]
    fn time_in_which_two_tools_ran_side_by_side_counts_once() {
        let runs = tool_runs(LOG, (time("00"), time("10")));
        let foreign = runs.iter().filter(|run| run.is_foreign());
        assert_eq!(union_seconds(foreign), 3.0 + 1.0);
    }
}
