//! Where one caller waits for the outcome of one task.

use std::time::Duration;

use crate::sync::{AtomicBool, Condvar, Mutex, Ordering, Spin};

/// A place for one outcome, settled once by whoever ran the task.
#[derive(Debug, Default)]
pub struct Promise<T> {
    /// Set by [`Promise::settle`] after the value is in place; lets the waiter look without the lock.
    settled: AtomicBool,
    value: Mutex<Option<T>>,
    /// Notified by [`Promise::settle`].
    done: Condvar,
}

impl<T> Promise<T> {
    /// Makes an unsettled promise.
    pub fn new() -> Self {
        Self { settled: AtomicBool::new(false), value: Mutex::new(None), done: Condvar::new() }
    }

    /// Puts the outcome in place and wakes the waiter.
    pub fn settle(&self, value: T) {
        let mut place = self.value.lock();
        *place = Some(value);
        // Release: the waiter that reads true finds the value, though it takes the lock in any case.
        self.settled.store(true, Ordering::Release);
        // Notified under the lock: the waiter may drop the promise as soon as it has the value.
        self.done.notify_one();
    }

    /// Waits for the outcome, at most `timeout`; `None` when the time is up. Woken by [`Promise::settle`].
    ///
    /// Looks for the time `look` before it parks: an outcome that comes meanwhile costs no wake-up.
    pub fn wait(&self, look: Duration, timeout: Option<Duration>) -> Option<T> {
        if !self.settled.load(Ordering::Acquire) {
            let spin = Spin::start(look);
            while spin.turn() && !self.settled.load(Ordering::Acquire) {}
        }
        let mut place = self.value.lock();
        if place.is_none() {
            place = self.done.wait(place, timeout);
            if timeout.is_none() {
                while place.is_none() {
                    place = self.done.wait(place, None);
                }
            }
        }
        place.take()
    }
}
