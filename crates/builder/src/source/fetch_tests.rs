use std::time::Instant;

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
