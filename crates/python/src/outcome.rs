//! What came of a task: returned, raised, or broken because the place where it ran is gone.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use hypern_pool::Promise;
use hypern_wire::{Frame, Kind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buffer::Buffer;
use crate::face::{Face, raised_by};
use crate::leash::Why;
use crate::task::{Inbox, Letter, Reply, Spent};

/// Payloads over this many bytes are lent to the decoder; smaller ones are cheaper to copy.
const COPY: usize = 64 * 1024;

/// What came of a task. Made without the interpreter where the task ran elsewhere; opened by the caller.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Returned in the main interpreter.
    Returned(Py<PyAny>),
    /// Raised in the main interpreter.
    Raised(PyErr),
    /// Returned or raised in a guest.
    Reply(Frame),
    /// The worker process died: its identifier, its exit code or minus its signal, what more is known.
    Crashed { pid: u32, status: Option<i32>, detail: String },
    /// The task was stopped.
    Stopped(Why),
    /// The pool ended before the task started; the reason where that was not asked for.
    Refused(Option<String>),
}

/// An outcome in the words of the caller.
pub(crate) enum Opened {
    Value(Py<PyAny>),
    /// Raised by the task.
    TaskError(PyErr),
    /// Raised by the pool.
    PoolError(PyErr),
}

impl Outcome {
    /// The outcome of a task whose glue panicked.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Self::Raised(PyRuntimeError::new_err(format!("hypern failed inside while running the task: {message}")))
    }

    /// Whether the task did not return.
    pub(crate) fn is_failure(&self) -> bool {
        !matches!(self, Self::Returned(_) | Self::Reply(Frame { kind: Kind::Returned, .. }))
    }

    /// Turns the outcome into Python objects, decoding what came from a guest.
    pub(crate) fn open(self, py: Python<'_>, face: &Face) -> Opened {
        match self {
            Self::Returned(value) => Opened::Value(value),
            Self::Raised(error) => Opened::TaskError(error),
            Self::Reply(Frame { kind: Kind::Returned, payload, .. }) if payload.is_empty() => Opened::Value(py.None()),
            Self::Reply(Frame { kind: Kind::Returned, payload, buffers, .. }) => {
                match show(py, payload, buffers).and_then(|data| face.decode.call1(py, data)) {
                    Ok(value) => Opened::Value(value),
                    // It cannot be rebuilt; or Ctrl-C came meanwhile, which is not the task's.
                    Err(error) => Opened::PoolError(error),
                }
            }
            Self::Reply(Frame { payload, buffers, .. }) => {
                match show(py, payload, buffers).and_then(|data| face.decode_error.call1(py, data)) {
                    Ok(exception) => Opened::TaskError(PyErr::from_value(exception.into_bound(py))),
                    Err(error) => Opened::PoolError(error),
                }
            }
            Self::Crashed { pid, status, detail } => {
                Opened::PoolError(raised_by(py, face.crashed.call1(py, (pid, status, detail))))
            }
            Self::Stopped(why) => {
                let seconds = match why {
                    Why::Deadline(limit) => Some(limit.as_secs_f64()),
                    Why::Interrupted => None,
                };
                Opened::PoolError(raised_by(py, face.stopped.call1(py, (seconds,))))
            }
            Self::Refused(reason) => Opened::PoolError(face.refusal(py, reason.as_deref())),
        }
    }

    /// The value, or the error that `run` raises.
    pub(crate) fn into_result(self, py: Python<'_>, face: &Face) -> PyResult<Py<PyAny>> {
        match self.open(py, face) {
            Opened::Value(value) => Ok(value),
            Opened::TaskError(error) => Err(face.failure(py, error)),
            Opened::PoolError(error) => Err(error),
        }
    }
}

/// Where nobody waits any more, what was delivered there. It refers to Python objects: to be dropped in the main
/// interpreter.
#[must_use]
#[expect(dead_code, reason = "held to be dropped in the right place")]
pub(crate) enum Unclaimed {
    Promise(Promise<(Outcome, Spent)>),
    Inbox(Inbox),
}

impl Reply {
    /// Delivers the outcome. A future needs the interpreter and its callbacks run here; the others do not.
    pub(crate) fn settle(self, outcome: Outcome, ran: Duration, spent: Spent, face: &Face) -> Option<Unclaimed> {
        match self {
            Self::Promise(promise) => {
                promise.settle((outcome, spent));
                Arc::into_inner(promise).map(Unclaimed::Promise)
            }
            Self::Batch(inbox, index) => {
                inbox.put(Letter { index, outcome, seconds: ran.as_secs_f64(), spent, core: None });
                Arc::into_inner(inbox).map(Unclaimed::Inbox)
            }
            Self::Call(inbox, index, core) => {
                inbox.put(Letter { index, outcome, seconds: ran.as_secs_f64(), spent, core: Some(core) });
                Arc::into_inner(inbox).map(Unclaimed::Inbox)
            }
            Self::Future(future) => {
                // None: the interpreter is finalizing and nobody can look at the future any more.
                let _: Option<()> = Python::try_attach(|py| {
                    drop(spent);
                    settle_future(py, face, future, outcome);
                });
                None
            }
        }
    }
}

/// Tells the future that its task runs now; false if it was cancelled.
pub(crate) fn start_future(py: Python<'_>, future: &Py<PyAny>) -> bool {
    match future.call_method0(py, "set_running_or_notify_cancel") {
        Ok(started) => started.is_truthy(py).unwrap_or(false),
        Err(error) => {
            error.write_unraisable(py, Some(future.bind(py)));
            false
        }
    }
}

fn settle_future(py: Python<'_>, face: &Face, future: Py<PyAny>, outcome: Outcome) {
    let settled = match outcome.open(py, face) {
        Opened::Value(value) => future.call_method1(py, "set_result", (value,)),
        Opened::TaskError(error) | Opened::PoolError(error) => {
            future.call_method1(py, "set_exception", (error.into_value(py),))
        }
    };
    if let Err(error) = settled {
        // A callback raised what concurrent.futures does not catch, SystemExit for one: said, and not obeyed.
        error.write_unraisable(py, Some(future.bind(py)));
    }
}

type Shown<'py> = (Bound<'py, PyAny>, Bound<'py, PyList>);

/// Makes the payload and the buffers of a frame visible to Python.
fn show(py: Python<'_>, payload: Vec<u8>, buffers: Vec<Vec<u8>>) -> PyResult<Shown<'_>> {
    let payload = if payload.len() > COPY {
        Bound::new(py, Buffer::new(payload))?.into_any()
    } else {
        PyBytes::new(py, &payload).into_any()
    };
    let buffers = PyList::new(
        py,
        buffers.into_iter().map(|bytes| Py::new(py, Buffer::new(bytes))).collect::<PyResult<Vec<_>>>()?,
    )?;
    Ok((payload, buffers))
}
