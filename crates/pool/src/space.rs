//! Room for a limited number of tasks that wait, in one queue or in several that share it.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering, fence};

/// What to do when there may be room.
struct OnRoom(Box<dyn FnOnce() + Send>);

impl fmt::Debug for OnRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRoom")
    }
}

/// Counts the waiting tasks of bounded queues against their common capacity.
#[derive(Debug)]
pub struct Space {
    capacity: usize,
    /// Tasks accepted and not claimed, of all queues: raised by a pusher before its ticket is visible, lowered by the
    /// claimer.
    taken: AtomicUsize,
    /// Pushers that wait for space or are about to, and one more for each entry of `told`: written under the lock of `told`.
    blocked: AtomicUsize,
    /// What those asked for who do not wait; called once, by whoever notifies the others.
    told: Mutex<Vec<OnRoom>>,
    /// Notified by claimers while somebody is blocked, by those who waited and do not push, and as a queue is closed. Its
    /// waiters hold `told`.
    freed: Condvar,
}

impl Space {
    /// Makes room for `capacity` tasks.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            capacity: capacity.get(),
            taken: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
            told: Mutex::new(Vec::new()),
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

    /// Wakes one who waits, and tells all who asked: called by one who was woken and takes no room, too, who may have had the
    /// only notification.
    pub fn wake_one(&self) {
        fence(Ordering::SeqCst);
        if self.blocked.load(Ordering::SeqCst) > 0 {
            let told = self.take_told();
            self.freed.notify_one();
            told.into_iter().for_each(|tell| tell.0());
        }
    }

    /// Has all who wait look at their `stop` again, and tells all who asked.
    pub fn wake_all(&self) {
        let told = self.take_told();
        self.freed.notify_all();
        told.into_iter().for_each(|tell| tell.0());
    }

    /// Takes what is to be called, to be called without the lock. A waiter is about to wait no more when this has the lock.
    fn take_told(&self) -> Vec<OnRoom> {
        let mut told = self.told.lock();
        self.blocked.fetch_sub(told.len(), Ordering::SeqCst);
        std::mem::take(&mut *told)
    }

    /// Waits until there is room, `stop` holds, or `timeout` has passed; then try again. Woken by [`Space::give_back`],
    /// [`Space::wake_one`] and [`Space::wake_all`].
    pub fn wait(&self, timeout: Option<Duration>, stop: impl Fn() -> bool) {
        let told = self.told.lock();
        self.blocked.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !self.is_left() && !stop() {
            drop(self.freed.wait(told, timeout));
        }
        self.blocked.fetch_sub(1, Ordering::SeqCst);
    }

    /// Has `tell` called once as soon as there may be room or `stop` holds; now, if that is so. Never waits.
    ///
    /// All who asked are told of one place: those who do not want it any more keep it from nobody.
    pub fn when_left(&self, tell: impl FnOnce() + Send + 'static, stop: impl Fn() -> bool) {
        let mut told = self.told.lock();
        self.blocked.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !self.is_left() && !stop() {
            told.push(OnRoom(Box::new(tell)));
            return;
        }
        self.blocked.fetch_sub(1, Ordering::SeqCst);
        drop(told);
        tell();
    }
}
