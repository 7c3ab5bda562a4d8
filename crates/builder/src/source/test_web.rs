//! For tests: a web server on the loopback interface that does what mirrors do wrong, and keys to sign
//! with.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};

/// What is answered for a path.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) content: Vec<u8>,
    /// The address that it leads to instead.
    pub(crate) redirect: Option<String>,
    /// The next answers break off after so many bytes.
    pub(crate) cuts: Vec<usize>,
    /// Nothing comes after the first byte.
    pub(crate) stalls: bool,
    /// The size is not told before.
    pub(crate) hides_size: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Web {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    pub(crate) address: String,
}

impl Web {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let web = Self { address, ..Self::default() };
        let server = web.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = server.clone();
                // A client that hangs up is no fault of the server.
                thread::spawn(move || drop(server.answer(connection)));
            }
        });
        web
    }

    pub(crate) fn put(&self, path: &str, answer: Answer) {
        self.answers.lock().expect("nobody panicked").insert(path.to_owned(), answer);
    }

    pub(crate) fn put_content(&self, path: &str, content: &[u8]) {
        self.put(path, Answer { content: content.to_vec(), ..Answer::default() });
    }

    /// Takes a path away.
    pub(crate) fn remove(&self, path: &str) {
        self.answers.lock().expect("nobody panicked").remove(path);
    }

    /// How often a path was asked for.
    pub(crate) fn requests(&self, path: &str) -> usize {
        let requests = self.requests.lock().expect("nobody panicked");
        requests.iter().filter(|request| *request == path).count()
    }

    fn answer(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut start = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if let Some(range) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
                start = range.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            }
            if header.trim().is_empty() {
                break;
            }
        }
        self.requests.lock().expect("nobody panicked").push(path.clone());
        let mut answers = self.answers.lock().expect("nobody panicked");
        let Some(answer) = answers.get_mut(&path) else {
            let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return connection.write_all(head.as_bytes());
        };
        if let Some(to) = &answer.redirect {
            let head = format!(
                "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            return connection.write_all(head.as_bytes());
        }
        let whole = answer.content.len();
        let mut body = answer.content[start.min(whole)..].to_vec();
        let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
        let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
        if !answer.hides_size {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        if start > 0 {
            head.push_str(&format!(
                "Content-Range: bytes {start}-{}/{whole}\r\n",
                whole.max(1) - 1
            ));
        }
        connection.write_all(format!("{head}\r\n").as_bytes())?;
        if !answer.cuts.is_empty() {
            body.truncate(answer.cuts.remove(0));
        }
        let stalls = answer.stalls;
        drop(answers);
        if stalls {
            connection.write_all(&body[..1])?;
            thread::sleep(Duration::from_secs(30));
            return Ok(());
        }
        connection.write_all(&body)
    }
}

/// A key of its own, made on the spot.
pub(crate) struct Key {
    home: Utf8PathBuf,
    /// When it signs, as gpg takes times.
    time: Option<&'static str>,
    pub(crate) keyring: Utf8PathBuf,
}

impl Key {
    pub(crate) fn new(directory: &Utf8Path, name: &str) -> Self {
        Self::made_at(directory, name, None, "never")
    }

    /// One that was valid for a day in 2020, and signs then.
    pub(crate) fn expired(directory: &Utf8Path, name: &str) -> Self {
        Self::made_at(directory, name, Some("20200101T000000!"), "1d")
    }

    fn made_at(
        directory: &Utf8Path,
        name: &str,
        time: Option<&'static str>,
        expires: &str,
    ) -> Self {
        let home = directory.join(format!("gnupg-{name}"));
        fs_err::create_dir_all(&home).expect("own directory");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs_err::set_permissions(&home, mode).expect("own directory");
        let key = Self { home, time, keyring: directory.join(format!("{name}.gpg")) };
        key.gpg(&["--passphrase", "", "--quick-generate-key", "t@t", "rsa2048", "sign", expires]);
        key.gpg(&["--output", key.keyring.as_str(), "--export"]);
        key
    }

    fn gpg(&self, arguments: &[&str]) {
        let mut gpg = Command::new("gpg");
        gpg.args(["--homedir", self.home.as_str(), "--batch", "--quiet", "--yes"]);
        if let Some(time) = self.time {
            gpg.args(["--faked-system-time", time]);
        }
        let output = gpg.args(arguments).output().expect("gpg is installed");
        assert!(output.status.success(), "gpg: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn sign_with(&self, how: &str, content: &[u8]) -> Vec<u8> {
        let (from, to) = (self.home.join("content"), self.home.join("signed"));
        fs_err::write(&from, content).expect("own file");
        self.gpg(&["--output", to.as_str(), how, from.as_str()]);
        fs_err::read(&to).expect("it was signed")
    }

    pub(crate) fn sign(&self, content: &[u8]) -> Vec<u8> {
        self.sign_with("--detach-sign", content)
    }

    /// A signature as git puts it into a tag.
    pub(crate) fn sign_armoured(&self, content: &[u8]) -> Vec<u8> {
        let (from, to) = (self.home.join("content"), self.home.join("signed"));
        fs_err::write(&from, content).expect("own file");
        self.gpg(&["--armor", "--output", to.as_str(), "--detach-sign", from.as_str()]);
        fs_err::read(&to).expect("it was signed")
    }

    pub(crate) fn sign_clear(&self, content: &[u8]) -> Vec<u8> {
        self.sign_with("--clearsign", content)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .args(["--homedir", self.home.as_str(), "--kill", "all"])
            .status();
    }
}
