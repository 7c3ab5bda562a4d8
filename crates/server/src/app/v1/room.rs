//! How much of the server clients of the REST API v1.0 get. Nobody knows them, since they have no tokens: whatever
//! they send, those who have one go on.

use std::{sync::Arc, time::Duration};

use elivepatch_model::Sha256Digest;
use elivepatch_store::SessionLoad;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    app::{App, AppError, error::RETRY_AFTER_SECONDS, now, order::Order},
    config::V1Limits,
};

/// How many of their orders come in at the same time; others wait. They have nothing of the turns of v2.
const UPLOADS_AT_A_TIME: usize = 2;

/// How many of their orders are answered at the same time: each is an open request until its build ends, and asks the
/// store every second. The machines that one timer wakes are fewer.
const REQUESTS_AT_A_TIME: usize = 64;

/// How many sessions they begin in a day, whatever these order: a session is some 100 bytes in the store, for good.
const SESSIONS_PER_DAY: u64 = 10_000;

/// The time that "a day" means in limits: the last 24 hours.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// After how many seconds a limit of a day is to be asked again.
const RETRY_IN_AN_HOUR: u32 = 3600;

/// What they have instead of the turns of v2.
pub(in crate::app) struct V1Room {
    uploads: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// Their orders are taken one after the other, so that a session is one build and limits are exact.
    pub(super) orders: tokio::sync::Mutex<()>,
}

/// A request's place among those that are answered, until it is dropped.
#[derive(Debug)]
pub struct V1Place {
    _permit: OwnedSemaphorePermit,
}

impl V1Room {
    pub(in crate::app) fn new() -> Self {
        Self {
            uploads: Arc::new(Semaphore::new(UPLOADS_AT_A_TIME)),
            requests: Arc::new(Semaphore::new(REQUESTS_AT_A_TIME)),
            orders: tokio::sync::Mutex::default(),
        }
    }

    /// Waits until another order may come in.
    pub(super) async fn upload_turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.uploads).acquire_owned().await;
        turn.expect("the semaphore is never closed")
    }
}

impl App {
    /// A place for one more order, before anything of it is read.
    ///
    /// # Errors
    /// [`AppError::Busy`] when such clients have ordered as much as they get.
    pub async fn v1_place(&self) -> Result<V1Place, AppError> {
        let permit = Arc::clone(&self.inner.v1.requests).try_acquire_owned().map_err(|_| {
            AppError::Busy {
                message: format!(
                    "{REQUESTS_AT_A_TIME} requests of the REST API v1.0 are being answered already"
                ),
                hint: "send it again later; clients with a token have room of their own".to_owned(),
                retry_after_seconds: RETRY_AFTER_SECONDS,
            }
        })?;
        self.v1_options()?.limits.has_room(&self.v1_load().await?)?;
        Ok(V1Place { _permit: permit })
    }

    /// Whether a build that no other equals may be queued for such a client.
    pub(in crate::app) async fn has_room_for_v1_order(
        &self,
        order: &Order,
        config: Sha256Digest,
    ) -> Result<(), AppError> {
        let limits = self.v1_options()?.limits;
        limits.has_room_for_build(&self.v1_load().await?)?;
        let Some(limit) = limits.kernels_per_day else { return Ok(()) };
        let store = self.store();
        if store.knows_kernel(&order.target.release, config, &order.baseline).await? {
            return Ok(());
        }
        let kernels = store.kernels_of_sessions(a_day_ago()).await?;
        if kernels < limit.into() {
            return Ok(());
        }
        Err(AppError::Busy {
            message: format!(
                "{kernels} new kernels came by the REST API v1.0 in the last 24 hours, and this would be one more: \
                 another release, config or set of patches that it has already"
            ),
            hint: format!(
                "send it again tomorrow; kernels that were ordered for before are served. The server's administrator can \
                 allow more: kernels_per_day = {limit} under [compat]"
            ),
            retry_after_seconds: RETRY_IN_AN_HOUR,
        })
    }

    async fn v1_load(&self) -> Result<SessionLoad, AppError> {
        Ok(self.store().session_load(a_day_ago()).await?)
    }
}

impl V1Limits {
    /// Whether there may be one more request.
    fn has_room(&self, load: &SessionLoad) -> Result<(), AppError> {
        if let Some(orders) = self.orders
            && load.unfinished >= orders.into()
        {
            return Err(AppError::Busy {
                message: format!(
                    "{} builds that were ordered by the REST API v1.0 wait or run already",
                    load.unfinished
                ),
                hint: format!(
                    "send it again when one of them has ended; the server's administrator can allow more: \
                     orders = {orders} under [compat]"
                ),
                retry_after_seconds: RETRY_AFTER_SECONDS,
            });
        }
        if load.sessions >= SESSIONS_PER_DAY {
            return Err(AppError::Busy {
                message: format!(
                    "{} sessions of the REST API v1.0 were begun in the last 24 hours",
                    load.sessions
                ),
                hint: "send it again tomorrow; clients with a token have room of their own"
                    .to_owned(),
                retry_after_seconds: RETRY_IN_AN_HOUR,
            });
        }
        Ok(())
    }

    /// Whether there may be one more build.
    fn has_room_for_build(&self, load: &SessionLoad) -> Result<(), AppError> {
        self.has_room(load)?;
        if let Some(orders_per_day) = self.orders_per_day
            && load.builds >= orders_per_day.into()
        {
            return Err(AppError::Busy {
                message: format!(
                    "{} builds were ordered by the REST API v1.0 in the last 24 hours",
                    load.builds
                ),
                hint: format!(
                    "send it again tomorrow; the server's administrator can allow more: \
                     orders_per_day = {orders_per_day} under [compat]"
                ),
                retry_after_seconds: RETRY_IN_AN_HOUR,
            });
        }
        Ok(())
    }
}

fn a_day_ago() -> Timestamp {
    now().checked_sub(DAY).unwrap_or(Timestamp::MIN)
}
