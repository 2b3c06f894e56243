//! What the core asks of the Python side: the callables that the package hands over when it makes a pool.

use pyo3::prelude::*;

/// The Python callables of one pool; see `python/hypern/_pool.py`, which makes them.
#[derive(Debug)]
pub(crate) struct Face {
    /// `enter(index)`: called once in each worker before its first task; raises where the initializer does.
    pub(crate) enter: Py<PyAny>,
    /// `leave()`: called once in each worker that entered, after its last task.
    pub(crate) leave: Py<PyAny>,
    /// `task_error(exception) -> exception`: what `run` and `Batch.wait` raise for a task that raised.
    pub(crate) task_error: Py<PyAny>,
    /// `refused(reason: str | None) -> exception`: for a pool that is shut down, or broken for that reason.
    pub(crate) refused: Py<PyAny>,
    /// `full(size, waited, task: tuple | None) -> exception`: for a queue that is full after so many seconds.
    pub(crate) full: Py<PyAny>,
    /// `crashed(pid, status, detail) -> exception`: for a task whose worker process died.
    pub(crate) crashed: Py<PyAny>,
    /// `stopped(seconds | None) -> exception`: for a task that has run for so long, or was interrupted.
    pub(crate) stopped: Py<PyAny>,
    /// The class of what is raised inside a task that is to stop.
    pub(crate) stop: Py<PyAny>,
    /// `nothing()`: a Python function that does nothing.
    pub(crate) nothing: Py<PyAny>,
    /// `ship(function) -> Shipment | None`: isolated backends only.
    pub(crate) ship: Py<PyAny>,
    /// `run_chunk(kind, function, items) -> list`: the calls of one chunk of a batch, in the main interpreter.
    pub(crate) run_chunk: Py<PyAny>,
    /// `encode(kind, function, data, apart) -> (payload, buffers, path)`: isolated backends only; the function is left out of
    /// the payload where it travels `apart`.
    pub(crate) encode: Py<PyAny>,
    /// `decode(payload, buffers) -> object`: isolated backends only.
    pub(crate) decode: Py<PyAny>,
    /// `decode_error(payload, buffers) -> exception`: isolated backends only.
    pub(crate) decode_error: Py<PyAny>,
    /// `stayed(function, args, seconds)`: takes note of the processor time of a task here that was not short; where somebody
    /// wants to know.
    pub(crate) stayed: Option<Py<PyAny>>,
    /// `failed(exception)`: logs why the pool broke.
    pub(crate) failed: Py<PyAny>,
}

impl<'py> FromPyObject<'_, 'py> for Face {
    type Error = PyErr;

    /// Written out, because the derived one interns the names: see `clippy.toml`.
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let get = |name: &str| object.getattr(name).map(Bound::unbind);
        Ok(Self {
            enter: get("enter")?,
            leave: get("leave")?,
            task_error: get("task_error")?,
            refused: get("refused")?,
            full: get("full")?,
            crashed: get("crashed")?,
            stopped: get("stopped")?,
            stop: get("stop")?,
            nothing: get("nothing")?,
            ship: get("ship")?,
            run_chunk: get("run_chunk")?,
            encode: get("encode")?,
            decode: get("decode")?,
            decode_error: get("decode_error")?,
            stayed: object.getattr("stayed")?.extract()?,
            failed: get("failed")?,
        })
    }
}

impl Face {
    /// Makes the exception for a pool that accepts nothing.
    pub(crate) fn refusal(&self, py: Python<'_>, reason: Option<&str>) -> PyErr {
        raised_by(py, self.refused.call1(py, (reason,)))
    }

    /// Makes what the caller of a failed task sees.
    pub(crate) fn failure(&self, py: Python<'_>, original: PyErr) -> PyErr {
        raised_by(py, self.task_error.call1(py, (original.into_value(py),)))
    }
}

/// The exception that a Python function made, or the one that kept it from doing so.
pub(crate) fn raised_by(py: Python<'_>, made: PyResult<Py<PyAny>>) -> PyErr {
    match made {
        Ok(exception) => PyErr::from_value(exception.into_bound(py)),
        Err(error) => error,
    }
}
