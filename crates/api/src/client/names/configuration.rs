use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use resolv_conf::{Config, ScopedIp};

use super::{ASKING_TIME, name_server::NameServer};

/// The most that a file may ask for, as in glibc (`resolv.h`): `RES_MAXRETRY`, `RES_MAXRETRANS` and `RES_MAXNDOTS`.
const MOST_ATTEMPTS: u32 = 5;
const MOST_TIMEOUT_SECONDS: u32 = 30;
const MOST_NDOTS: u32 = 15;

/// What a file in the form of `/etc/resolv.conf` says.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) servers: Vec<NameServer>,
    /// The file has no name server: then it is one on this machine (`resolv.conf(5)`).
    pub(super) names_none: bool,
    pub(super) attempts: u32,
    pub(super) edns0: bool,
    search: Vec<Name>,
    /// With as many dots a name is asked for as it is before it is searched in the domains.
    ndots: u32,
    timeout: Duration,
}

impl Configuration {
    /// Reads the file; what cannot be understood is passed over, as by the C library. Without a domain or a search
    /// list, the machine's own name tells the domain.
    pub(super) fn parse(text: &[u8], own_name: &str, port: u16) -> Self {
        let (mut config, _) = Config::parse_with_errors(text);
        // Three name servers.
        config.glibc_normalize();
        let names_none = config.nameservers.is_empty();
        let servers = config.get_nameservers_or_local();
        let mut domains: Vec<&str> =
            config.get_last_search_or_domain().map(String::as_str).collect();
        if config.get_domain().is_none() && config.get_search().is_none() {
            domains.extend(own_name.split_once('.').map(|(_, domain)| domain));
        }
        Self {
            servers: servers
                .iter()
                .map(|server| name_server(server, port, config.use_vc))
                .collect(),
            names_none,
            attempts: config.attempts.clamp(1, MOST_ATTEMPTS),
            edns0: config.edns0,
            search: domains.iter().filter_map(|domain| Name::from_ascii(domain).ok()).collect(),
            ndots: config.ndots.min(MOST_NDOTS),
            timeout: Duration::from_secs(config.timeout.clamp(1, MOST_TIMEOUT_SECONDS).into()),
        }
    }

    /// The names to ask for, one after the other, when `name` is looked for.
    pub(super) fn questions(&self, name: &Name) -> Vec<Name> {
        let mut itself = name.clone();
        itself.set_fqdn(true);
        if name.is_fqdn() {
            return vec![itself];
        }
        let dots = u32::from(name.num_labels()).saturating_sub(1);
        let searched =
            self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut questions: Vec<Name> = searched.collect();
        let place = if dots >= self.ndots { 0 } else { questions.len() };
        questions.insert(place, itself);
        questions
    }

    /// How long one name server is waited for: as the file says, but so that all can be asked.
    pub(super) fn patience(&self) -> Duration {
        let tries =
            u32::try_from(self.servers.len()).unwrap_or(u32::MAX).saturating_mul(self.attempts);
        self.timeout.min(ASKING_TIME / tries.max(1))
    }
}

fn name_server(server: &ScopedIp, port: u16, only_tcp: bool) -> NameServer {
    let interface = match server {
        ScopedIp::V6(_, interface) => interface.as_deref(),
        ScopedIp::V4(_) => None,
    };
    NameServer::new(server.into(), interface.map_or(0, interface_number), port, only_tcp)
}

/// The number by which the kernel calls a network interface; 0 when there is none.
fn interface_number(interface: &str) -> u32 {
    interface.parse().unwrap_or_else(|_| {
        // The name is letters and digits.
        let said = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"));
        said.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(text: &str, own_name: &str, name: &str) -> Vec<String> {
        let configuration = Configuration::parse(text.as_bytes(), own_name, 53);
        let name = Name::from_ascii(name).expect("a name");
        configuration.questions(&name).iter().map(Name::to_string).collect()
    }

    #[test]
    fn names_with_few_dots_are_searched_first() {
        let text = "search one.example two.example\nnameserver 10.0.0.1\n";
        let both = ["server.one.example.", "server.two.example."];
        assert_eq!(questions(text, "own", "server"), [both[0], both[1], "server."]);
        let dotted = ["a.server.", "a.server.one.example.", "a.server.two.example."];
        assert_eq!(questions(text, "own", "a.server"), dotted);
        let more = format!("{text}options ndots:2\n");
        assert_eq!(questions(&more, "own", "a.server"), [dotted[1], dotted[2], dotted[0]]);
        assert_eq!(questions(text, "own", "server."), ["server."]);
    }

    #[test]
    fn machines_own_name_tells_the_domain_where_the_file_does_not() {
        assert_eq!(questions("", "own.example.org", "server"), ["server.example.org.", "server."]);
        assert_eq!(questions("search .\n", "own.example.org", "server")[0], "server.");
        let text = "domain other.example\n";
        assert_eq!(questions(text, "own.example.org", "server")[0], "server.other.example.");
    }

    #[test]
    fn file_without_name_server_means_one_on_this_machine() {
        let configuration = Configuration::parse(b"# nothing\n", "own", 53);
        assert!(configuration.names_none);
        assert!(configuration.servers.iter().all(|server| server.ip().is_loopback()));
    }

    #[test]
    fn all_name_servers_are_asked_within_the_time_for_a_connection() {
        let text = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver fe80::1%lo\nnameserver 10.0.0.4\n";
        let configuration = Configuration::parse(text.as_bytes(), "own", 53);
        assert_eq!(configuration.servers.len(), 3);
        assert_eq!(configuration.patience(), ASKING_TIME / 6);
        let hasty = format!("{text}options timeout:1 attempts:1\n");
        let hasty = Configuration::parse(hasty.as_bytes(), "own", 53);
        assert_eq!((hasty.patience(), hasty.attempts), (Duration::from_secs(1), 1));
    }
}
