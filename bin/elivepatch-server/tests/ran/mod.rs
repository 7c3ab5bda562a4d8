//! A command that has ended, and what it said.

use std::process::Output;

/// A command that has ended.
pub struct Run(pub Output);

impl Run {
    /// Standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// It has done what it was told.
    pub fn succeeds(self) -> Self {
        assert_eq!(self.0.status.code(), Some(0), "{}", self.stderr());
        self
    }

    /// It has ended with this code, and said all of this on standard error.
    pub fn fails(self, code: i32, expected: &[&str]) {
        let told = self.stderr();
        assert_eq!(self.0.status.code(), Some(code), "{told}");
        for part in expected {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
