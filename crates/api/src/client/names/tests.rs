use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Instant,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record},
    serialize::binary::{BinDecodable, BinEncodable},
};
use tokio::net::UdpSocket;

use super::*;

/// A name server on this machine that knows a few names, and refuses to speak of those that end with `.refused`.
struct NameServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl NameServer {
    async fn start(names: &'static [(&'static str, &'static str)]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let address = socket.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.expect("a question");
                let question = Message::from_bytes(&buffer[..length]).expect("a message");
                let answer = answer(question, names).to_bytes().expect("a message");
                socket.send_to(&answer, from).await.expect("sent");
            }
        });
        Self { address, task }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(question: Message, names: &[(&str, &str)]) -> Message {
    let query = question.queries[0].clone();
    let asked = query.name().to_ascii();
    let mut answer = question.into_response();
    if asked.ends_with(".refused.") {
        answer.metadata.response_code = ResponseCode::Refused;
        return answer;
    }
    let mut known = names.iter().filter(|(name, _)| *name == asked).peekable();
    if known.peek().is_none() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    for (_, address) in known {
        let data = RData::from(IpAddr::from_str(address).expect("an address"));
        if data.record_type() == query.query_type() {
            answer.answers.push(Record::from_rdata(query.name().clone(), 60, data));
        }
    }
    answer
}

/// A machine with these two files.
struct Machine {
    directory: std::path::PathBuf,
    names: HostNames,
}

impl Machine {
    /// Its name servers listen at `port`. Without a text it has no such file.
    fn new(name: &str, hosts: Option<&str>, resolv_conf: Option<&str>, port: u16) -> Self {
        let directory =
            std::env::temp_dir().join(format!("elivepatch-names-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let names = HostNames {
            hosts: directory.join("hosts"),
            resolv_conf: directory.join("resolv.conf"),
            port,
        };
        for (path, text) in [(&names.hosts, hosts), (&names.resolv_conf, resolv_conf)] {
            if let Some(text) = text {
                fs::write(path, text).expect("own file");
            }
        }
        Self { directory, names }
    }

    async fn addresses(&self, host: &str) -> Vec<String> {
        let found =
            self.names.addresses(host).await.unwrap_or_else(|error| panic!("{host}: {error}"));
        found.iter().map(IpAddr::to_string).collect()
    }

    /// The error, with the directory left out.
    async fn error(&self, host: &str) -> String {
        let error = self.names.addresses(host).await.expect_err(host).to_string();
        error.replace(&self.directory.display().to_string(), "")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const ONE: &str = "nameserver 127.0.0.1\nsearch example.org\n";

/// A port of this machine at which nobody listens.
fn closed_port() -> u16 {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.local_addr().expect("bound").port()
}

#[tokio::test]
async fn name_server_tells_addresses_of_both_kinds() {
    let server = NameServer::start(&[
        ("server.example.", "10.0.0.7"),
        ("server.example.", "2001:db8::7"),
        ("four.example.", "10.0.0.4"),
        ("six.example.", "2001:db8::6"),
        ("short.example.org.", "10.0.0.5"),
    ])
    .await;
    let machine = Machine::new("both", None, Some(ONE), server.address.port());
    assert_eq!(machine.addresses("server.example").await, ["2001:db8::7", "10.0.0.7"]);
    assert_eq!(machine.addresses("server.example.").await, ["2001:db8::7", "10.0.0.7"]);
    assert_eq!(machine.addresses("four.example").await, ["10.0.0.4"]);
    assert_eq!(machine.addresses("six.example").await, ["2001:db8::6"]);
    assert_eq!(machine.addresses("short").await, ["10.0.0.5"]);
}

#[tokio::test]
async fn hosts_file_is_asked_first_and_needs_no_name_server() {
    let server = NameServer::start(&[("server.example.", "10.0.0.7")]).await;
    let hosts = Some("10.0.0.9 server.example\n");
    let machine = Machine::new("hosts", hosts, Some(ONE), server.address.port());
    assert_eq!(machine.addresses("server.example").await, ["10.0.0.9"]);
    let alone = Machine::new("hosts-alone", hosts, None, DNS_PORT);
    assert_eq!(alone.addresses("Server.Example").await, ["10.0.0.9"]);
}

#[tokio::test]
async fn localhost_is_this_machine_whatever_the_files_say() {
    let machine = Machine::new("localhost", Some("10.0.0.9 localhost\n"), None, DNS_PORT);
    for name in ["localhost", "localhost.", "server.localhost"] {
        assert_eq!(machine.addresses(name).await, ["127.0.0.1", "::1"], "{name}");
    }
}

#[tokio::test]
async fn absent_files_are_told_by_name() {
    let machine = Machine::new("absent", None, None, DNS_PORT);
    assert_eq!(
        machine.error("server.example").await,
        "no name server: /resolv.conf cannot be read: No such file or directory (os error 2); it is needed for \
         server.example"
    );
    let empty = Machine::new("empty", None, Some("# nothing\n"), closed_port());
    assert_eq!(
        empty.error("server.example").await,
        "no name server: /resolv.conf names none, and on this machine none answers; it is needed for server.example"
    );
}

#[tokio::test]
async fn name_that_nobody_has_is_told_from_a_name_server_that_is_not_there() {
    let server = NameServer::start(&[]).await;
    let machine = Machine::new("unknown", None, Some(ONE), server.address.port());
    let unknown = "no such host: neither /hosts nor a name server of /resolv.conf has ";
    for name in ["server.example", "server", "a..b"] {
        assert_eq!(machine.error(name).await, format!("{unknown}{name}"));
    }
    assert_eq!(
        machine.error("server.refused").await,
        "no name server of /resolv.conf tells the address of server.refused: 127.0.0.1 (it answered: Query Refused)"
    );
    let away = Machine::new("away", None, Some(ONE), closed_port());
    let begin = Instant::now();
    assert_eq!(
        away.error("server.example").await,
        "no name server of /resolv.conf tells the address of server.example: 127.0.0.1 (it cannot be reached)"
    );
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn name_server_that_is_silent_is_not_waited_for_longer_than_the_file_says() {
    let server = NameServer::start(&[("server.example.", "10.0.0.7")]).await;
    let port = server.address.port();
    let silent = UdpSocket::bind(("127.0.0.2", port)).await.expect("the port is free there, too");
    let options = "options timeout:2 attempts:1\n";
    let first = format!("nameserver 127.0.0.2\n{ONE}{options}");
    let machine = Machine::new("silent-first", None, Some(&first), port);
    let begin = Instant::now();
    assert_eq!(machine.addresses("server.example").await, ["10.0.0.7"]);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());

    // It is waited for once, and not in each domain.
    let searched = "search a.example b.example c.example example\noptions timeout:3 attempts:1\n";
    let machine = Machine::new(
        "searched",
        None,
        Some(&format!("nameserver 127.0.0.2\n{ONE}{searched}")),
        port,
    );
    assert_eq!(machine.addresses("server").await, ["10.0.0.7"]);

    let alone = format!("nameserver 127.0.0.2\n{options}");
    let machine = Machine::new("silent", None, Some(&alone), port);
    assert_eq!(
        machine.error("server.example").await,
        "no name server of /resolv.conf tells the address of server.example: 127.0.0.2 (no answer in time)"
    );
    drop(silent);
}

#[tokio::test]
async fn files_are_read_anew_for_each_name() {
    let server = NameServer::start(&[("server.example.", "10.0.0.7")]).await;
    let machine = Machine::new("anew", None, None, server.address.port());
    assert!(machine.error("server.example").await.starts_with("no name server: "));
    fs::write(&machine.names.resolv_conf, ONE).expect("own file");
    assert_eq!(machine.addresses("server.example").await, ["10.0.0.7"]);
    fs::write(&machine.names.hosts, "10.0.0.8 server.example\n").expect("own file");
    assert_eq!(machine.addresses("server.example").await, ["10.0.0.8"]);
}
