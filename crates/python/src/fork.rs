//! What a forked child does with what it inherited: threads that do not exist there, and open channels.
#![expect(unsafe_code, reason = "the child closes descriptors whose owners live in threads that it does not have")]

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use pyo3::prelude::*;

/// How many forks lie between the first process and this one. Written by the only thread of a fresh child.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The generation of this process.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Declares this process a forked child; called by the handler that the package registers with the interpreter.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
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

/// A descriptor that a forked child must close, -1 for none. Written by the worker that owns the descriptor.
#[derive(Debug)]
pub(crate) struct Inherited(AtomicI32);

impl Default for Inherited {
    fn default() -> Self {
        Self(AtomicI32::new(-1))
    }
}

impl Inherited {
    pub(crate) fn set(&self, descriptor: Option<RawFd>) {
        self.0.store(descriptor.unwrap_or(-1), Ordering::Release);
    }

    /// Closes the descriptor in a forked child, where its owner does not exist. Takes no lock.
    pub(crate) fn close_in_child(&self) {
        let descriptor = self.0.swap(-1, Ordering::AcqRel);
        if descriptor >= 0 {
            // SAFETY: the descriptor must be open and owned here, which holds because the worker that owns it sets it
            // after opening and clears it before closing, and that worker's thread does not exist in this child.
            unsafe { rustix::io::close(descriptor) };
        }
    }
}
