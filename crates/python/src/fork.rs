//! What a fork waits for, and what the forked child does with what it inherited: threads that do not exist there, and open
//! channels.
#![expect(unsafe_code, reason = "the child closes descriptors whose owners live in threads that it does not have")]

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::core::{Core, with_interpreters};
use crate::interpreter;
use crate::keeper;
use crate::leash;

/// How many forks lie between the first process and this one. Written by the only thread of a fresh child.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The generation of this process.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Held shared by workers while a fork must not come, as they make a thread state, open or close descriptors or count an
/// interpreter, and alone around a fork: the system copies descriptors and memory at different moments, and the child's memory must tell what is
/// open in it.
static FORKS: RwLock<()> = RwLock::new(());

/// Threads that are about to fork and have interpreters rest for it. Written by them.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// What a thread that is about to fork has done for it.
#[derive(Default)]
struct Forking {
    /// Forks that are to come: a handler of somebody else's, called before a fork, may fork itself.
    depth: usize,
    /// Keeps workers from what they [`hold_off`] forks for; given up while such a handler waits for a worker.
    alone: Option<RwLockWriteGuard<'static, ()>>,
    /// The pools whose interpreters rest.
    paused: Vec<Arc<Core>>,
}

thread_local! {
    /// Written by this thread. The child goes on as a copy of the thread, and lets go in its turn.
    static FORKING: RefCell<Forking> = RefCell::new(Forking::default());
}

/// Keeps other threads from forking; never held for longer than it takes to start a process or to get the interpreter. Woken by
/// [`after_fork_in_parent`].
pub(crate) fn hold_off() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Attaches a thread that has no thread state yet. It is made without the interpreter, and a fork meanwhile leaves the child with
/// a lock that nobody releases: up to CPython 3.11 that of the list of thread states, on free-threaded builds that of the
/// stopped world. None where the interpreter is finalizing.
pub(crate) fn attach_anew<R>(work: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    let no_fork = hold_off();
    Python::try_attach(|py| {
        drop(no_fork);
        work(py)
    })
}

/// Waits until no interpreter lives, which would crash the child, and no worker holds forks off; keeps it so until the fork
/// has come. Woken by workers as they end their interpreters or are done.
///
/// `warn()` is called if that takes more than `patience` seconds. One call of the core, as an exception of a handler,
/// Ctrl-C for one, would not keep the fork from coming.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>, patience: f64, warn: &Bound<'_, PyAny>) {
    FORKING.with_borrow_mut(|forking| forking.depth += 1);
    be_alone(py, Duration::try_from_secs_f64(patience).ok(), Some(warn));
}

/// Lets workers go on after a fork.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    FORKING.with_borrow_mut(|forking| {
        forking.depth = forking.depth.saturating_sub(1);
        if forking.depth == 0 {
            forking.alone = None;
            if !forking.paused.is_empty() {
                forking.paused.drain(..).for_each(|core| core.queue.resume());
                WANTED.fetch_sub(1, Ordering::SeqCst);
            }
        }
    });
}

/// Declares this process a forked child. The package registers this, `before_fork` and `after_fork_in_parent` with the
/// interpreter.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    WANTED.store(0, Ordering::SeqCst);
    let mut forking = FORKING.take();
    forking.alone = None;
    // Pools of the parent are not even dropped.
    std::mem::forget(forking);
    interpreter::forget_all();
    keeper::forget();
    leash::forget();
}

/// Tells whether this thread is about to fork.
pub(crate) fn is_forking() -> bool {
    FORKING.with_borrow(|forking| forking.depth > 0)
}

/// Tells whether interpreters should end because some thread is about to fork.
pub(crate) fn is_wanted() -> bool {
    WANTED.load(Ordering::SeqCst) > 0
}

/// Lets workers go on although the fork of this thread is still to come: it waits for one of them, in a handler of
/// somebody else's that is called between ours and the fork.
pub(crate) fn let_go() {
    FORKING.with_borrow_mut(|forking| forking.alone = None);
}

/// Does what [`let_go`] does until it is dropped, which waits, detached, as [`before_fork`] has waited.
pub(crate) struct LetGo<'py>(Python<'py>);

impl<'py> LetGo<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        let_go();
        Self(py)
    }
}

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        if is_forking() {
            be_alone(self.0, None, None);
        }
    }
}

fn be_alone(py: Python<'_>, patience: Option<Duration>, warn: Option<&Bound<'_, PyAny>>) {
    while FORKING.with_borrow(|forking| forking.alone.is_none()) {
        rest(py, patience, warn);
        py.detach(|| {
            let alone = FORKS.write().unwrap_or_else(PoisonError::into_inner);
            FORKING.with_borrow_mut(|forking| forking.alone = Some(alone));
        });
        if !interpreter::none_lives() {
            // One was made before the lock was taken, by a pool that was not seen to rest.
            let_go();
        }
    }
}

/// Has the workers of all pools of interpreters rest, each after its task, and waits until they do.
fn rest(py: Python<'_>, patience: Option<Duration>, warn: Option<&Bound<'_, PyAny>>) {
    let pools = py.detach(|| {
        // Where this is the callback of a future, on the thread of a worker.
        interpreter::end();
        with_interpreters()
    });
    FORKING.with_borrow_mut(|forking| {
        for core in &pools {
            if !forking.paused.iter().any(|paused| Arc::ptr_eq(paused, core)) {
                if forking.paused.is_empty() {
                    WANTED.fetch_add(1, Ordering::SeqCst);
                }
                core.queue.pause();
                forking.paused.push(Arc::clone(core));
            }
        }
    });
    for core in &pools {
        let rested = |timeout| py.detach(|| core.interpreters.wait_ended(timeout));
        if !rested(patience) {
            if let Some(Err(error)) = warn.map(|warn| warn.call0()) {
                match error.is_instance_of::<PyKeyboardInterrupt>(py) {
                    // To be raised where it can be seen.
                    // SAFETY: it only sets a flag, from any thread.
                    true => unsafe { pyo3::ffi::PyErr_SetInterrupt() },
                    false => error.write_unraisable(py, None),
                }
            }
            rested(None);
        }
    }
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
