use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that runs no build.
pub const SHORT_LIMIT: Duration = Duration::from_secs(30);

/// How long a build may take: on a machine that has nothing yet, the first one makes the toolchain
/// root and the base, and further ones wait for it. A kernel that is built whole takes longest.
pub const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// Asks until there is an answer. `what` completes "waited for …".
///
/// # Panics
/// When there is none after `limit`.
pub fn wait_until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < limit, "waited for {what} for {} s", limit.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}
