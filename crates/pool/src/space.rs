//! Room for a limited number of tasks that wait, in one queue or in several that share it.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering, fence};

/// Counts the waiting tasks of bounded queues against their common capacity.
#[derive(Debug)]
pub struct Space {
    capacity: usize,
    /// Tasks accepted and not claimed, of all queues: raised by a pusher before its ticket is visible, lowered by the
    /// claimer.
    taken: AtomicUsize,
    /// Pushers that wait for space or are about to: written by themselves, under `lock`.
    blocked: AtomicUsize,
    lock: Mutex<()>,
    /// Notified by claimers while somebody is blocked, by those who waited and do not push, and as a queue is closed.
    freed: Condvar,
}

impl Space {
    /// Makes room for `capacity` tasks.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            capacity: capacity.get(),
            taken: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
            lock: Mutex::new(()),
            freed: Condvar::new(),
        }
    }

    /// How many tasks there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tells whether there is room for one more.
    pub fn is_left(&self) -> bool {
        self.taken.load(Ordering::SeqCst) < self.capacity
    }

    /// Takes room for one task where there is some.
    pub fn take(&self) -> bool {
        let mut taken = self.taken.load(Ordering::SeqCst);
        while taken < self.capacity {
            match self.taken.compare_exchange_weak(taken, taken + 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
        false
    }

    /// Takes room for one task whether there is some or not.
    pub fn overfill(&self) {
        self.taken.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives back the room of one task, and wakes one who waits for it.
    pub fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        self.wake_one();
    }

    /// Wakes one who waits: called by one who was woken and takes no room, who may have had the only notification.
    pub fn wake_one(&self) {
        fence(Ordering::SeqCst);
        if self.blocked.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock());
            self.freed.notify_one();
        }
    }

    /// Has all who wait look at their `stop` again.
    pub fn wake_all(&self) {
        drop(self.lock.lock());
        self.freed.notify_all();
    }

    /// Waits until there is room, `stop` holds, or `timeout` has passed; then try again. Woken by [`Space::give_back`],
    /// [`Space::wake_one`] and [`Space::wake_all`].
    pub fn wait(&self, timeout: Option<Duration>, stop: impl Fn() -> bool) {
        let guard = self.lock.lock();
        self.blocked.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !self.is_left() && !stop() {
            drop(self.freed.wait(guard, timeout));
        }
        self.blocked.fetch_sub(1, Ordering::SeqCst);
    }
}
