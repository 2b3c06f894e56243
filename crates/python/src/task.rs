//! A task: what to run, where its outcome goes, and on whose behalf it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use hypern_pool::{Mailbox, Promise};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyTuple};

use crate::buffer::Held;
use crate::context::Context;
use crate::core::Core;
use crate::leash::Leash;
use crate::letterbox::Bell;
use crate::lineage::{self, Lineage};
use crate::outcome::Outcome;

/// Something that was pickled once and is sent at most once to each worker that needs it.
#[pyclass(module = "hypern._core", frozen, from_py_object)]
#[derive(Clone, Debug)]
pub(crate) struct Shipment(Arc<Content>);

/// The bytes of a [`Shipment`] and the number under which workers keep it.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

#[pymethods]
impl Shipment {
    #[new]
    fn new(pickled: Vec<u8>) -> Self {
        /// The last number given out; 0 means no function.
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        Self(Arc::new(Content { number, bytes: pickled }))
    }

    fn __repr__(&self) -> String {
        format!("<hypern._core.Shipment {} of {} bytes>", self.0.number, self.0.bytes.len())
    }
}

impl Shipment {
    pub(crate) fn content(&self) -> &Arc<Content> {
        &self.0
    }
}

/// What to run, in the form that the backend of its pool takes.
#[derive(Debug)]
pub(crate) enum Work {
    /// A call in the main interpreter.
    Call(Call),
    /// Bytes for a guest.
    Encoded(Encoded),
}

impl Work {
    /// What is called, for those who look at the worker.
    pub(crate) fn callable(&self, py: Python<'_>, reply: &Reply) -> Option<Py<PyAny>> {
        match self {
            Self::Encoded(encoded) => encoded.callable.as_ref().map(|callable| callable.clone_ref(py)),
            // See `prepare_chunk`.
            Self::Call(call) if matches!(reply, Reply::Batch(..)) => {
                call.args.bind(py).get_item(1).ok().map(Bound::unbind)
            }
            Self::Call(call) => Some(call.function.clone_ref(py)),
        }
    }
}

/// A callable with its arguments, in the main interpreter.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: Py<PyAny>,
    pub(crate) args: Py<PyTuple>,
    pub(crate) kwargs: Option<Py<PyDict>>,
    pub(crate) context: Context,
}

impl Call {
    /// Calls the function in the context of the task.
    pub(crate) fn run(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let kwargs = self.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
        self.context.run(py, || self.function.bind(py).call(self.args.bind(py), kwargs).map(Bound::unbind))
    }
}

/// A call in the form that crosses to a guest.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) kind: hypern_wire::Kind,
    /// The function where it travels apart from the data; otherwise it is in the payload.
    pub(crate) function: Option<Shipment>,
    /// The module search path under which the payload can be rebuilt, in the form that is sent once.
    pub(crate) path: Shipment,
    pub(crate) payload: PyBackedBytes,
    /// What is called, for those who look at the worker, which takes it meanwhile.
    pub(crate) callable: Option<Py<PyAny>>,
    pub(crate) buffers: Vec<Arc<Held>>,
    /// Whether a caller waits for this task alone, so that a few microseconds of looking for the reply are well spent.
    pub(crate) awaited: bool,
}

/// Where the outcome goes.
#[derive(Debug)]
pub(crate) enum Reply {
    /// To the one caller that waits in `run`.
    Promise(Arc<Promise<(Outcome, Spent)>>),
    /// To a `concurrent.futures.Future`.
    Future(Py<PyAny>),
    /// To the caller that drives a batch, as the chunk of that number.
    Batch(Arc<Inbox>, usize),
    /// To the event loop that awaits it, as the call of that number, with the pool that knows how to open it.
    Call(Arc<Inbox>, usize, Arc<Core>),
}

impl Reply {
    /// Whether nobody wants the outcome any more.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self, Self::Batch(inbox, _) if inbox.stopped.load(Ordering::Acquire))
    }

    /// Takes note of the outcome before it is delivered: the first failure of `map` keeps its other chunks from starting.
    pub(crate) fn note(&self, outcome: &Outcome) {
        if let Self::Batch(inbox, _) = self
            && inbox.stops_at_failure
            && outcome.is_failure()
        {
            inbox.stopped.store(true, Ordering::Release);
        }
    }
}

/// Work that was done in a guest. It refers to Python objects, so it goes back to the caller, who drops it attached.
pub(crate) type Spent = Option<Work>;

/// Where the outcomes of a batch, or of the calls of an event loop, arrive.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) mailbox: Mailbox<Letter>,
    /// Rung for the first letter since the mailbox was emptied, where an event loop waits.
    pub(crate) bell: Option<Arc<Bell>>,
    stops_at_failure: bool,
    /// Set by the worker whose chunk failed, before it takes another; read by workers before they run a chunk.
    stopped: AtomicBool,
}

impl Inbox {
    /// Makes an empty one; with `stops_at_failure`, no chunk of its batch starts after one that failed.
    pub(crate) fn new(stops_at_failure: bool, bell: Option<Arc<Bell>>) -> Self {
        Self { mailbox: Mailbox::new(), bell, stops_at_failure, stopped: AtomicBool::new(false) }
    }

    /// Adds an outcome and tells who waits.
    pub(crate) fn put(&self, letter: Letter) {
        let is_first = self.mailbox.put(letter);
        if let Some(bell) = &self.bell
            && is_first
        {
            bell.ring();
        }
    }
}

/// The outcome of one chunk of a batch, or of one call of an event loop.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) index: usize,
    pub(crate) outcome: Outcome,
    /// How long it ran, for the size of the next chunks.
    pub(crate) seconds: f64,
    #[expect(dead_code, reason = "it is dropped with the letter, by the caller, who is attached")]
    pub(crate) spent: Spent,
    /// The pool of a call; a batch has its own.
    pub(crate) core: Option<Arc<Core>>,
}

/// A task as it lies in the queue.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) work: Work,
    pub(crate) reply: Reply,
    /// The lineage of the thread that made the task.
    pub(crate) lineage: Lineage,
    /// When it was made, for the time that it waits.
    pub(crate) made: Instant,
    /// What it is held by, where it may be stopped.
    pub(crate) leash: Option<Leash>,
}

impl Task {
    /// Makes a task on behalf of the current thread.
    pub(crate) fn new(work: Work, reply: Reply, leash: Option<Leash>) -> Self {
        Self { work, reply, lineage: lineage::current(), made: Instant::now(), leash }
    }
}
