//! The locks and atomics of this crate, chosen in one place: std, loom under `cfg(loom)`, parking_lot under
//! `cfg(hypern_tsan)`.
//!
//! std is the choice for real builds because its locks are plain futexes without any process-wide table: a
//! child made by `fork` while other threads wait can make new locks and use them at once. parking_lot parks in
//! a global table whose bucket locks a fork may copy in the locked state. ThreadSanitizer cannot see into an
//! uninstrumented std, hence the second choice.

#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

#[cfg(loom)]
use loom::sync as locks;
#[cfg(not(any(loom, hypern_tsan)))]
use std::sync as locks;

use std::time::Duration;

/// A mutual exclusion lock that a panicking holder does not poison: every critical section of this crate
/// leaves its data valid at each step.
#[derive(Debug, Default)]
#[cfg(not(hypern_tsan))]
pub struct Mutex<T>(locks::Mutex<T>);

/// Held while the data is in use.
#[cfg(not(hypern_tsan))]
pub type MutexGuard<'a, T> = locks::MutexGuard<'a, T>;

#[cfg(not(hypern_tsan))]
impl<T> Mutex<T> {
    /// Makes an unlocked mutex around `value`.
    pub fn new(value: T) -> Self {
        Self(locks::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

/// A condition variable; spurious wake-ups happen, callers wait in loops.
#[derive(Debug, Default)]
#[cfg(not(hypern_tsan))]
pub struct Condvar(locks::Condvar);

#[cfg(not(hypern_tsan))]
impl Condvar {
    /// Makes a condition variable that nobody waits on.
    pub fn new() -> Self {
        Self(locks::Condvar::new())
    }

    /// Waits for a notification, or until `timeout` has passed where there is one.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>, timeout: Option<Duration>) -> MutexGuard<'a, T> {
        match timeout {
            None => match self.0.wait(guard) {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            },
            Some(timeout) => match self.0.wait_timeout(guard, timeout) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            },
        }
    }

    /// Wakes one waiter.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(hypern_tsan)]
pub use instrumented::{Condvar, Mutex, MutexGuard};

#[cfg(hypern_tsan)]
mod instrumented {
    //! The same faces over parking_lot, whose code ThreadSanitizer instruments.
    use std::time::Duration;

    /// See the module.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(parking_lot::Mutex<T>);
    /// See the module.
    pub type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        /// Makes an unlocked mutex around `value`.
        pub fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }
        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock()
        }
    }

    /// See the module.
    #[derive(Debug, Default)]
    pub struct Condvar(parking_lot::Condvar);

    impl Condvar {
        /// Makes a condition variable that nobody waits on.
        pub fn new() -> Self {
            Self(parking_lot::Condvar::new())
        }
        /// Waits for a notification, or until `timeout` has passed where there is one.
        pub fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>, timeout: Option<Duration>) -> MutexGuard<'a, T> {
            match timeout {
                None => self.0.wait(&mut guard),
                Some(timeout) => {
                    self.0.wait_for(&mut guard, timeout);
                }
            }
            guard
        }
        /// Wakes one waiter.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }
        /// Wakes all waiters.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

/// An unbounded queue of many producers and many consumers: crossbeam's, or a locked one that loom can see.
#[cfg(not(loom))]
pub use crossbeam_queue::SegQueue;

#[cfg(loom)]
pub use model::SegQueue;

#[cfg(loom)]
mod model {
    //! Stands in for crossbeam's queue in model builds, which check how it is used and not the queue itself.
    use std::collections::VecDeque;

    /// See the module.
    #[derive(Debug, Default)]
    pub struct SegQueue<T>(super::Mutex<VecDeque<T>>);

    impl<T> SegQueue<T> {
        /// Makes an empty queue.
        pub fn new() -> Self {
            Self(super::Mutex::new(VecDeque::new()))
        }
        /// Appends `value`.
        pub fn push(&self, value: T) {
            self.0.lock().push_back(value);
        }
        /// Takes the oldest value.
        pub fn pop(&self) -> Option<T> {
            self.0.lock().pop_front()
        }
        /// Tells whether nothing is in the queue.
        pub fn is_empty(&self) -> bool {
            self.0.lock().is_empty()
        }
    }
}

/// A short wait that looks again and again: first without leaving the core, then letting others run in between.
///
/// The one that is waited for may be queued behind us on this very core; yielding lets it run. Ends at once in model
/// builds and on one core.
#[derive(Debug)]
pub struct Spin {
    began: Option<std::time::Instant>,
    limit: Duration,
}

/// How long a spin keeps its core to itself: the other side, if it runs on another one, is done by then.
const KEEP_CORE: Duration = Duration::from_nanos(500);

impl Spin {
    /// Starts a spin of at most `limit`.
    pub fn start(limit: Duration) -> Self {
        let useful = cfg!(not(loom)) && has_several_cores();
        Self { began: useful.then(std::time::Instant::now), limit }
    }

    /// Spends one short turn; false when the time is up.
    pub fn turn(&self) -> bool {
        let Some(began) = self.began else { return false };
        let spent = began.elapsed();
        if spent < KEEP_CORE {
            for _ in 0..8 {
                std::hint::spin_loop();
            }
        } else {
            std::thread::yield_now();
        }
        spent < self.limit
    }
}

/// Spinning on one core only keeps the one that is waited for from running.
///
/// Found out once, by whoever asks first, and by several where they ask at the same moment: a `OnceLock` would make a
/// forked child wait for the thread of its parent that was finding it out.
fn has_several_cores() -> bool {
    /// 0: not known yet; else the number of cores. Written by any thread, always with the same value.
    static CORES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let mut cores = CORES.load(Ordering::Relaxed);
    if cores == 0 {
        cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        CORES.store(cores, Ordering::Relaxed);
    }
    cores > 1
}
