use std::collections::VecDeque;

use elivepatch_api::EventRecord;
use elivepatch_model::{BuildEvent, BuildNumber};
use elivepatch_store::StoredEvent;
use futures::{Stream, stream};

use super::{App, AppError, wakeups::EventWaiter};

/// Events that are read from the store at once: a build's whole log is never in memory.
const PAGE: u32 = 200;

struct Follower {
    app: App,
    number: BuildNumber,
    after: i64,
    page: VecDeque<StoredEvent>,
    waiter: EventWaiter,
    ended: bool,
}

impl App {
    /// The events of a build after the one numbered `after`, as they come. The stream ends after
    /// the last event of a finished build, and when the server stops.
    ///
    /// # Errors
    /// When there is no such build. The stream gives an error when the store fails.
    pub async fn follow(
        &self,
        number: BuildNumber,
        after: i64,
    ) -> Result<impl Stream<Item = Result<EventRecord, AppError>> + use<>, AppError> {
        self.store().build(number).await?;
        let follower = Follower {
            app: self.clone(),
            number,
            after,
            page: VecDeque::new(),
            waiter: self.wakeups().event_waiter(number),
            ended: false,
        };
        Ok(stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|event| (event, follower)))
        }))
    }
}

impl Follower {
    async fn next(&mut self) -> Result<Option<EventRecord>, AppError> {
        loop {
            if let Some(StoredEvent { sequence, event }) = self.page.pop_front() {
                self.after = sequence;
                self.ended = is_last(&event);
                return Ok(Some(EventRecord { sequence, event }));
            }
            if self.ended {
                return Ok(None);
            }
            // The state is read before the events: once a build is finished, no event follows, so
            // an empty page after that is the end.
            let finished = self.app.store().build(self.number).await?.state.is_finished();
            self.page = self.app.store().events(self.number, self.after, PAGE).await?.into();
            if self.page.is_empty() && (finished || !self.waiter.wait().await) {
                return Ok(None);
            }
        }
    }
}

fn is_last(event: &BuildEvent) -> bool {
    matches!(event, BuildEvent::State { state, .. } if state.is_finished())
}
