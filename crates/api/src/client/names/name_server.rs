use std::{io, net::IpAddr, time::Duration};

use hickory_resolver::{
    Resolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords},
    proto::{
        op::ResponseCode,
        rr::{Name, RecordType},
    },
};

use super::{error::Silent, sockets::Sockets};

/// One name server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameServer {
    ip: IpAddr,
    /// The interface behind which a link-local address is; 0 for others.
    scope: u32,
    port: u16,
    /// It is not to be asked by UDP.
    only_tcp: bool,
}

/// What came of asking a name server.
#[derive(Debug)]
pub(super) enum Answer {
    /// At least one.
    Addresses(Vec<IpAddr>),
    /// There is no such name, or it has no address.
    NoSuchName,
    /// Another one may know.
    Nothing(Silent),
}

impl NameServer {
    pub(super) fn new(ip: IpAddr, scope: u32, port: u16, only_tcp: bool) -> Self {
        Self { ip, scope, port, only_tcp }
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Asks for the addresses of a full name, of both kinds at the same time.
    pub(super) async fn ask(&self, name: &Name, patience: Duration, edns0: bool) -> Answer {
        let resolver = match self.resolver(patience, edns0) {
            Ok(resolver) => resolver,
            Err(error) => return Answer::Nothing(self.silent(&error)),
        };
        let (six, four) = tokio::join!(
            resolver.lookup(name.clone(), RecordType::AAAA),
            resolver.lookup(name.clone(), RecordType::A),
        );
        let found: Vec<IpAddr> = [&six, &four].into_iter().flatten().flat_map(addresses).collect();
        if !found.is_empty() {
            return Answer::Addresses(found);
        }
        match [six, four]
            .into_iter()
            .find_map(|asked| asked.err().filter(|error| !is_denial(error)))
        {
            Some(error) => Answer::Nothing(self.silent(&error)),
            None => Answer::NoSuchName,
        }
    }

    fn resolver(&self, patience: Duration, edns0: bool) -> Result<Resolver<Sockets>, NetError> {
        let mut connections = match self.only_tcp {
            true => vec![ConnectionConfig::tcp()],
            false => vec![ConnectionConfig::udp(), ConnectionConfig::tcp()],
        };
        for connection in &mut connections {
            connection.port = self.port;
        }
        let server = NameServerConfig::new(self.ip, true, connections);
        let mut options = ResolverOpts::default();
        options.timeout = patience;
        options.edns0 = edns0;
        // Attempts, order and search list are ours, and nothing is kept: the next time the network may be another.
        options.attempts = 0;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let config = ResolverConfig::from_name_servers(vec![server]);
        Resolver::builder_with_config(config, Sockets::new(self.scope))
            .with_options(options)
            .build()
    }

    fn silent(&self, error: &NetError) -> Silent {
        let (why, answered) = match error {
            NetError::Timeout => return Silent::late(self.ip),
            NetError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Silent::late(self.ip);
            }
            // The library says so of all errors of sockets: nothing listens, no way leads there.
            NetError::NoConnections => ("it cannot be reached".to_owned(), false),
            NetError::Io(error) => (error.to_string(), false),
            NetError::Dns(DnsError::ResponseCode(code)) => (format!("it answered: {code}"), true),
            error => (error.to_string(), true),
        };
        Silent { server: self.ip, why, answered }
    }
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

/// Whether the name server has said that there is nothing.
fn is_denial(error: &NetError) -> bool {
    matches!(
        error,
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NoError | ResponseCode::NXDomain,
            ..
        }))
    )
}
