//! How a worker without work waits: it searches for a few microseconds, then sleeps until it is woken.
//!
//! Protocol, with every access to the two counters and to the queue in the sequentially consistent order
//! (argued in `README.md`):
//! * a producer makes its task visible, then calls [`Idle::wake_one`];
//! * a worker looks, searches ([`Idle::search`]), and sleeps ([`Idle::sleep`]), looking once more under the lock
//!   after it has counted itself as sleeping;
//! * a worker that found something after a search passes the word on while there is more to find, because the
//!   producers that saw it searching woke nobody.

use std::time::Duration;

use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering, Spin, fence};

/// How long a worker searches before it sleeps: about what waking it would cost.
const SEARCH: Duration = Duration::from_micros(20);

/// The waiting room of the workers of one queue.
#[derive(Debug, Default)]
pub struct Idle {
    /// Workers that search now, zero or one: written by the worker itself on entering and leaving the search.
    searching: AtomicUsize,
    /// Workers that sleep or are about to: written by the worker itself, under `lock`.
    sleeping: AtomicUsize,
    /// Held around the last look before sleeping and around every wake-up.
    lock: Mutex<()>,
    /// Notified by [`Idle::wake_one`] and [`Idle::wake_all`].
    woken: Condvar,
}

impl Idle {
    /// Makes a room where nobody waits.
    pub fn new() -> Self {
        Self {
            searching: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            lock: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    /// Looks again and again for a short while; at most one worker of a pool does at a time.
    ///
    /// `announce` is called in any case, once this worker counts as searching where it does: what it makes others do
    /// then finds a worker that is awake.
    pub fn search<T>(&self, announce: impl FnOnce(), mut look: impl FnMut() -> Option<T>) -> Option<T> {
        if self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            announce();
            return None;
        }
        announce();
        let spin = Spin::start(SEARCH);
        let found = loop {
            if let Some(found) = look() {
                break Some(found);
            }
            if !spin.turn() {
                break None;
            }
        };
        self.searching.store(0, Ordering::SeqCst);
        found
    }

    /// Sleeps until `look` finds something or `stop` holds, looking after every wake-up.
    pub fn sleep<T>(&self, mut look: impl FnMut() -> Option<T>, stop: impl Fn() -> bool) -> Option<T> {
        let mut guard = self.lock.lock();
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        let found = loop {
            fence(Ordering::SeqCst);
            // Asked before looking: a producer that comes after this look sees the end and takes its task back.
            let stopping = stop();
            if let Some(found) = look() {
                break Some(found);
            }
            if stopping {
                break None;
            }
            guard = self.woken.wait(guard, None);
        };
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
        drop(guard);
        found
    }

    /// Called after a task was made visible: wakes a sleeper unless a searching worker is certain to see the task.
    pub fn wake_one(&self) {
        fence(Ordering::SeqCst);
        if self.searching.load(Ordering::SeqCst) == 0 {
            self.wake_sleeper();
        }
    }

    /// Wakes a sleeper where there is one, whoever searches.
    pub fn wake_sleeper(&self) {
        if self.sleeping.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock());
            self.woken.notify_one();
        }
    }

    /// Wakes everybody, after the end was made visible.
    pub fn wake_all(&self) {
        drop(self.lock.lock());
        self.woken.notify_all();
    }
}
