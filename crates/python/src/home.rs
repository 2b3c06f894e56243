//! A worker's place in the main interpreter, which it enters to settle futures, and otherwise stays out of.
#![expect(unsafe_code, reason = "a thread that also owns another interpreter must say which of the two it enters")]

use std::marker::PhantomData;

use pyo3::ffi;
use pyo3::prelude::*;

/// The thread state that the current thread has in the main interpreter, detached.
///
/// `Python::attach` alone enters the interpreter that the thread was in last. So a thread that owns a subinterpreter uses
/// PyO3 inside [`Home::attach`] only, where that is the main one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home(*mut ffi::PyThreadState);

impl Home {
    /// Runs `work` detached, for the rest of a thread's life: it can come back by the argument.
    pub(crate) fn leave<R: Send>(py: Python<'_>, work: impl FnOnce(Home) -> R + Send) -> R {
        // SAFETY: the thread must be attached, which holds because `py` is here.
        let state = Wrapped(unsafe { ffi::PyThreadState_Get() });
        py.detach(move || {
            // The block takes hold of the whole wrapper, and not of the pointer in it, which may not be sent.
            let Wrapped(state) = { state };
            work(Home(state))
        })
    }

    /// Runs `work` in the main interpreter.
    pub(crate) fn attach<R>(self, work: impl FnOnce(Python<'_>) -> R) -> R {
        let _attached = self.enter();
        Python::attach(work)
    }

    /// Attaches without PyO3's knowledge.
    pub(crate) fn enter(self) -> Attached {
        // SAFETY: the state lives as long as the outer attachment that `Home::leave` has suspended; `Home` stays in its
        // thread; and whoever enters another state on this thread leaves it before coming here.
        unsafe { Attached::enter(self.0) }
    }
}

/// Attached to the interpreter of a thread state; detaches when dropped.
#[derive(Debug)]
pub(crate) struct Attached(PhantomData<*mut ffi::PyThreadState>);

impl Attached {
    /// # Safety
    /// The state must belong to this thread and live until the guard is dropped, and no state may be attached.
    pub(crate) unsafe fn enter(state: *mut ffi::PyThreadState) -> Self {
        // SAFETY: by the caller's word.
        unsafe { ffi::PyEval_RestoreThread(state) };
        Self(PhantomData)
    }

    /// Forgets that the state is attached: a call has made another one the current one in its place.
    #[cfg(own_gil)]
    pub(crate) fn replaced(self) {
        std::mem::forget(self);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: a state must be attached, which holds since `enter`, as what runs in between gives back what it takes,
        // unless `replaced` has taken this guard away.
        unsafe { ffi::PyEval_SaveThread() };
    }
}

/// Carries the pointer into the closure of `Python::detach`, which runs on the same thread.
struct Wrapped(*mut ffi::PyThreadState);

// SAFETY: the pointer must not be used on another thread, which holds because `Python::detach` calls its closure on the
// current one.
unsafe impl Send for Wrapped {}
