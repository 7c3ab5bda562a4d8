//! The patch of a commit from a web server.

mod address;
mod pace;

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use elivepatch_model::{limits, with_causes};
use reqwest::{Client, StatusCode, Url, header, redirect::Policy};

use crate::{CommitHash, FixSourceError, text};
pub use address::template_problem;
use address::{PLACEHOLDER, is_loopback, patch_address};
use pace::Pace;

/// How often a server is asked that does not answer.
const ATTEMPTS: u32 = 4;

/// The most addresses that a server may lead to, one after the other: kernel.org's short addresses have one.
const REDIRECTS: usize = 5;

/// The longest time that a server may ask to be left alone, in seconds. One that asks for more is believed
/// this long.
const MOST_REST_SECONDS: u64 = 3600;

/// How patient a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebTimes {
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// How long one answer may take, from the question to its last byte.
    pub answer: Duration,
    /// How long is waited after the first failure; after each further one twice as long.
    pub first_wait: Duration,
    /// How long a server is left alone that did not answer at all: there may be hundreds of commits to ask for.
    pub rest: Duration,
}

impl Default for WebTimes {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            // A server that makes each patch when it is asked for takes seconds.
            answer: Duration::from_secs(60),
            first_wait: Duration::from_secs(2),
            rest: Duration::from_secs(300),
        }
    }
}

/// A web server with the template of its addresses.
#[derive(Debug)]
pub(crate) struct Web {
    template: String,
    times: WebTimes,
    /// The text: why TLS cannot be set up here.
    client: Result<Client, String>,
    pace: Pace,
    rest: Mutex<Option<Rest>>,
}

/// That a server is to be left alone.
#[derive(Debug, Clone)]
struct Rest {
    until: Instant,
    last: String,
}

/// Why an answer was none.
enum NoAnswer {
    /// Another attempt may have one.
    Again {
        what: String,
        /// The server's own word on when.
        wait: Option<Duration>,
    },
    /// No attempt will.
    Never(FixSourceError),
}

impl Web {
    /// `template` must have passed [`template_problem`].
    pub(crate) fn new(template: String, per_second: f64, times: WebTimes) -> Self {
        let mut builder = Client::builder()
            .user_agent(concat!("elivepatch-server/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(times.connect)
            .timeout(times.answer)
            // Each is looked at.
            .redirect(Policy::none());
        if Url::parse(&template).is_ok_and(|url| is_loopback(&url)) {
            builder = builder.no_proxy();
        }
        // Where the machine has no certificates, there is none.
        let client = builder.build().map_err(|error| with_causes(&error));
        Self { template, times, client, pace: Pace::new(per_second), rest: Mutex::default() }
    }

    pub(crate) async fn fix(&self, commit: &CommitHash) -> Result<Vec<u8>, FixSourceError> {
        self.resting()?;
        let mut wait = self.times.first_wait;
        for attempt in 1.. {
            self.pace.turn().await;
            let (what, asked) = match self.ask(commit).await {
                Ok(bytes) => {
                    text::check(&bytes, Some(commit))?;
                    return Ok(bytes);
                }
                Err(NoAnswer::Never(error)) => return Err(error),
                Err(NoAnswer::Again { what, wait }) => (what, wait),
            };
            let pause = asked.unwrap_or(wait).max(wait);
            // Nobody waits as long as servers may ask for.
            if attempt == ATTEMPTS || pause > self.times.answer {
                self.let_rest(asked, &what);
                return Err(FixSourceError::Unreachable { attempts: attempt, last: what });
            }
            tokio::time::sleep(pause).await;
            wait *= 2;
        }
        unreachable!("the loop ends by its limit")
    }

    /// Refuses to ask while the server rests.
    fn resting(&self) -> Result<(), FixSourceError> {
        let rest = self.rest.lock().expect("no holder of the lock panics").clone();
        match rest {
            Some(Rest { until, last }) if until > Instant::now() => {
                let seconds = (until - Instant::now()).as_secs() + 1;
                Err(FixSourceError::Resting { seconds, last })
            }
            _ => Ok(()),
        }
    }

    fn let_rest(&self, asked: Option<Duration>, last: &str) {
        let most = Duration::from_secs(MOST_REST_SECONDS);
        let rest = asked.unwrap_or_default().min(most).max(self.times.rest);
        let until = Instant::now() + rest;
        *self.rest.lock().expect("no holder of the lock panics") =
            Some(Rest { until, last: last.to_owned() });
    }

    /// Asks once, and goes where the server leads.
    async fn ask(&self, commit: &CommitHash) -> Result<Vec<u8>, NoAnswer> {
        let client = self.client.as_ref();
        let client = client.map_err(|why| NoAnswer::Never(FixSourceError::Tls(why.clone())))?;
        let address = self.template.replace(PLACEHOLDER, commit.as_str());
        let mut url = Url::parse(&address)
            .map_err(|_| NoAnswer::Never(redirect_error(&address, "which is not an address")))?;
        for _ in 0..=REDIRECTS {
            let answer = client.get(url.clone()).send().await.map_err(again)?;
            let status = answer.status();
            if status.is_redirection() {
                let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                let to = to.ok_or(NoAnswer::Never(FixSourceError::Status(status.as_u16())))?;
                url = patch_address(&url, to)
                    .map_err(|why| NoAnswer::Never(redirect_error(to, why)))?;
                continue;
            }
            return match status {
                StatusCode::OK => body(answer).await,
                StatusCode::NOT_FOUND | StatusCode::GONE => {
                    Err(NoAnswer::Never(FixSourceError::Absent))
                }
                StatusCode::TOO_MANY_REQUESTS => Err(busy(&answer)),
                status if status.is_server_error() => Err(busy(&answer)),
                status => Err(NoAnswer::Never(FixSourceError::Status(status.as_u16()))),
            };
        }
        Err(NoAnswer::Never(redirect_error(url.as_str(), "one address after the other")))
    }
}

fn redirect_error(to: &str, why: &'static str) -> FixSourceError {
    FixSourceError::Redirect { to: to.chars().take(200).collect(), why }
}

fn busy(answer: &reqwest::Response) -> NoAnswer {
    let seconds = answer.headers().get(header::RETRY_AFTER);
    // It may also be a date, which needs a clock that is right on both sides.
    let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    NoAnswer::Again {
        what: format!("it answered with the status {}", answer.status().as_u16()),
        wait: seconds.map(Duration::from_secs),
    }
}

/// The text of an answer, never more than a patch may have.
async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, NoAnswer> {
    let limit_bytes = limits::PATCH_BYTES;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(again)? {
        if (bytes.len() + chunk.len()) as u64 > limit_bytes {
            return Err(NoAnswer::Never(FixSourceError::TooLarge { limit_bytes }));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What the network did. The address is not told: who reads it knows the source.
fn again(error: reqwest::Error) -> NoAnswer {
    let what = match error.is_timeout() {
        true => "it was too slow".to_owned(),
        false => with_causes(&error.without_url()),
    };
    NoAnswer::Again { what, wait: None }
}
