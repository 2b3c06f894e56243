//! Many calls of one caller: chunks go out, outcomes come back in any order, the caller drives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hypern_pool::{Limit, PushError, Ticket};
use hypern_wire::Kind;
use pyo3::exceptions::{PyBaseException, PyException};
use pyo3::prelude::*;

use crate::backend;
use crate::core::Core;
use crate::face::Face;
use crate::leash::{self, Leash};
use crate::lineage;
use crate::pool::{Pool, prepare_chunk, push, ship};
use crate::task::{Inbox, Letter, Reply, Shipment, Task, Work};
use crate::waiting::{deadline_in, is_over, sooner, wait_detached};

/// The chunks that one call of `map`, `run_parallel` or `imap` has handed out and not got back.
///
/// Used by one thread at a time.
#[pyclass(module = "hypern._core", frozen)]
#[derive(Debug)]
pub(crate) struct Batch {
    core: Arc<Core>,
    inbox: Arc<Inbox>,
    kind: Kind,
    function: Py<PyAny>,
    /// The function in the form that is sent once, on isolated backends.
    shipped: Option<Shipment>,
    /// How long each chunk may run.
    limit: Option<Duration>,
    /// Chunks handed out and not known to be done, oldest first, by this batch and those beside it. Written by the caller
    /// alone.
    open: Arc<Mutex<VecDeque<Open>>>,
}

/// One chunk in a queue.
#[derive(Debug)]
struct Open {
    index: usize,
    ticket: Ticket<Task>,
    core: Arc<Core>,
}

impl Open {
    /// Takes the chunk back unless it has been started.
    fn claim(&self) -> Option<Task> {
        self.core.queue.claim(&self.ticket)
    }

    /// Sees to it that the chunk is not run unless it has been started.
    fn cancel(&self) {
        drop(self.core.take_back(&self.ticket));
    }
}

/// Chunks in flight for each worker: one that it runs and one that waits for it.
const AHEAD: usize = 2;

/// One chunk that is done, as the package sees it.
type Done = (usize, Option<Py<PyAny>>, f64, Option<Py<PyBaseException>>);

impl Batch {
    pub(crate) fn new(
        py: Python<'_>,
        core: &Arc<Core>,
        kind: Kind,
        function: Py<PyAny>,
        inbox: Inbox,
        limit: Option<Duration>,
    ) -> PyResult<Self> {
        Self::with_inbox(py, core, kind, function, limit, Arc::new(inbox), Arc::default())
    }

    fn with_inbox(
        py: Python<'_>,
        core: &Arc<Core>,
        kind: Kind,
        function: Py<PyAny>,
        limit: Option<Duration>,
        inbox: Arc<Inbox>,
        open: Arc<Mutex<VecDeque<Open>>>,
    ) -> PyResult<Self> {
        let shipped = match core.backend.is_isolated() {
            true => ship(py, core, &function)?,
            false => None,
        };
        Ok(Self { core: Arc::clone(core), inbox, kind, function, shipped, limit, open })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, VecDeque<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the oldest chunk that nobody has started; `None` if there is none.
    fn help(&self, py: Python<'_>) -> Option<Letter> {
        loop {
            let oldest = {
                let mut open = self.open();
                // Bytes are for guests: their workers are not the one that this thread is.
                let index = open.iter().position(|chunk| !chunk.core.backend.is_isolated())?;
                open.remove(index)?
            };
            let Some(task) = oldest.claim() else { continue };
            return Some(self.run_here(py, oldest.index, &task.work, task.leash.as_ref(), task.made.elapsed()));
        }
    }

    fn leash(&self) -> Option<Leash> {
        self.limit.map(|limit| Leash::new(Some(limit)))
    }

    fn run_here(&self, py: Python<'_>, index: usize, work: &Work, leash: Option<&Leash>, queued: Duration) -> Letter {
        let _lineage = lineage::enter(self.core.id, lineage::current());
        let running = self.core.stats.start(queued);
        let (_, outcome) = backend::run_here(py, &self.core, leash, None, None, work);
        let seconds = running.end(outcome.is_failure()).as_secs_f64();
        Letter { index, outcome, seconds, spent: None, core: None }
    }

    /// Takes what has arrived; waits for the first letter, at most until the deadline.
    fn next_letters(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Vec<Letter>> {
        let letters = self.inbox.mailbox.try_take();
        if !letters.is_empty() {
            return Ok(letters);
        }
        if self.core.is_current()
            && let Some(letter) = self.help(py)
        {
            leash::check(py)?;
            return Ok(vec![letter]);
        }
        wait_detached(py, |period| {
            let letters = self.inbox.mailbox.take(sooner(period, deadline));
            (!letters.is_empty() || is_over(deadline)).then_some(letters)
        })
    }
}

#[pymethods]
impl Batch {
    /// Hands out the chunk of number `index`; waits while the queue is full. For an event loop it does not wait: it tells
    /// that the chunk was not accepted, and the bell rings when there may be space. A chunk that was accepted once and goes
    /// out `again` needs no space.
    #[pyo3(signature = (index, items, again=false))]
    fn push(&self, py: Python<'_>, index: usize, items: Bound<'_, PyAny>, again: bool) -> PyResult<bool> {
        // Where the caller works for this pool itself, it must not wait for a worker that may not come.
        let helping = self.core.is_current();
        let work = prepare_chunk(py, &self.core, self.kind, &self.function, self.shipped.as_ref(), &items, helping)?;
        if helping && self.core.backend.is_isolated() {
            // A callback of a future, on the thread of a worker: there may be no other, and a guest cannot call back.
            self.inbox.put(self.run_here(py, index, &work, self.leash().as_ref(), Duration::ZERO));
            return leash::check(py).map(|()| true);
        }
        let reply = Reply::Batch(Arc::clone(&self.inbox), index);
        let task = Task::new(work, reply, self.leash());
        let limit = if helping || again { Limit::Passed } else { Limit::Heeded };
        let pushed = match &self.inbox.bell {
            None => push(py, &self.core, task, limit, None)?,
            Some(bell) => match self.core.queue.push(task, limit) {
                Err(PushError::Full(_)) => {
                    let bell = Arc::clone(bell);
                    self.core.queue.when_space(move || bell.ring());
                    return Ok(false);
                }
                pushed => pushed,
            },
        };
        match pushed {
            Ok(ticket) => {
                self.open().push_back(Open { index, ticket, core: Arc::clone(&self.core) });
                Ok(true)
            }
            Err(PushError::Closed(task)) if helping => {
                // The pool was shut down while it finishes the task that makes this call: that includes the call.
                self.inbox.put(self.run_here(py, index, &task.work, task.leash.as_ref(), Duration::ZERO));
                leash::check(py).map(|()| true)
            }
            // Without a deadline nothing is refused for want of space.
            Err(_) => Err(self.core.refusal(py)),
        }
    }

    /// Waits until at least one chunk is done, at most `timeout` seconds; returns `(index, results, seconds, error)` of all
    /// that are, in order.
    ///
    /// Either the results or the error are None.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<Done>> {
        let mut letters = self.next_letters(py, deadline_in(timeout))?;
        letters.sort_unstable_by_key(|letter| letter.index);
        self.open().retain(|chunk| letters.binary_search_by_key(&chunk.index, |letter| letter.index).is_err());
        let face: &Face = &self.core.face;
        letters
            .into_iter()
            .map(|Letter { index, outcome, seconds, .. }| match outcome.into_result(py, face) {
                Ok(results) => Ok((index, Some(results), seconds, None)),
                // Ctrl-C while a result was decoded; what tasks raise is an Exception by now.
                Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
                Err(error) => Ok((index, None, seconds, Some(error.into_value(py)))),
            })
            .collect()
    }

    /// Takes back every chunk that has not been started.
    fn cancel(&self) {
        let open = std::mem::take(&mut *self.open());
        open.iter().for_each(Open::cancel);
    }

    /// How many chunks may be in flight: so many that a worker which is done finds the next one there.
    fn room(&self) -> usize {
        AHEAD * self.core.seats.len()
    }

    /// In how many seconds it is decided whether there is room for more; that never changes here.
    fn decides_in(&self) -> Option<f64> {
        None
    }

    /// Makes a batch that hands chunks to another pool; this one waits for them with its own.
    fn beside(&self, py: Python<'_>, pool: &Pool) -> PyResult<Self> {
        let function = self.function.clone_ref(py);
        let limit = self.limit;
        Self::with_inbox(py, pool.core(), self.kind, function, limit, Arc::clone(&self.inbox), Arc::clone(&self.open))
    }
}
