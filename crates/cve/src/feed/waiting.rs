//! How much may wait to be parsed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Bytes that wait, of all parsers together.
#[derive(Debug)]
pub(super) struct Waiting {
    most: usize,
    bytes: Mutex<usize>,
    less: Condvar,
}

/// Bytes that wait until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    waiting: Arc<Waiting>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, bytes: Mutex::new(0), less: Condvar::new() })
    }

    /// Waits until there is room. A file that is larger than all the room waits alone.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Share {
        let mut waiting = self.lock();
        while *waiting > 0 && *waiting + bytes > self.most {
            waiting = self.less.wait(waiting).expect("no holder of the lock panics");
        }
        *waiting += bytes;
        Share { waiting: Arc::clone(self), bytes }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.bytes.lock().expect("no holder of the lock panics")
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.waiting.lock() -= self.bytes;
        self.waiting.less.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    #[test]
    fn no_more_than_the_limit_waits_but_for_one_that_is_larger() {
        let waiting = Waiting::new(10);
        let (large, other) = (waiting.take(100), Arc::clone(&waiting));
        let taker = thread::spawn(move || drop(other.take(6)));
        thread::sleep(Duration::from_millis(50));
        assert!(!taker.is_finished(), "there is no room");
        drop(large);
        taker.join().expect("it gets its turn");
        let (_one, _two) = (waiting.take(5), waiting.take(5));
        assert_eq!(*waiting.lock(), 10);
    }
}
