//! Where one caller waits for the outcomes of many tasks, taking all that have come at once.

use std::time::Duration;

use crate::sync::{Condvar, Mutex};

/// A place for any number of outcomes, filled by workers and emptied by one caller.
#[derive(Debug, Default)]
pub struct Mailbox<T> {
    letters: Mutex<Vec<T>>,
    /// Notified by [`Mailbox::put`].
    arrived: Condvar,
}

impl<T> Mailbox<T> {
    /// Makes an empty mailbox.
    pub fn new() -> Self {
        Self { letters: Mutex::new(Vec::new()), arrived: Condvar::new() }
    }

    /// Adds an outcome and wakes the waiter; tells whether it is the first since the mailbox was emptied.
    pub fn put(&self, letter: T) -> bool {
        let mut letters = self.letters.lock();
        letters.push(letter);
        self.arrived.notify_one();
        letters.len() == 1
    }

    /// Waits for at least one outcome, at most `timeout`, and takes all that are there. Woken by [`Mailbox::put`].
    pub fn take(&self, timeout: Option<Duration>) -> Vec<T> {
        let mut letters = self.letters.lock();
        if letters.is_empty() {
            letters = self.arrived.wait(letters, timeout);
            while timeout.is_none() && letters.is_empty() {
                letters = self.arrived.wait(letters, None);
            }
        }
        std::mem::take(&mut *letters)
    }

    /// Takes all that are there, without waiting.
    pub fn try_take(&self) -> Vec<T> {
        std::mem::take(&mut *self.letters.lock())
    }
}
