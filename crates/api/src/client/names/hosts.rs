use std::net::IpAddr;

/// The addresses that a file in the form of `/etc/hosts` gives to a name, each once, in the order of the file.
pub(super) fn addresses_in(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|name| name.eq_ignore_ascii_case(host)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "# 10.0.0.1 server\n127.0.0.1\tlocalhost\n10.0.0.7 server.example server # the one\n\
                         2001:db8::7 Server.Example\n10.0.0.7 server.example\nnonsense server.example\n";

    #[test]
    fn name_has_the_addresses_of_all_its_lines() {
        let expected: Vec<IpAddr> =
            ["10.0.0.7", "2001:db8::7"].map(|text| text.parse().expect("an address")).into();
        for name in ["server.example", "SERVER.example", "server.example."] {
            assert_eq!(addresses_in(HOSTS, name), expected, "{name}");
        }
        assert_eq!(addresses_in(HOSTS, "server"), expected[..1]);
    }

    #[test]
    fn comments_and_parts_of_names_are_no_names() {
        for name in ["example", "the", "one", "10.0.0.7", "#"] {
            assert_eq!(addresses_in(HOSTS, name), Vec::<IpAddr>::new(), "{name}");
        }
    }
}
