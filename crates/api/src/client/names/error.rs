use std::{net::IpAddr, path::Path};

/// Why a host name has no address. Each text says all: it is shown without what is around it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Neither the file of hosts nor a name server has the name.
    #[error("no such host: neither {hosts} nor a name server of {resolv_conf} has {host}")]
    Unknown {
        /// The name.
        host: String,
        /// The file of hosts.
        hosts: String,
        /// The file that names the name servers.
        resolv_conf: String,
    },
    /// The file of hosts does not have the name, and there is no name server to ask.
    #[error("no name server: {resolv_conf} {reason}; it is needed for {host}")]
    NoNameServer {
        /// The name.
        host: String,
        /// The file that should name the name servers.
        resolv_conf: String,
        /// What is wrong with the file.
        reason: String,
    },
    /// No name server said whether there is such a name.
    #[error("no name server of {resolv_conf} tells the address of {host}: {silent}")]
    Unanswered {
        /// The name.
        host: String,
        /// The file that names the name servers.
        resolv_conf: String,
        /// The name servers, and what came of asking each.
        silent: String,
    },
}

/// A name server that did not say whether there is a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silent {
    pub(super) server: IpAddr,
    pub(super) why: String,
    /// It is there, and said that it cannot tell.
    pub(super) answered: bool,
}

impl Silent {
    /// One that did not answer in time.
    pub(super) fn late(server: IpAddr) -> Self {
        Self { server, why: "no answer in time".to_owned(), answered: false }
    }
}

impl NameError {
    pub(super) fn unknown(host: &str, hosts: &Path, resolv_conf: &Path) -> Self {
        NameError::Unknown {
            host: host.to_owned(),
            hosts: hosts.display().to_string(),
            resolv_conf: resolv_conf.display().to_string(),
        }
    }

    pub(super) fn no_name_server(host: &str, resolv_conf: &Path, reason: String) -> Self {
        let resolv_conf = resolv_conf.display().to_string();
        NameError::NoNameServer { host: host.to_owned(), resolv_conf, reason }
    }

    pub(super) fn unanswered(host: &str, resolv_conf: &Path, silent: &[Silent]) -> Self {
        let silent = silent.iter().map(|silent| format!("{} ({})", silent.server, silent.why));
        NameError::Unanswered {
            host: host.to_owned(),
            resolv_conf: resolv_conf.display().to_string(),
            silent: silent.collect::<Vec<_>>().join(", "),
        }
    }
}
