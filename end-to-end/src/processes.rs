use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// The processes that a server has started, directly or not, at one moment.
///
/// The tools of a build run in a process namespace of their own: whatever they start later stays
/// in it, so that looking at the namespaces finds those, too.
#[derive(Debug)]
pub struct ProcessTree {
    /// By process id, with the start time that tells it from a later process of the same id.
    members: BTreeMap<u32, Member>,
    /// Process namespaces other than the test's own.
    namespaces: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    start_time: String,
    command: String,
}

impl ProcessTree {
    /// Everything below a process, without itself.
    pub fn below(process: u32) -> Self {
        let own = namespace(std::process::id());
        let mut tree = Self { members: BTreeMap::new(), namespaces: BTreeSet::new() };
        let mut waiting = children(process);
        while let Some(process) = waiting.pop() {
            let Some(member) = Member::read(process) else { continue };
            tree.members.insert(process, member);
            tree.namespaces.extend(namespace(process).filter(|found| Some(found) != own.as_ref()));
            waiting.extend(children(process));
        }
        tree
    }

    /// Whether a program of this name runs.
    pub fn runs(&self, program: &str) -> bool {
        self.members.values().any(|member| member.program() == program)
    }

    /// The command lines of all members that are still there, and of whatever else is in their
    /// namespaces.
    pub fn left(&self) -> Vec<String> {
        let all = fs::read_dir("/proc").expect("proc is mounted").flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter_map(|process| Some((process, Member::read(process)?)))
            .filter(|(process, member)| {
                let is_member = self
                    .members
                    .get(process)
                    .is_some_and(|known| known.start_time == member.start_time);
                is_member || namespace(*process).is_some_and(|at| self.namespaces.contains(&at))
            })
            .map(|(process, member)| format!("{process} {}", member.command))
            .collect()
    }

    /// Waits until none is left.
    ///
    /// # Panics
    /// When there is one after `limit`.
    pub fn must_end_within(&self, limit: Duration) {
        assert!(!self.members.is_empty(), "there was no process to begin with");
        let begin = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(begin.elapsed() < limit, "still there after {limit:?}: {left:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Member {
    /// Reads a process; `None` when it is gone, or dead and only not waited for.
    fn read(process: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The second field, the name in parentheses, may hold anything, also blanks.
        let fields: Vec<&str> = status.rsplit_once(')')?.1.split_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        // Field 22 of proc(5), counted from the third.
        let start_time = (*fields.get(19)?).to_owned();
        let command = fs::read(format!("/proc/{process}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
        Some(Self { start_time, command })
    }

    fn program(&self) -> &str {
        let first = self.command.split(' ').next().unwrap_or_default();
        first.rsplit('/').next().unwrap_or(first)
    }
}

fn namespace(process: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/pid")).ok()
}

fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let texts =
        threads.flatten().filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
    texts
        .flat_map(|text| text.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}
