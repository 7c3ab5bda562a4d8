use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use elivepatch_model::{BuildEvent, BuildNumber};
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use super::{Client, ClientError, call::SILENCE_TIMEOUT, events::EventStream};
use crate::EventRecord;

/// The first pause before a reconnection; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: a person who watches wants to see a server that is back at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connection that lasted longer has carried signs of life, for silence ends it earlier: the
/// server was there, though nothing happened to the build.
const LIVE_CONNECTION: Duration = SILENCE_TIMEOUT.saturating_add(Duration::from_secs(5));

/// How to follow a build.
#[derive(Debug, Clone, Copy)]
pub struct FollowOptions {
    /// The number of the last event that is known; 0 to begin with the first.
    pub after: i64,
    /// How long the server may be away before the stream gives up.
    pub patience: Duration,
}

impl Default for FollowOptions {
    /// From the first event, with a minute of patience: enough for a server to start again.
    fn default() -> Self {
        Self { after: 0, patience: Duration::from_secs(60) }
    }
}

/// What happens while a build is followed.
#[derive(Debug)]
pub enum Followed {
    /// An event of the build; their numbers rise and no event comes twice.
    Event(EventRecord),
    /// The connection was lost; it is tried again. Comes once until the next [`Followed::Resumed`].
    Disconnected(ClientError),
    /// The connection is back and has brought an event, which comes next.
    Resumed,
}

impl Client {
    /// Follows a build until it is finished, over any number of connections.
    ///
    /// The stream ends after the event with the final state. It gives an error, as its last item,
    /// when the server was away for longer than the patience or refuses for good.
    pub fn follow(
        &self,
        number: BuildNumber,
        options: FollowOptions,
    ) -> impl Stream<Item = Result<Followed, ClientError>> + Send + use<> {
        let follower = Follower {
            client: self.clone(),
            number,
            patience: options.patience,
            last: options.after,
            events: None,
            connected_at: Instant::now(),
            resumed: None,
            away_since: None,
            pause: FIRST_PAUSE,
            finished: false,
        };
        futures::stream::unfold(follower, |mut follower| async move {
            let item = follower.next().await?;
            follower.finished |= item.is_err();
            Some((item, follower))
        })
    }
}

struct Follower {
    client: Client,
    number: BuildNumber,
    patience: Duration,
    /// The number of the last event that was given out.
    last: i64,
    /// The open connection.
    events: Option<EventStream>,
    /// When it was opened.
    connected_at: Instant,
    /// The first event after an absence, while it is said that the server is back.
    resumed: Option<EventRecord>,
    /// Since when the server is away, once that was told. A connection alone does not end it: a
    /// proxy, or a server that fails at once, gives one and closes it.
    away_since: Option<Instant>,
    pause: Duration,
    finished: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Followed, ClientError>> {
        if let Some(record) = self.resumed.take() {
            return Some(Ok(Followed::Event(record)));
        }
        if self.finished {
            return None;
        }
        loop {
            let Some(events) = &mut self.events else {
                match self.connect().await {
                    Ok(Some(followed)) => return Some(Ok(followed)),
                    Ok(None) => continue,
                    Err(error) => return Some(Err(error)),
                }
            };
            let error = match events.next().await {
                // A server may begin a little earlier than it was asked to.
                Some(Ok(record)) if record.sequence <= self.last => continue,
                Some(Ok(record)) => {
                    self.last = record.sequence;
                    self.pause = FIRST_PAUSE;
                    self.finished = is_final(&record.event);
                    if self.away_since.take().is_some() {
                        self.resumed = Some(record);
                        return Some(Ok(Followed::Resumed));
                    }
                    return Some(Ok(Followed::Event(record)));
                }
                Some(Err(error)) => error,
                None => self.ended_early(),
            };
            self.events = None;
            if self.connected_at.elapsed() > LIVE_CONNECTION && self.away_since.is_some() {
                self.away_since = Some(Instant::now());
            }
            match self.lost(error) {
                Ok(Some(followed)) => return Some(Ok(followed)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Tells of a loss the first time, bears it from then on, and gives up when it lasts too long.
    fn lost(&mut self, error: ClientError) -> Result<Option<Followed>, ClientError> {
        if !error.is_passing() {
            return Err(error);
        }
        match self.away_since {
            Some(since) if since.elapsed() >= self.patience => Err(error),
            Some(_) => Ok(None),
            None => {
                self.away_since = Some(Instant::now());
                Ok(Some(Followed::Disconnected(error)))
            }
        }
    }

    /// Opens a connection: at once the first time, after a pause from then on.
    async fn connect(&mut self) -> Result<Option<Followed>, ClientError> {
        if self.away_since.is_some() {
            tokio::time::sleep(jittered(self.pause)).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        match self.client.events(self.number, self.last).await {
            Ok(events) => {
                self.events = Some(events);
                self.connected_at = Instant::now();
                Ok(None)
            }
            Err(error) => self.lost(error),
        }
    }

    fn ended_early(&self) -> ClientError {
        let url = self.client.peer().to_owned();
        let source = super::TransportError::Lost {
            peer: url.clone(),
            source: "the server closed the event stream before the build was finished".into(),
        };
        ClientError::Lost { url, source }
    }
}

fn is_final(event: &BuildEvent) -> bool {
    matches!(event, BuildEvent::State { state, .. } if state.is_finished())
}

/// Between half of `pause` and all of it, so that the clients of a server that starts again do not
/// come all at once.
fn jittered(pause: Duration) -> Duration {
    // A `RandomState` is seeded anew by the standard library: random enough to spread clients.
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}
