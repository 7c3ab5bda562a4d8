use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Sender, channel},
};

use tokio::sync::oneshot;

use super::AppError;

type Job = Box<dyn FnOnce() + Send>;

/// Runs the checks of uploads one after the other, on a thread of its own.
///
/// A check takes milliseconds, but a patch at its limit takes up to a hundred times its size in
/// memory while it is parsed, and the allocator keeps what each thread has used once. Checks on
/// all of Tokio's threads would take more than the server may use.
#[derive(Debug)]
pub(super) struct Checker {
    jobs: Sender<Job>,
}

impl Checker {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start() -> std::io::Result<Self> {
        let (jobs, waiting) = channel::<Job>();
        std::thread::Builder::new().name("checker".to_owned()).spawn(move || {
            for job in waiting {
                job();
            }
        })?;
        Ok(Self { jobs })
    }

    /// Runs a check and waits for its result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        check: impl FnOnce() -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let (answer, result) = oneshot::channel();
        let job = move || {
            // A caller that went away does not want the result.
            if answer.is_closed() {
                return;
            }
            let result = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| {
                Err(AppError::Panicked("the check of an upload panicked".to_owned()))
            });
            let _ = answer.send(result);
        };
        // Neither end of the channels goes away while this is borrowed: jobs do not unwind.
        let gone = || AppError::Panicked("the checker's thread is gone".to_owned());
        self.jobs.send(Box::new(job)).map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn check_that_panics_is_an_error_and_the_next_one_runs() {
        let checker = Checker::start().expect("a thread");
        let panicked = checker.run::<()>(|| panic!("a bug")).await;
        assert!(matches!(panicked, Err(AppError::Panicked(_))), "{panicked:?}");
        assert_eq!(checker.run(|| Ok(7)).await.expect("it runs"), 7);
    }
}
