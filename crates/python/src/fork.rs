//! What a fork waits for, and what the forked child does with what it inherited: threads that do not exist there, and open
//! channels.
#![expect(unsafe_code, reason = "the child closes descriptors whose owners live in threads that it does not have")]

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::prelude::*;

/// How many forks lie between the first process and this one. Written by the only thread of a fresh child.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The generation of this process.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Held shared by workers while a fork must not come, as they open or close descriptors or count an interpreter, and alone
/// around a fork: the system copies descriptors and memory at different moments, and the child's memory must tell what is
/// open in it.
static FORKS: RwLock<()> = RwLock::new(());

/// Whether a thread is about to fork.
enum Forking {
    No,
    /// It is, and keeps workers from what they [`hold_off`] forks for.
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
    /// It is, but a handler of somebody else's waits for a worker in between.
    Beside,
}

thread_local! {
    /// Written by this thread. The child goes on as a copy of the thread, and lets go in its turn.
    static FORKING: RefCell<Forking> = const { RefCell::new(Forking::No) };
}

/// Keeps other threads from forking; never held for longer than it takes to start a process. Woken by
/// [`after_fork_in_parent`].
pub(crate) fn hold_off() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no worker holds forks off. Woken by the last one that does.
///
/// Tells whether the fork can come: false where an interpreter lives, which would crash the child. Then the workers are
/// let go on, and the caller has interpreters ended and tries again.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) -> bool {
    // Held already: a handler of somebody else's, called before a fork, forks itself.
    if !is_forking() {
        py.detach(|| FORKING.set(Forking::Alone(FORKS.write().unwrap_or_else(PoisonError::into_inner))));
    }
    #[cfg(own_gil)]
    if !crate::interpreter::none_lives() {
        FORKING.set(Forking::No);
        return false;
    }
    true
}

/// Tells whether this thread is about to fork, and interpreters rest for it.
pub(crate) fn is_forking() -> bool {
    FORKING.with_borrow(|forking| !matches!(forking, Forking::No))
}

/// Lets workers go on after a fork.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    FORKING.set(Forking::No);
}

/// Lets workers go on although the fork of this thread is still to come: it waits for one of them, in a handler of
/// somebody else's that is called between ours and the fork.
pub(crate) fn let_go() {
    if is_forking() {
        FORKING.set(Forking::Beside);
    }
}

/// Declares this process a forked child. The package registers this, `before_fork` and `after_fork_in_parent` with the
/// interpreter.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    FORKING.set(Forking::No);
}

/// Ends a child that was forked inside a task and has returned from it: the thread that it woke up on was a worker,
/// and nothing else of the pool exists here.
pub(crate) fn end_stray_child(py: Python<'_>) -> ! {
    let flush = || -> PyResult<()> {
        let sys = py.import("sys")?;
        sys.getattr("stdout")?.call_method0("flush")?;
        sys.getattr("stderr")?.call_method0("flush")?;
        Ok(())
    };
    drop(flush());
    // Not `std::process::exit`: the handlers it runs belong to the parent.
    drop(py.import("os").and_then(|os| os.call_method1("_exit", (0,))));
    std::process::abort()
}

/// Descriptors that a forked child must close, -1 for none. Written by the worker that owns them, under [`hold_off`].
#[derive(Debug)]
pub(crate) struct Inherited([AtomicI32; 2]);

impl Default for Inherited {
    fn default() -> Self {
        Self([AtomicI32::new(-1), AtomicI32::new(-1)])
    }
}

impl Inherited {
    /// Names what is open when the worker lets forks go on.
    pub(crate) fn set(&self, descriptors: [Option<RawFd>; 2]) {
        for (place, descriptor) in self.0.iter().zip(descriptors) {
            place.store(descriptor.unwrap_or(-1), Ordering::Release);
        }
    }

    /// Closes the descriptors in a forked child, where their owner does not exist. Takes no lock.
    pub(crate) fn close_in_child(&self) {
        for place in &self.0 {
            let descriptor = place.swap(-1, Ordering::AcqRel);
            if descriptor >= 0 {
                // SAFETY: the descriptor must be open and owned here, which holds because no fork comes between a
                // worker's opening or closing it and its saying so, and that worker does not exist in this child.
                unsafe { rustix::io::close(descriptor) };
            }
        }
    }
}
