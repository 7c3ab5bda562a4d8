use std::fmt;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The page, as [`crate::Page::path`].
    pub page: String,
    /// The line of its opening fence, counted from 1.
    pub line: usize,
    /// What stands behind the opening fence.
    pub language: String,
    /// Its text, without the indentation of the fence.
    pub text: String,
    /// What the comment before it says.
    pub mark: Option<Mark>,
}

/// What becomes of a block in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It is run; `stays` when its last command goes on.
    Run {
        /// Where.
        place: Place,
        /// Whether its last command goes on beside what follows.
        stays: bool,
    },
    /// It is not run, for this reason.
    NotRun(String),
    /// It is the text of a file.
    Write {
        /// On which machine.
        place: Place,
        /// Which file.
        path: String,
    },
    /// It is what the block before it prints.
    Output,
    /// Something that is none of these.
    Unknown(String),
}

/// Where a block is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// As root on the machine with the server.
    Server,
    /// As root on the machine that is patched.
    Host,
    /// Where somebody uses the client or the API, on a machine that is not patched.
    Client,
    /// In a small Debian in which the packages are installed: `scripts/test-packages.sh`.
    Package,
}

impl Block {
    /// Whether it holds commands.
    pub fn is_commands(&self) -> bool {
        ["sh", "console", "crontab"].contains(&self.language.as_str())
    }

    /// The commands as a script for a shell. Of a console these are the lines behind a prompt, of a crontab what is
    /// behind the times and the user.
    pub fn script(&self) -> String {
        let line = |line: &str| match self.language.as_str() {
            "console" => {
                let command = line.strip_prefix("# ").or_else(|| line.strip_prefix("$ "));
                command.map(str::to_owned)
            }
            "crontab" => {
                let is_job = line.starts_with(|first: char| first.is_ascii_digit() || first == '*');
                let fields = line.split_whitespace().collect::<Vec<_>>();
                (is_job && fields.len() > 6).then(|| fields[6..].join(" "))
            }
            _ => Some(line.to_owned()),
        };
        self.text.lines().filter_map(line).fold(String::new(), |script, line| script + &line + "\n")
    }
}

impl Mark {
    /// Reads what is between `<!--` and `-->`; `None` for a comment that is no mark.
    pub(crate) fn read(comment: &str) -> Option<Self> {
        let comment = comment.trim();
        if comment == "output" {
            return Some(Self::Output);
        }
        let (kind, rest) = comment.split_once(':')?;
        let rest = rest.trim();
        let unknown = || Self::Unknown(comment.to_owned());
        Some(match kind.trim() {
            "not run" => Self::NotRun(rest.to_owned()),
            "run" => {
                let (place, stays) = match rest.split_once(',') {
                    Some((place, how)) if how.trim() == "stays" => (place, true),
                    Some(_) => return Some(unknown()),
                    None => (rest, false),
                };
                Place::read(place).map_or_else(unknown, |place| Self::Run { place, stays })
            }
            "write" => {
                let place = rest
                    .split_once(',')
                    .and_then(|(place, path)| Some((Place::read(place)?, path.trim().to_owned())));
                place.map_or_else(unknown, |(place, path)| Self::Write { place, path })
            }
            _ => return None,
        })
    }
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "server" => Self::Server,
            "host" => Self::Host,
            "client" => Self::Client,
            "package" => Self::Package,
            _ => return None,
        })
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.page, self.line)
    }
}
