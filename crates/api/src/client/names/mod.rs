//! The addresses of host names, without the C library.
//!
//! A static program must not ask the C library for them: it loads the modules that `/etc/nsswitch.conf` names, which
//! belong to the machine's own C library, and dies of them when that is a newer one.

mod configuration;
mod error;
mod hosts;
mod name_server;
mod sockets;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use hickory_resolver::proto::rr::Name;
use reqwest::dns::{Addrs, Resolve, Resolving};

use configuration::Configuration;
pub use error::NameError;
use error::Silent;
use name_server::{Answer, NameServer};

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// How long name servers are asked for one name, all attempts together. Less than a connection may take to come about:
/// else the user heard of a connection that took too long, and nothing of name servers.
const ASKING_TIME: Duration = Duration::from_secs(8);

/// How long it may take with all domains in which a name is searched; still less than a connection may take.
const SEARCH_TIME: Duration = Duration::from_secs(9);

/// Looks up host names in files and at the name servers that a file names; nowhere else.
#[derive(Debug, Clone)]
pub(super) struct HostNames {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    port: u16,
}

impl HostNames {
    /// As this machine is set up.
    pub(super) fn of_this_machine() -> Self {
        Self {
            hosts: PathBuf::from("/etc/hosts"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            port: DNS_PORT,
        }
    }

    /// The addresses of `host`, at least one.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        if is_of_this_machine(host.strip_suffix('.').unwrap_or(host)) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        // Many small systems have none.
        let hosts = tokio::fs::read(&self.hosts).await.unwrap_or_default();
        let known = hosts::addresses_in(&String::from_utf8_lossy(&hosts), host);
        if !known.is_empty() {
            return Ok(known);
        }
        let text = tokio::fs::read(&self.resolv_conf).await.map_err(|error| {
            NameError::no_name_server(host, &self.resolv_conf, format!("cannot be read: {error}"))
        })?;
        let own_name = rustix::system::uname();
        let configuration =
            Configuration::parse(&text, &own_name.nodename().to_string_lossy(), self.port);
        match tokio::time::timeout(SEARCH_TIME, search(&configuration, host)).await {
            Ok(Ok(Some(addresses))) => Ok(addresses),
            Ok(Ok(None)) => Err(NameError::unknown(host, &self.hosts, &self.resolv_conf)),
            Ok(Err(_)) if configuration.names_none => Err(NameError::no_name_server(
                host,
                &self.resolv_conf,
                "names none, and on this machine none answers".to_owned(),
            )),
            Ok(Err(silent)) => Err(NameError::unanswered(host, &self.resolv_conf, &silent)),
            Err(_) => {
                let silent = configuration.servers.iter().map(|server| Silent::late(server.ip()));
                Err(NameError::unanswered(host, &self.resolv_conf, &silent.collect::<Vec<_>>()))
            }
        }
    }
}

impl Resolve for HostNames {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            // Whoever connects puts in the port.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Whether a host name, in small letters, always means the machine itself (RFC 6761).
pub(super) fn is_of_this_machine(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// Asks for `host` in one domain after the other. `None`: there is no such name.
async fn search(
    configuration: &Configuration,
    host: &str,
) -> Result<Option<Vec<IpAddr>>, Vec<Silent>> {
    // What is no name has no address.
    let Ok(name) = Name::from_ascii(host) else { return Ok(None) };
    let mut failed = None;
    let mut servers = configuration.servers.clone();
    for question in configuration.questions(&name) {
        match ask_all(configuration, &mut servers, &question).await {
            Ok(Some(addresses)) => return Ok(Some(addresses)),
            Ok(None) => {}
            // A domain of the search list that fails does not stand for the others.
            Err(silent) if silent.iter().any(|server| server.answered) => failed = Some(silent),
            Err(silent) => return Err(silent),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// Asks one name server after the other until one knows. Who is silent comes last from then on, for the next domain, too.
async fn ask_all(
    configuration: &Configuration,
    servers: &mut Vec<NameServer>,
    question: &Name,
) -> Result<Option<Vec<IpAddr>>, Vec<Silent>> {
    let mut silent = Vec::new();
    for _ in 0..configuration.attempts {
        silent.clear();
        for server in servers.clone() {
            match server.ask(question, configuration.patience(), configuration.edns0).await {
                Answer::Addresses(addresses) => return Ok(Some(addresses)),
                Answer::NoSuchName => return Ok(None),
                Answer::Nothing(why) => {
                    silent.push(why);
                    servers.retain(|other| *other != server);
                    servers.push(server);
                }
            }
        }
    }
    Err(silent)
}
