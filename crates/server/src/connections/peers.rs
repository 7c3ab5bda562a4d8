use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many connections each address has.
#[derive(Debug)]
pub(super) struct Peers {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<IpAddr, usize>,
    /// Those that the log was told about, until they have no connection any more.
    told: HashSet<IpAddr>,
}

/// One connection's place among those of its address, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    peers: Arc<Peers>,
    /// None where there is no limit.
    network: Option<IpAddr>,
}

impl Peers {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    /// A place for one more connection of `address`, if it has not too many. The log is told once, not for each.
    pub(super) fn turn(self: &Arc<Self>, address: IpAddr) -> Option<Turn> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Some(Turn { peers: Arc::clone(self), network: None });
        }
        let network = network_of(address);
        let mut open = self.open();
        let connections = open.connections.entry(network).or_default();
        if *connections >= self.limit {
            if open.told.insert(network) {
                let limit = self.limit;
                tracing::warn!(%network, limit, "too many connections of one address: further ones are closed");
            }
            return None;
        }
        *connections += 1;
        Some(Turn { peers: Arc::clone(self), network: Some(network) })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        let mut open = self.peers.open();
        let Some(connections) = open.connections.get_mut(&network) else { return };
        *connections -= 1;
        if *connections == 0 {
            open.connections.remove(&network);
            open.told.remove(&network);
        }
    }
}

/// What belongs to one client: an IPv4 address, or the 48 bits of an IPv6 address that name a site, which has all networks
/// and addresses in it (RFC 6177).
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_has_no_more_connections_than_its_limit_and_others_have_their_own() {
        let peers = Arc::new(Peers::new(2));
        let turn = |address: &str| peers.turn(address.parse().expect("an address"));
        let first = turn("192.0.2.1").expect("one");
        let _second = turn("::ffff:192.0.2.1").expect("two");
        assert!(turn("192.0.2.1").is_none());
        let _other = turn("192.0.2.2").expect("another one");
        drop(first);
        let _again = turn("192.0.2.1").expect("one has gone");
        assert!(turn("192.0.2.1").is_none());
    }

    #[test]
    fn network_of_ipv6_is_one_client_and_this_machine_has_no_limit() {
        let peers = Arc::new(Peers::new(1));
        let turn = |address: &str| peers.turn(address.parse().expect("an address"));
        let _first = turn("2001:db8::1").expect("one");
        assert!(turn("2001:db8::2").is_none());
        assert!(turn("2001:db8:0:1::1").is_none());
        let _other = turn("2001:db8:1::1").expect("another network");
        let _here: Vec<_> = (0..5).map(|_| turn("127.0.0.1").expect("no limit")).collect();
        let _here: Vec<_> = (0..5).map(|_| turn("::1").expect("no limit")).collect();
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let peers = Arc::new(Peers::new(1));
        let turn = peers.turn("192.0.2.1".parse().expect("an address"));
        assert!(peers.turn("192.0.2.1".parse().expect("an address")).is_none());
        drop(turn);
        let open = peers.open();
        assert!(open.connections.is_empty() && open.told.is_empty());
    }
}
