use std::error::Error;

use anstyle::{AnsiColor, Style};
use elivepatch_api::{
    ErrorCode,
    client::{CertificatePin, ClientError, NameError, ServerUrl, TransportError},
};
use elivepatch_model::{Failure, FailureClass, Fault, with_causes};
use serde::Serialize;

use crate::{
    exit::Exit,
    output::{Level, release, say_at},
    text::{printable, printable_lines},
};

/// Why the program does not end with success, as it is printed once, at the end.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(skip)]
    exit: Exit,
    message: String,
    causes: Vec<String>,
    details: Vec<String>,
    hint: Option<String>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    error: &'a Problem,
}

impl Problem {
    /// A problem with nothing but its message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message, causes: Vec::new(), details: Vec::new(), hint: None }
    }

    /// The same for programs.
    pub fn as_json(&self) -> impl Serialize + '_ {
        ProblemJson { error: self }
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Something that the user gave is at fault.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Exit::Input, message)
    }

    /// The command line cannot be understood.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What can be done, when something is said of that.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What is wrong with its causes, in one line.
    pub fn in_one_line(&self) -> String {
        let causes = self.causes.iter().map(String::as_str);
        std::iter::once(self.message.as_str()).chain(causes).collect::<Vec<_>>().join(": ")
    }

    /// Adds the causes: the error and what is behind it.
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Says what the user can do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a line that belongs to it.
    pub fn aside(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// The same with another exit code.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// What a failed call means. `server` is where it went.
    pub fn from_client(error: &ClientError, server: &ServerUrl) -> Self {
        match error {
            ClientError::Unreachable {
                source: TransportError::Certificate { expected: Some(expected), seen, .. },
                ..
            } => Self::other_certificate(server, expected, seen),
            ClientError::Unreachable { .. } => Self::new(Exit::Server, error.to_string())
                .root_cause(error)
                .hint(unreachable_hint(error, server)),
            ClientError::Unencrypted { .. } => Self::input(error.to_string()).hint(format!(
                "write its address with https: --url {}",
                server.as_str().replacen("http://", "https://", 1)
            )),
            ClientError::Lost { .. } => {
                let hint =
                    "try the same command again; an equal request joins the build that is there";
                Self::new(Exit::Server, error.to_string()).root_cause(error).hint(hint)
            }
            ClientError::Api { error, .. } => match &error.failure {
                Some(failure) => Self::from_failure("the request was refused", failure),
                None => Self::from_code(error),
            },
            ClientError::Protocol { .. } => Self::new(Exit::Server, error.to_string())
                .hint(format!("is this an elivepatch server? see: curl {server}/api/v2/version")),
            ClientError::TooLarge { .. } | ClientError::Digest { .. } => {
                Self::new(Exit::Server, error.to_string())
                    .hint("look at the server's log; something is wrong with it or on the way")
            }
            // What rustls' verifier says.
            ClientError::Invalid { .. } if with_causes(error).contains("No CA certificates") => {
                Self::new(Exit::Input, "this machine has no root certificates to know a server by")
                    .hint("install them (the package ca-certificates)")
            }
            ClientError::Invalid { .. } => {
                Self::new(Exit::Bug, error.to_string()).root_cause(error).hint(REPORT_HINT)
            }
        }
    }

    fn other_certificate(
        server: &ServerUrl,
        expected: &CertificatePin,
        seen: &CertificatePin,
    ) -> Self {
        Self::new(Exit::Server, format!("the server at {server} has another certificate"))
            .aside(format!("it must have {expected}"))
            .aside(format!("it has       {seen}"))
            .hint(
                "somebody else may answer there. Compare on the server: elivepatch-server certificate; when it was \
                 renewed, give the new one with --server-certificate, and enrol hosts again",
            )
    }

    fn from_code(error: &elivepatch_api::ApiError) -> Self {
        let exit = match error.code {
            ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::TooLarge
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden => Exit::Input,
            ErrorCode::RequestRefused => Exit::Input,
            ErrorCode::QueueFull | ErrorCode::DiskFull | ErrorCode::Internal => Exit::Server,
            // The client made a request that no client should make.
            ErrorCode::BadRequest | ErrorCode::MethodNotAllowed | ErrorCode::LeaseLost => Exit::Bug,
        };
        let mut problem = Self::new(exit, printable(&error.message)).hint(printable(&error.hint));
        if error.code == ErrorCode::BadRequest {
            problem.details.push(OLDER_SERVER.to_owned());
        }
        if matches!(exit, Exit::Server | Exit::Bug) {
            let line =
                format!("the server's log has it as request {}", printable(&error.request_id));
            problem.details.push(line);
        }
        problem
    }

    /// What a build failure means. `what` says what failed: the build, or the request.
    pub fn from_failure(what: &str, failure: &Failure) -> Self {
        let place = match failure.step {
            Some(step) => format!("{what} in step {step}"),
            None => what.to_owned(),
        };
        let message = format!("{place}: {} ({})", printable(&failure.message), failure.class);
        Self {
            exit: failure_exit(failure.class),
            message,
            causes: Vec::new(),
            details: failure.details.iter().map(|line| printable(line)).collect(),
            hint: Some(printable(&failure.hint)),
        }
    }

    /// Prints the problem to standard error and gives the exit code.
    pub fn report(&self) -> Exit {
        // What was kept back belongs to it.
        release();
        let red = AnsiColor::Red.on_default().bold();
        let cyan = AnsiColor::Cyan.on_default().bold();
        print_labelled(Level::Error, "error", red, &self.message);
        for cause in &self.causes {
            let cause = printable_lines(cause).replace('\n', "\n  ");
            print_labelled(Level::Error, "caused by", Style::new().bold(), &cause);
        }
        for detail in &self.details {
            say_at(Level::Error, &format!("  {detail}"));
        }
        if let Some(hint) = self.hint.as_ref().filter(|hint| !hint.is_empty()) {
            print_labelled(Level::Error, "hint", cyan, hint);
        }
        self.exit
    }

    /// Adds the innermost cause only: what HTTP libraries say around it tells nobody anything.
    fn root_cause(mut self, error: &dyn Error) -> Self {
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        self.causes.push(innermost.to_string());
        self
    }
}

/// What may be behind a request that the server does not understand.
const OLDER_SERVER: &str = "a server of an older version does not know all that this client can send; \
    compare elivepatch --version with GET /api/v2/version of the server";

/// What to do about a bug.
pub const REPORT_HINT: &str =
    "this is a bug in elivepatch; please report it with the command and this output";

/// Prints a warning to standard error.
pub fn warn(message: &str) {
    print_labelled(Level::Warning, "warning", AnsiColor::Yellow.on_default().bold(), message);
}

fn print_labelled(level: Level, label: &str, style: Style, text: &str) {
    say_at(level, &format!("{style}{label}{style:#}: {text}"));
}

fn failure_exit(class: FailureClass) -> Exit {
    match (class, class.fault()) {
        (FailureClass::Internal, _) => Exit::Bug,
        (_, Fault::Request) => Exit::Input,
        (_, Fault::Patch) => Exit::Build,
        (_, Fault::Infrastructure) => Exit::Server,
    }
}

fn unreachable_hint(error: &ClientError, server: &ServerUrl) -> String {
    if let Some(name) = name_error(error) {
        return name_hint(name).to_owned();
    }
    // What rustls says of a certificate, and of what does not speak TLS at all.
    let text = with_causes(error);
    let plain = server.as_str().replacen("https://", "http://", 1);
    if text.contains("invalid peer certificate") {
        "a server that has made its certificate itself is known by its fingerprint: --server-certificate SHA256, as \
         elivepatch-server certificate prints it on the server"
            .to_owned()
    } else if text.contains("InvalidContentType") {
        format!("the server does not encrypt; when that is meant to be so: --url {plain}")
    } else if server.is_loopback() {
        "is the server running here? start it with: elivepatch-server".to_owned()
    } else if server.is_encrypted() {
        format!("check the address; a server without TLS needs its scheme: --url {plain}")
    } else {
        format!("check the address and that the server listens there: curl {server}/api/v2/version")
    }
}

/// Why a host name has no address, when that is behind it.
fn name_error(error: &ClientError) -> Option<&NameError> {
    let mut next = Some(error as &dyn Error);
    while let Some(error) = next {
        if let Some(name) = error.downcast_ref() {
            return Some(name);
        }
        next = error.source();
    }
    None
}

fn name_hint(error: &NameError) -> &'static str {
    match error {
        NameError::Unknown { .. } => {
            "check the name; one that only mDNS or a directory service knows must stand in /etc/hosts"
        }
        NameError::NoNameServer { .. } => {
            "name one in /etc/resolv.conf (nameserver ADDRESS), write the host into /etc/hosts, or give its IP address"
        }
        NameError::Unanswered { .. } => {
            "is the network up, and are these the name servers of this network? Else write the host into /etc/hosts, or \
             give its IP address"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_class_has_the_exit_code_of_its_fault() {
        for class in FailureClass::ALL {
            let failure = Failure::new(*class, "m", "h");
            let exit = Problem::from_failure("the build failed", &failure).exit;
            let expected: &[Exit] = match class.fault() {
                Fault::Request => &[Exit::Input],
                Fault::Patch => &[Exit::Build],
                Fault::Infrastructure => &[Exit::Server, Exit::Bug],
            };
            assert!(expected.contains(&exit), "{class}: {exit:?}");
        }
    }

    #[test]
    fn text_of_the_server_cannot_drive_the_terminal() {
        let failure =
            Failure::new(FailureClass::CompileFailed, "a\u{1b}]0;title\u{7}", "b\u{1b}[2J")
                .with_details(["c\u{1b}[1m".to_owned()]);
        let problem = Problem::from_failure("the build failed", &failure);
        assert!(!problem.message.contains('\u{1b}'));
        assert!(!problem.details[0].contains('\u{1b}'));
        assert!(!problem.hint.expect("a hint").contains('\u{1b}'));
    }
}
