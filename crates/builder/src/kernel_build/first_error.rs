//! The first error of a kernel's build: with several compilers at once, the last lines of the
//! output are about something else.

/// What lines hold that say why something could not be made. A compiler's `error:` is the best
/// there is; make's `***` only says what was being made.
const CAUSES: [&str; 10] = [
    " error: ",
    "fatal error: ",
    "undefined reference to",
    "cannot find ",
    "undefined!",
    "command not found",
    ": not found",
    "Permission denied",
    "Traceback (most recent call last)",
    "internal compiler error",
];

/// How many lines from the first error on are kept.
const KEPT: usize = 12;

/// Watches the output of make for its first error.
#[derive(Debug, Default)]
pub(super) struct FirstError {
    cause: Vec<String>,
    stopped: Vec<String>,
}

impl FirstError {
    /// Looks at a line.
    pub(super) fn line(&mut self, line: &str) {
        if line.contains("*** ") && line.starts_with("make") {
            if self.stopped.len() < KEPT {
                self.stopped.push(line.to_owned());
            }
        } else if !self.cause.is_empty() {
            if self.cause.len() < KEPT && !is_progress(line) {
                self.cause.push(line.to_owned());
            }
        } else if is_cause(line) {
            self.cause.push(line.to_owned());
        }
    }

    /// The first error, in one line; `None` when nothing looked like one.
    pub(super) fn summary(&self) -> Option<&str> {
        self.cause.first().or(self.stopped.first()).map(|line| line.trim())
    }

    /// The error with what follows it, and what make says of it.
    pub(super) fn details(self) -> Vec<String> {
        self.cause.into_iter().chain(self.stopped).collect()
    }
}

fn is_cause(line: &str) -> bool {
    // objtool and modpost begin their lines with ERROR; -Werror and Kconfig's "error:" too.
    line.starts_with("ERROR: ")
        || line.starts_with("error: ")
        || CAUSES.iter().any(|cause| line.contains(cause))
}

/// Whether it is one of Kbuild's `  CC      fs/exec.o`.
fn is_progress(line: &str) -> bool {
    line.starts_with("  ")
        && line.trim_start().starts_with(|first: char| first.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> FirstError {
        let mut first = FirstError::default();
        text.lines().for_each(|line| first.line(line));
        first
    }

    #[test]
    fn compilers_first_error_wins_over_what_comes_later() {
        let first = read(
            "  CC      fs/a.o\nfs/a.c: In function 'f':\n\
             fs/a.c:3:2: error: 'x' undeclared (first use in this function)\n    3 |  x = 1;\n\
             \x20 CC      fs/b.o\nmake[3]: *** [scripts/Makefile.build:229: fs/a.o] Error 1\n\
             fs/c.c:9:1: error: another\nmake[2]: *** [scripts/Makefile.build:478: fs] Error 2\n\
             make: *** [Makefile:251: __sub-make] Error 2\n",
        );
        assert_eq!(
            first.summary(),
            Some("fs/a.c:3:2: error: 'x' undeclared (first use in this function)")
        );
        let details = first.details();
        assert_eq!(details[1], "    3 |  x = 1;");
        assert!(details.iter().any(|line| line.contains("fs/a.o] Error 1")), "{details:?}");
        assert!(details.iter().all(|line| !line.contains("fs/b.o")), "{details:?}");
    }

    #[test]
    fn without_a_cause_make_itself_is_heard() {
        let first = read(
            "  CC      certs/x.o\nmake[2]: *** No rule to make target 'debian/certs/x.pem', needed \
             by 'certs/x509.genkey'.  Stop.\nmake: *** [Makefile:251: __sub-make] Error 2\n",
        );
        assert!(first.summary().is_some_and(|line| line.contains("debian/certs/x.pem")));
    }

    #[test]
    fn errors_of_linker_modpost_and_objtool_are_seen() {
        for line in [
            "ld: fs/a.o: in function `f': (.text+0x5): undefined reference to `g'",
            "ERROR: modpost: \"g\" [fs/b.ko] undefined!",
            "/bin/sh: 1: bison: not found",
        ] {
            assert_eq!(read(line).summary(), Some(line));
        }
        assert_eq!(read("  CC      lib/error.o\nfs/a.c:1:1: warning: x\n").summary(), None);
    }
}
