//! The mirror: HTTP, as far as apt and curl need it, and what can go wrong with it.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How long a mirror that hangs keeps the line: longer than any test waits.
const HANGS: Duration = Duration::from_secs(120);

/// What is wrong with the answers for some files.
#[derive(Debug, Clone)]
pub enum Fault {
    /// They lead to there instead.
    Redirect(String),
    /// They have other bytes than the index says.
    Corrupt,
    /// They say that they are as long as this, in bytes, and are.
    Short(usize),
    /// They stop before this byte of the file, and the line stays open.
    Hang(usize),
    /// A byte comes in each so many milliseconds.
    Trickle(u64),
    /// They break off after so many bytes, each time.
    Cut(usize),
    /// They do not say how long they are, and have no end.
    Endless,
}

/// What the mirror does wrong.
#[derive(Default)]
pub struct Faults {
    /// For files whose paths end so.
    pub of: HashMap<&'static str, Fault>,
    /// The next answers for a package break off after so many bytes.
    pub cuts: Vec<usize>,
    /// Packages are sent whole, whatever part is asked for.
    pub ignores_ranges: bool,
    /// How many bytes of packages were sent in all.
    pub sent: usize,
}

pub fn serve(files: HashMap<String, Vec<u8>>, faults: Arc<Mutex<Faults>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let files = Arc::new(files);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (files, faults) = (Arc::clone(&files), Arc::clone(&faults));
            // A client that hangs up is no fault of the mirror.
            thread::spawn(move || answer(connection, &files, &faults));
        }
    });
    address
}

fn answer(
    mut connection: TcpStream,
    files: &HashMap<String, Vec<u8>>,
    faults: &Mutex<Faults>,
) -> std::io::Result<()> {
    let (path, asked) = read_request(&connection)?;
    let (fault, ignores_ranges) = {
        let faults = faults.lock().expect("no panic holds it");
        let fault = faults.of.iter().find(|(end, _)| path.ends_with(*end));
        (fault.map(|(_, fault)| fault.clone()), faults.ignores_ranges)
    };
    if let Some(Fault::Redirect(to)) = fault {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return connection.write_all(head.as_bytes());
    }
    let Some(content) = files.get(&path) else {
        return connection.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    if matches!(fault, Some(Fault::Endless)) {
        connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            connection.write_all(&[b'x'; 4096])?;
        }
    }
    let start = if ignores_ranges { 0 } else { asked.min(content.len()) };
    let mut body = content[start..].to_vec();
    match fault {
        Some(Fault::Corrupt) => body.iter_mut().for_each(|byte| *byte = !*byte),
        Some(Fault::Short(length)) => body.truncate(length),
        _ => {}
    }
    write_head(&connection, start, body.len(), content.len())?;
    match fault {
        Some(Fault::Hang(end)) => {
            connection.write_all(&body[..end.saturating_sub(start).min(body.len())])?;
            thread::sleep(HANGS);
            return Ok(());
        }
        Some(Fault::Trickle(milliseconds)) => {
            for byte in body {
                connection.write_all(&[byte])?;
                thread::sleep(Duration::from_millis(milliseconds));
            }
            return Ok(());
        }
        Some(Fault::Cut(length)) => body.truncate(length),
        _ => {}
    }
    if path.ends_with(".deb") {
        let mut faults = faults.lock().expect("no panic holds it");
        if !faults.cuts.is_empty() {
            body.truncate(faults.cuts.remove(0));
        }
        faults.sent += body.len();
    }
    connection.write_all(&body)
}

/// The path that is asked for, and from which byte on.
fn read_request(connection: &TcpStream) -> std::io::Result<(String, usize)> {
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
            return Ok((path, start));
        }
    }
}

fn write_head(
    mut connection: &TcpStream,
    start: usize,
    length: usize,
    whole: usize,
) -> std::io::Result<()> {
    let (status, range) = match start {
        0 => ("200 OK", String::new()),
        _ => {
            let last = whole.saturating_sub(1);
            ("206 Partial Content", format!("Content-Range: bytes {start}-{last}/{whole}\r\n"))
        }
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}Connection: close\r\n\r\n"
    )
}
