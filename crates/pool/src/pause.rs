//! How workers are made to rest between two tasks, without what they hold, and to go on.

use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering};

/// Who wants the workers of one queue to rest.
#[derive(Debug, Default)]
pub struct Pause {
    /// Callers of [`Pause::begin`] that have not ended it: written by them, under `lock`. Read by workers without it.
    wanted: AtomicUsize,
    lock: Mutex<()>,
    /// Notified by the last [`Pause::end`] and by [`Pause::wake`].
    over: Condvar,
}

impl Pause {
    /// Makes a pause that nobody wants.
    pub fn new() -> Self {
        Self { wanted: AtomicUsize::new(0), lock: Mutex::new(()), over: Condvar::new() }
    }

    /// Tells whether somebody wants workers to rest.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > 0
    }

    /// Wants workers to rest until [`Pause::end`]; the caller wakes those that sleep.
    pub fn begin(&self) {
        let _guard = self.lock.lock();
        self.wanted.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends what one [`Pause::begin`] has begun.
    pub fn end(&self) {
        let _guard = self.lock.lock();
        if self.wanted.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.over.notify_all();
        }
    }

    /// Waits until nobody wants the pause or `stop` holds. Woken by [`Pause::end`] and [`Pause::wake`].
    pub fn wait(&self, stop: impl Fn() -> bool) {
        let mut guard = self.lock.lock();
        while self.is_wanted() && !stop() {
            guard = self.over.wait(guard, None);
        }
    }

    /// Has those who rest look at their `stop` again.
    pub fn wake(&self) {
        let _guard = self.lock.lock();
        self.over.notify_all();
    }
}
