//! One pool: its queue, its threads, its backend, and what its workers share.
#![expect(clippy::disallowed_types, reason = "`broken` belongs to one pool, and a forked child makes its own pools")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use hypern_pool::{Lifecycle, Mailbox, Queue, Stats, ThreadSettings, Ticket};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::backend::Backend;
use crate::buffer::GivenBack;
use crate::face::{Face, raised_by};
use crate::fork::{self, Inherited};
use crate::interrupt::Reach;
use crate::keeper::{self, Keeper};
use crate::lineage::{self, Part};
use crate::outcome::{Outcome, start_future};
use crate::sight::Sight;
use crate::task::{Reply, Task};

/// What the workers of a pool share with its callers.
#[derive(Debug)]
pub(crate) struct Core {
    /// Names the pool in a lineage, together with the one beside it: tasks of one wait for tasks of the other.
    pub(crate) id: u64,
    pub(crate) part: Part,
    /// The fork generation that the pool's threads live in.
    pub(crate) generation: u64,
    pub(crate) queue: Queue<Task>,
    /// How long a call waits while the queue is full; `None`: as long as it takes.
    pub(crate) patience: Option<Duration>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    /// Counts threads that settle futures of tasks that were stopped.
    pub(crate) settling: Arc<Lifecycle>,
    /// Counts threads that nobody waits for but the exit of the program: workers that were left in a task that does not stop,
    /// and those that raise something in a task.
    pub(crate) left: Arc<Lifecycle>,
    /// Counts the interpreters of the pool.
    pub(crate) interpreters: Arc<Lifecycle>,
    /// What interpreters were lent and have let go of last; dropped by whoever comes by in the main interpreter.
    pub(crate) given_back: Arc<GivenBack>,
    pub(crate) threads: ThreadSettings,
    pub(crate) stats: Stats,
    /// A letter from each worker that has its thread state; read by the maker of the pool, who waits for all.
    pub(crate) attached: Mailbox<()>,
    pub(crate) backend: Backend,
    pub(crate) face: Face,
    /// Why the pool accepts nothing, where nobody asked it to stop. Set once, by the first worker that fails.
    pub(crate) broken: OnceLock<String>,
    /// One for each worker.
    pub(crate) seats: Vec<Arc<Seat>>,
    /// Of workers that have replaced others, with the index of those. Written by the keeper.
    pub(crate) stand_ins: Mutex<Vec<(usize, Arc<Seat>)>>,
    /// Watches the deadlines of all pools.
    pub(crate) keeper: Arc<Keeper>,
}

/// The pools of interpreters, for forks. Locked under [`fork::hold_off`], so that no child inherits it locked.
static WITH_INTERPRETERS: Mutex<Vec<Weak<Core>>> = Mutex::new(Vec::new());

/// Lists a pool of interpreters before its first worker starts. Waits for forks, detached.
pub(crate) fn list_with_interpreters(core: &Arc<Core>) {
    let _no_fork = fork::hold_off();
    let mut listed = WITH_INTERPRETERS.lock().unwrap_or_else(PoisonError::into_inner);
    listed.retain(|other| other.strong_count() > 0);
    listed.push(Arc::downgrade(core));
}

/// The pools of interpreters that exist. Waits for forks, detached.
pub(crate) fn with_interpreters() -> Vec<Arc<Core>> {
    let _no_fork = fork::hold_off();
    let listed = WITH_INTERPRETERS.lock().unwrap_or_else(PoisonError::into_inner);
    listed.iter().filter_map(Weak::upgrade).collect()
}

/// What others know of one worker.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(crate) reach: Arc<Reach>,
    pub(crate) sight: Sight,
    pub(crate) inherited: Inherited,
    /// Whether the worker is left in a task that does not stop, and another one goes on. Written by the keeper, under the lock of
    /// the leash of that task; read by the worker after the task has ended, and by those who look at the pool.
    pub(crate) left: AtomicBool,
}

impl Core {
    /// Makes what a pool shares. Waits for forks, detached.
    pub(crate) fn new(
        backend: Backend,
        face: Face,
        queue: Queue<Task>,
        patience: Option<Duration>,
        threads: ThreadSettings,
        workers: usize,
        beside: Option<&Self>,
    ) -> Self {
        /// The last number given out.
        static LAST: AtomicU64 = AtomicU64::new(0);
        let (id, part) = match beside {
            Some(first) => (first.id, Part::Beside),
            None => (LAST.fetch_add(1, Ordering::Relaxed), Part::First),
        };
        Self {
            id,
            part,
            generation: fork::generation(),
            queue,
            patience,
            lifecycle: Arc::new(Lifecycle::new()),
            settling: Arc::new(Lifecycle::new()),
            left: Arc::new(Lifecycle::new()),
            interpreters: Arc::new(Lifecycle::new()),
            given_back: Arc::new(Mailbox::new()),
            threads,
            stats: Stats::default(),
            attached: Mailbox::new(),
            backend,
            face,
            broken: OnceLock::new(),
            seats: (0..workers).map(|_| Arc::default()).collect(),
            stand_ins: Mutex::default(),
            keeper: keeper::keeper(),
        }
    }

    /// The seats of all workers, each with its index: also of those that are left, and of those in their place.
    pub(crate) fn all_seats(&self) -> Vec<(usize, Arc<Seat>)> {
        let stand_ins = self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner);
        self.seats.iter().cloned().enumerate().chain(stand_ins.iter().cloned()).collect()
    }

    /// Whether interpreters of the pool rest for a fork of this thread.
    pub(crate) fn rests_for_this_thread(&self) -> bool {
        self.backend.has_interpreters() && fork::is_forking()
    }

    /// Accepts nothing from now on, and lets the workers end when all is done.
    pub(crate) fn close(&self) {
        // A forked child has no workers, and those of the parent may hold locks.
        if !self.is_inherited() {
            self.queue.close();
        }
    }

    /// Ends the pool because a worker cannot work: refuses what waits and all that comes.
    pub(crate) fn break_down(&self, py: Python<'_>, reason: &PyErr) {
        if self.broken.set(reason.to_string()).is_err() {
            // Another worker failed first, and does the rest.
            return;
        }
        if let Err(error) = self.face.failed.call1(py, (reason.value(py),)) {
            error.write_unraisable(py, None);
        }
        self.queue.close();
        self.refuse_pending(py);
    }

    /// Settles everything that has not been started: futures are cancelled, or refused where the pool is broken.
    pub(crate) fn refuse_pending(&self, py: Python<'_>) {
        for task in self.queue.drain() {
            self.stats.cancel();
            let Task { reply, .. } = task;
            if let (Reply::Future(future), None) = (&reply, self.broken.get()) {
                let cancelled = future
                    .call_method0(py, "cancel")
                    .and_then(|_| future.call_method0(py, "set_running_or_notify_cancel"));
                if let Err(error) = cancelled {
                    error.write_unraisable(py, Some(future.bind(py)));
                }
                continue;
            }
            if let Reply::Future(future) = &reply
                && !start_future(py, future)
            {
                continue;
            }
            let outcome = Outcome::Refused(self.broken.get().cloned());
            drop(reply.settle(outcome, Duration::ZERO, None, &self.face));
        }
    }

    /// Whether this is a forked child that has none of the pool's threads, and may not take locks that they hold.
    pub(crate) fn is_inherited(&self) -> bool {
        fork::generation() != self.generation
    }

    /// Takes back a task that nobody wants any more, unless it has been started.
    pub(crate) fn take_back(&self, ticket: &Ticket<Task>) -> Option<Task> {
        self.queue.claim(ticket).inspect(|_| self.stats.cancel())
    }

    /// Tells whether the current thread must not wait for a worker of this pool: it works for it or the one beside it, or is about
    /// to fork, for which interpreters rest.
    pub(crate) fn is_current(&self) -> bool {
        self.rests_for_this_thread() || lineage::contains(self.id)
    }

    /// The exception for a call that came too late.
    pub(crate) fn refusal(&self, py: Python<'_>) -> PyErr {
        self.face.refusal(py, self.broken.get().map(String::as_str))
    }

    /// Until when a call that begins now waits while the queue is full; `None`: as long as it takes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.patience.and_then(|patience| Instant::now().checked_add(patience))
    }

    /// The exception for a call that found no space in the queue; `task` is what the caller gets back.
    pub(crate) fn is_full(&self, py: Python<'_>, task: Option<Bound<'_, PyTuple>>) -> PyErr {
        let capacity = self.queue.space().map_or(usize::MAX, |space| space.capacity());
        let waited = self.patience.unwrap_or_default().as_secs_f64();
        raised_by(py, self.face.full.call1(py, (capacity, waited, task)))
    }
}
