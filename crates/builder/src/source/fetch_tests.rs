use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Instant,
};

use camino::Utf8PathBuf;

use super::*;
use crate::{
    SilentObserver,
    source::test_web::{Answer, Web},
};

struct Setting {
    _temporary: tempfile::TempDir,
    directory: Utf8PathBuf,
    web: Web,
}

impl Setting {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8").to_owned();
        Self { _temporary: temporary, directory, web: Web::new() }
    }

    /// Fetches `/x` with these times, going on with what is there.
    fn fetch(&self, times: FetchTimes) -> Result<Vec<u8>, Failure> {
        let (url, partial) = (format!("{}/x", self.web.address), self.directory.join("x.partial"));
        Download { url: &url, partial: &partial, limit_bytes: 1 << 20, times }
            .run(&SilentObserver)?;
        Ok(fs_err::read(partial).expect("it was fetched"))
    }
}

#[test]
fn server_that_brings_next_to_nothing_each_time_is_given_up_and_gone_on_with() {
    let setting = Setting::new();
    let content = vec![7; 300_000];
    let answer = Answer { content: content.clone(), cuts: vec![100; 40], ..Answer::default() };
    setting.web.put("/x", answer);
    let failure = setting.fetch(FetchTimes::default()).expect_err("100 bytes each time");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.message.ends_with("the line breaks off again and again"), "{failure:?}");
    assert_eq!(setting.web.requests("/x"), 10);
    setting.web.put_content("/x", &content);
    assert_eq!(setting.fetch(FetchTimes::default()).expect("it is mended"), content);
}

#[test]
fn line_that_drops_now_and_then_gets_there() {
    let setting = Setting::new();
    let content = vec![7; 900_000];
    let cuts = [[100; 9].as_slice(), &[70_000], &[100; 9], &[70_000]].concat();
    setting.web.put("/x", Answer { content: content.clone(), cuts, ..Answer::default() });
    assert_eq!(setting.fetch(FetchTimes::default()).expect("it gets there"), content);
    assert_eq!(setting.web.requests("/x"), 21);
}

#[test]
fn server_that_takes_longer_than_all_attempts_may_is_given_up() {
    let setting = Setting::new();
    setting.web.put("/x", Answer { content: vec![7; 3000], stalls: true, ..Answer::default() });
    let began = Instant::now();
    let failure = setting.fetch(FetchTimes { slow_seconds: 60, total_seconds: 2 });
    let failure = failure.expect_err("it stalls for 30 s");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(failure.message.ends_with("is too slow: it has not come in 2 s"), "{failure:?}");
    assert!(failure.hint.contains("what was fetched is kept"), "{failure:?}");
}

/// More than curl keeps back before it writes.
const PART_BYTES: usize = 100_000;

/// Reads a request, and answers with the first half of a list.
fn answer_with_half(mut connection: &TcpStream, byte: u8) {
    let mut request = [0; 4096];
    let length = connection.read(&mut request).expect("a request");
    assert!(length > 0, "the client hung up");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * PART_BYTES);
    connection.write_all(head.as_bytes()).expect("sent");
    connection.write_all(&[byte; PART_BYTES]).expect("sent");
}

#[test]
fn two_that_fetch_one_list_at_a_time_do_not_write_one_file() {
    let setting = Setting::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let url = format!("http://{}/list", listener.local_addr().expect("bound"));
    let (second_is_there, wait) = mpsc::channel();
    // The first one has half of it while the second gets all.
    let server = thread::spawn(move || {
        let (mut first, _) = listener.accept().expect("a client");
        answer_with_half(&first, b'1');
        let (mut second, _) = listener.accept().expect("another client");
        answer_with_half(&second, b'2');
        second.write_all(&[b'2'; PART_BYTES]).expect("sent");
        wait.recv().expect("the second has it");
        first.write_all(&[b'1'; PART_BYTES]).expect("sent");
    });
    let (first, second) = thread::scope(|scope| {
        let fetch = || fetch_text(&url, &setting.directory, &SilentObserver);
        let first = scope.spawn(fetch);
        let has_begun = || {
            let files = setting.directory.read_dir_utf8().expect("own directory").flatten();
            files.into_iter().any(|file| file.metadata().is_ok_and(|facts| facts.len() > 0))
        };
        while !has_begun() {
            assert!(!first.is_finished(), "it cannot have all");
            thread::sleep(Duration::from_millis(20));
        }
        let second = fetch();
        second_is_there.send(()).expect("the server waits");
        (first.join().expect("no panic"), second)
    });
    server.join().expect("no panic");
    assert_eq!(first.expect("whole"), [b'1'; 2 * PART_BYTES]);
    assert_eq!(second.expect("whole"), [b'2'; 2 * PART_BYTES]);
    assert_eq!(setting.directory.read_dir_utf8().expect("own directory").count(), 0);
}
