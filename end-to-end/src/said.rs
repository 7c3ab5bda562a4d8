//! What a machine said while a script ran on it.

/// What a command printed, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Standard output and error.
    pub output: String,
    /// The exit code.
    pub code: i32,
}

/// What a machine said.
#[derive(Debug)]
pub struct Said {
    pub(crate) text: String,
}

impl Said {
    /// All that was said.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// What a command said and how it ended, by its name in the script.
    ///
    /// # Panics
    /// When it was not run.
    pub fn of(&self, name: &str) -> Ran {
        let begin = format!("==> {name}\n");
        let end = format!("<== {name} ");
        let rest = self.text.split_once(&begin);
        let (_, rest) = rest.unwrap_or_else(|| panic!("{name} was not run:\n{}", self.text));
        let (output, rest) =
            rest.split_once(&end).unwrap_or_else(|| panic!("{name} did not end:\n{}", self.text));
        let code = rest.lines().next().and_then(|code| code.trim().parse().ok());
        Ran { output: output.to_owned(), code: code.expect("an exit code") }
    }

    /// What a process used that the script watched: `watch NAME PID SECONDS`.
    ///
    /// # Panics
    /// When it was not watched to the end.
    pub fn used(&self, name: &str) -> Used {
        let output = self.done(name);
        Used::read(&output).unwrap_or_else(|| panic!("{name}: {output}"))
    }

    /// The output of a command that must have ended with 0.
    ///
    /// # Panics
    /// When it did not.
    pub fn done(&self, name: &str) -> String {
        let ran = self.of(name);
        assert_eq!(ran.code, 0, "{name}: {}\nall:\n{}", ran.output, self.text);
        ran.output
    }
}

/// What a process used while it was watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// The most memory that it has ever had, in KiB (`VmHWM`).
    pub peak_kib: u64,
    /// What it had at the end, in KiB (`VmRSS`).
    pub resident_kib: u64,
    /// How long it ran on processors, in seconds: user and kernel time.
    pub cpu_seconds: f64,
    /// How long it was watched, in seconds.
    pub seconds: f64,
}

impl Used {
    /// Reads what `watch` has printed.
    fn read(text: &str) -> Option<Self> {
        /// `USER_HZ`, which is 100 on x86-64: the unit of times in `/proc/PID/stat`.
        const TICKS: f64 = 100.0;
        let lines: Vec<&str> = text.lines().collect();
        let [uptime, stat, uptime_after, stat_after, rest @ ..] = &lines[..] else { return None };
        let seconds = |line: &str| line.split(' ').next()?.parse::<f64>().ok();
        // The name in brackets may hold spaces. Behind it the times are the 12th and 13th field.
        let ticks = |line: &str| {
            let mut fields = line.rsplit_once(')')?.1.split_whitespace().skip(11);
            let mut next = || fields.next()?.parse::<f64>().ok();
            Some(next()? + next()?)
        };
        let kib = |name: &str| {
            let line = rest.iter().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self {
            peak_kib: kib("VmHWM")?,
            resident_kib: kib("VmRSS")?,
            cpu_seconds: (ticks(stat_after)? - ticks(stat)?) / TICKS,
            seconds: seconds(uptime_after)? - seconds(uptime)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_used_is_the_difference_of_its_times() {
        let stat = |user: u32, system: u32| {
            format!("77 (a (b) c) S 1 77 77 0 -1 4194560 9 0 0 0 {user} {system} 0 0 20 0 1 0 5 6")
        };
        let text = format!(
            "100.50 180.00\n{}\n700.75 990.00\n{}\nVmHWM:\t   12345 kB\nVmRSS:\t    9000 kB\n",
            stat(10, 5),
            stat(30, 20)
        );
        let expected =
            Used { peak_kib: 12_345, resident_kib: 9000, cpu_seconds: 0.35, seconds: 600.25 };
        assert_eq!(Used::read(&text), Some(expected));
        assert_eq!(Used::read("100.50 180.00\n"), None);
    }
}
