//! The `contextvars` context in which a task runs: the caller's, copied when the task was made.
#![expect(unsafe_code, reason = "PyO3 wraps the type contextvars.Context but not its copy, enter and exit")]

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// A context of its own for one task.
#[derive(Debug)]
pub(crate) struct Context(Py<PyAny>);

impl Context {
    /// Copies the context of the current thread.
    pub(crate) fn copy_current(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: the thread must be attached, which holds because `py` is here.
        let context = unsafe { ffi::PyContext_CopyCurrent() };
        // SAFETY: the pointer must be null with an exception set, or an owned reference, which holds by the C API.
        unsafe { Bound::from_owned_ptr_or_err(py, context) }.map(|context| Self(context.unbind()))
    }

    /// Runs `work` inside the context.
    pub(crate) fn run<R>(&self, py: Python<'_>, work: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
        // SAFETY: the argument must be a context and the thread attached, which holds by `copy_current` and `py`.
        if unsafe { ffi::PyContext_Enter(self.0.as_ptr()) } < 0 {
            return Err(fetch(py));
        }
        let _entered = Entered(self, py);
        work()
    }
}

/// Leaves the context when dropped, also when the work panicked.
struct Entered<'a, 'py>(&'a Context, Python<'py>);

impl Drop for Entered<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: the context must be the current one of this attached thread, which holds because `run` entered it
        // and the work, being Python code, leaves the contexts that it enters.
        if unsafe { ffi::PyContext_Exit((self.0).0.as_ptr()) } < 0 {
            fetch(self.1).write_unraisable(self.1, None);
        }
    }
}

fn fetch(py: Python<'_>) -> PyErr {
    PyErr::take(py).unwrap_or_else(|| PyRuntimeError::new_err("the context could not be entered or left"))
}
