//! A web server that stands for upstream's, and does what servers do wrong.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use elivepatch_fixes::{CommitHash, FixSource, FixSourceError, FixSourceOptions, WebTimes};

const A: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
const B: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

/// One answer.
#[derive(Clone, Debug)]
enum Answer {
    Text(String),
    Status(u16, &'static str),
    To(String),
    /// The head and the first bytes, then nothing.
    Stall,
    /// Nothing but the end.
    HangUp,
    /// Bytes without an end in sight.
    Endless,
}

#[derive(Clone)]
struct Web {
    /// What is left to be answered by path; the last answer stays.
    answers: Arc<Mutex<HashMap<String, VecDeque<Answer>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Web {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let web = Self { answers: Arc::default(), asked: Arc::default(), address };
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

    fn put(&self, path: &str, answers: impl Into<VecDeque<Answer>>) {
        self.answers.lock().expect("nobody panicked").insert(path.to_owned(), answers.into());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked").clone()
    }

    fn next(&self, path: &str) -> Answer {
        let mut answers = self.answers.lock().expect("nobody panicked");
        let Some(left) = answers.get_mut(path) else { return Answer::Status(404, "") };
        let answer = left.pop_front().expect("one stays");
        if left.is_empty() {
            left.push_back(answer.clone());
        }
        answer
    }

    fn answer(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while reader.read_line(&mut line)? > 2 {}
        self.asked.lock().expect("nobody panicked").push(path.clone());
        let (status, headers, body) = match self.next(&path) {
            Answer::Text(text) => (200, format!("Content-Length: {}\r\n", text.len()), text),
            Answer::Status(status, headers) => {
                (status, format!("Content-Length: 0\r\n{headers}"), String::new())
            }
            Answer::To(to) => {
                (301, format!("Content-Length: 0\r\nLocation: {to}\r\n"), String::new())
            }
            Answer::Stall => {
                connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nFrom")?;
                thread::sleep(Duration::from_secs(20));
                return Ok(());
            }
            Answer::HangUp => return Ok(()),
            Answer::Endless => {
                connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                loop {
                    connection.write_all(&[b'x'; 4096])?;
                }
            }
        };
        let head = format!("HTTP/1.1 {status} .\r\nConnection: close\r\n{headers}\r\n");
        connection.write_all(head.as_bytes())?;
        connection.write_all(body.as_bytes())
    }

    fn source(&self, template: &str) -> FixSource {
        source(&format!("{}{template}", self.address), 1000.0)
    }
}

fn source(url: &str, per_second: f64) -> FixSource {
    assert_eq!(elivepatch_fixes::template_problem(url), None);
    let times = WebTimes {
        connect: Duration::from_secs(5),
        answer: Duration::from_millis(1500),
        first_wait: Duration::from_millis(20),
        rest: Duration::from_millis(700),
    };
    FixSource::new(&FixSourceOptions::Web { url: url.to_owned(), per_second, times })
}

async fn fix(source: &FixSource, commit: &str) -> Result<String, FixSourceError> {
    let commit: CommitHash = commit.parse().expect("a commit");
    let bytes = source.fix(&commit).await.expect("it has commits")?;
    Ok(String::from_utf8(bytes).expect("UTF-8"))
}

fn patch(commit: &str) -> String {
    format!(
        "From {commit} Mon Sep 17 00:00:00 2001\nSubject: x\n---\ndiff --git a/mm/mmap.c b/mm/mmap.c\n\
         --- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-a\n+b\n"
    )
}

#[tokio::test]
async fn short_address_leads_to_a_page_and_the_patch_beside_it_is_taken() {
    let web = Web::new();
    let page = format!("/scm/linux.git/commit/?id={A}");
    web.put(&format!("/stable/c/{A}"), [Answer::To(page.clone())]);
    web.put(&page, [Answer::Text("<html>a page about it</html>".to_owned())]);
    web.put(&format!("/scm/linux.git/patch/?id={A}"), [Answer::Text(patch(A))]);
    let source = web.source("/stable/c/SHA");
    assert!(!source.is_local());
    assert_eq!(fix(&source, A).await.expect("a patch"), patch(A));
    assert_eq!(web.asked().len(), 2);
}

#[tokio::test]
async fn server_that_cannot_answer_now_is_asked_again_until_it_does() {
    let web = Web::new();
    let path = format!("/{A}");
    web.put(
        &path,
        [
            Answer::Status(429, "Retry-After: 1\r\n"),
            Answer::Status(503, ""),
            Answer::HangUp,
            Answer::Text(patch(A)),
        ],
    );
    let began = Instant::now();
    assert_eq!(fix(&web.source("/SHA"), A).await.expect("a patch"), patch(A));
    assert!(began.elapsed() >= Duration::from_secs(1), "it asked to wait for a second");
    assert_eq!(web.asked().len(), 4);

    web.put(&path, [Answer::Stall, Answer::Text(patch(A))]);
    assert_eq!(fix(&web.source("/SHA"), A).await.expect("a patch"), patch(A));
}

#[tokio::test]
async fn server_that_never_answers_is_left_alone_for_a_time() {
    let web = Web::new();
    web.put(&format!("/{A}"), [Answer::Status(500, "")]);
    web.put(&format!("/{B}"), [Answer::Text(patch(B))]);
    let source = web.source("/SHA");
    let error = fix(&source, A).await.expect_err("it fails");
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.to_string(), "it did not answer 4 times: it answered with the status 500");
    let error = fix(&source, B).await.expect_err("it rests");
    assert!(error.is_transient() && error.to_string().contains("left alone"), "{error}");
    assert_eq!(web.asked().len(), 4);
    tokio::time::sleep(Duration::from_millis(750)).await;
    assert_eq!(fix(&source, B).await.expect("it is asked again"), patch(B));
    // Nobody waits for an hour, and all others are told at once.
    web.put(&format!("/{A}"), [Answer::Status(429, "Retry-After: 3600\r\n")]);
    let error = fix(&source, A).await.expect_err("it is too long").to_string();
    assert!(error.starts_with("it did not answer 1 times"), "{error}");
    let error = fix(&source, B).await.expect_err("it rests").to_string();
    assert!(error.contains(" for 3600 s more") || error.contains(" for 3599 s more"), "{error}");
    // Nothing listens there.
    let error = fix(&nobody(), A).await.expect_err("nobody is there");
    assert!(error.is_transient() && error.to_string().contains("refused"), "{error}");
}

/// A source where nobody listens.
fn nobody() -> FixSource {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    source(&format!("http://{address}/SHA"), 1000.0)
}

#[tokio::test]
async fn slow_server_is_given_up() {
    let web = Web::new();
    web.put(&format!("/{A}"), [Answer::Stall]);
    let began = Instant::now();
    let error = fix(&web.source("/SHA"), A).await.expect_err("it is too slow");
    assert!(error.is_transient() && error.to_string().contains("it was too slow"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn answers_that_are_no_patch_of_the_commit_are_not_asked_for_again() {
    let web = Web::new();
    let path = format!("/{A}");
    let elsewhere = |to: &str| Answer::To(to.to_owned());
    for (answer, expected) in [
        (Answer::Status(404, ""), "does not have this commit"),
        (Answer::Status(410, ""), "does not have this commit"),
        (Answer::Status(403, ""), "the status 403"),
        (Answer::Status(302, ""), "the status 302"),
        (Answer::Text("<html>are you a robot?</html>".to_owned()), "no change of any file"),
        (Answer::Text(String::new()), "no change of any file"),
        (Answer::Text(patch(B)), "the patch of another commit, 0f3058d7d26f"),
        (Answer::Endless, "larger than 1048576 bytes"),
        (elsewhere("https://127.0.0.1:1/x"), "another protocol"),
        (elsewhere("file:///etc/passwd"), "another protocol"),
        (elsewhere("http://192.0.2.1/x"), "not on this machine"),
        (elsewhere(&path), "one address after the other"),
    ] {
        web.put(&path, [answer.clone()]);
        let before = web.asked().len();
        let error = fix(&web.source("/SHA"), A).await.expect_err("it is none");
        assert!(!error.is_transient() && error.to_string().contains(expected), "{error}");
        let times = if expected.starts_with("one address") { 6 } else { 1 };
        assert_eq!(web.asked().len() - before, times, "{answer:?}");
    }
}

#[tokio::test]
async fn server_is_not_asked_faster_than_it_may_be() {
    let web = Web::new();
    web.put(&format!("/{A}"), [Answer::Text(patch(A))]);
    let source = source(&format!("{}/SHA", web.address), 20.0);
    let began = Instant::now();
    let asked = (0..5).map(|_| fix(&source, A));
    for answer in asked {
        answer.await.expect("a patch");
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}
