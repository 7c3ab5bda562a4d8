//! The REST API v1.0 of the first elivepatch: one request orders a build and waits for its end, another one with
//! the same session fetches the module. There are no tokens in it; what a session ordered is known to whoever
//! knows its UUID.

mod intake;
mod outcome;
mod release;
mod room;

use elivepatch_model::{KernelRelease, Role, SessionId};

use super::{App, AppError, Caller};
use crate::config::V1Limits;

pub use intake::{V1Intake, V1Outcome};
pub use room::V1Place;

pub(super) use room::V1Room;

/// What the first elivepatch said whenever there was nothing to be had.
const NOT_THE_PATCHES: &str = "These are not the patches you are looking for";

/// What clients of the REST API v1.0 may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V1Options {
    /// Whether their orders for kernels that are built here are taken without proof, where the policy allows that.
    pub accept_unproven: bool,
    /// How much of the server they get.
    pub limits: V1Limits,
}

/// What an old client says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Session {
    /// What it calls its session.
    pub id: SessionId,
    /// The version of the kernel, as it names it.
    pub version: KernelRelease,
}

impl App {
    /// Who sends a request of the REST API v1.0 from `address`.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] when this server does not answer such requests.
    pub fn v1_caller(&self, address: Option<std::net::IpAddr>) -> Result<Caller, AppError> {
        self.v1_options()?;
        let from = address.map_or_else(String::new, |address| format!(" at {address}"));
        let name = format!("a client of the REST API v1.0{from}");
        Ok(Caller { role: Role::Submit, token: None, name, host: None })
    }

    /// What such clients may do.
    fn v1_options(&self) -> Result<&V1Options, AppError> {
        self.inner.options.v1.as_ref().ok_or_else(|| AppError::Forbidden {
            message: "the REST API v1.0 is switched off on this server".to_owned(),
            hint: "its administrator can switch it on: v1 = true under [compat] in the config; or use the client of this \
                   elivepatch, with a token"
                .to_owned(),
        })
    }

    /// Whether a session has ordered its build already.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn knows_session(&self, session: &SessionId) -> Result<bool, AppError> {
        Ok(self.store().build_of_session(session).await?.is_some())
    }
}

impl AppError {
    /// The answer of the first elivepatch when there is nothing to be had; `why` in today's words.
    pub(crate) fn not_the_patches(why: impl Into<String>) -> Self {
        Self::Forbidden { message: NOT_THE_PATCHES.to_owned(), hint: why.into() }
    }

    /// The answer of the first elivepatch when it had no source of a kernel; `why` in today's words.
    fn no_gentoo_sources(why: impl Into<String>) -> Self {
        Self::Forbidden { message: "gentoo-sources not available".to_owned(), hint: why.into() }
    }
}
