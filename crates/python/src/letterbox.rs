//! Where one event loop waits for the outcomes of its calls: a mailbox with a bell, because a loop waits for descriptors.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hypern_pool::sync::Spin;
use hypern_pool::{Limit, PushError};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::leash::Leash;
use crate::pool::{Pool, Ticket, prepare_call};
use crate::task::{Inbox, Reply, Task};

/// Tells an event loop that there is something to look at, once for all that comes until it looks.
///
/// Whoever rings needs no interpreter. Both ends stay open as long as somebody may ring, so a loop that is closed by then
/// does no harm.
#[derive(Debug)]
pub(crate) struct Bell {
    /// `RUNG` since somebody rang and the loop has not looked: set by whoever rings, cleared by the loop. `AWAKE` while the
    /// loop looks all the time: set and cleared by the loop.
    state: AtomicU8,
    inside: UnixStream,
    outside: UnixStream,
}

const RUNG: u8 = 1;
const AWAKE: u8 = 2;

impl Bell {
    fn new() -> io::Result<Self> {
        let (inside, outside) = UnixStream::pair()?;
        inside.set_nonblocking(true)?;
        outside.set_nonblocking(true)?;
        Ok(Self { state: AtomicU8::new(0), inside, outside })
    }

    pub(crate) fn ring(&self) {
        // Release: the loop that reads it finds what was there when it was set.
        if self.state.fetch_or(RUNG, Ordering::AcqRel) == 0 {
            self.wake();
        }
    }

    fn wake(&self) {
        // There is room: each byte stands for a time that the loop has looked.
        let _: io::Result<usize> = (&self.outside).write(&[0]);
    }

    /// Keeps rings from waking the loop, which looks by itself.
    fn mute(&self) {
        self.state.fetch_or(AWAKE, Ordering::AcqRel);
    }

    /// Lets rings wake the loop again; tells whether there was one, which is still to be answered.
    fn unmute(&self) -> bool {
        self.state.fetch_and(!AWAKE, Ordering::AcqRel) & RUNG != 0
    }

    /// Looks for a ring, for a time in which the loop would hardly have gone to sleep and woken up; tells whether there was
    /// one, which is still to be answered.
    fn look(&self, time: Duration) -> bool {
        self.mute();
        let spin = Spin::start(time);
        while self.state.load(Ordering::Acquire) & RUNG == 0 && spin.turn() {}
        let is_rung = self.unmute();
        if is_rung {
            // Nobody was woken: if the loop does not come to answer it now, it is to come back.
            self.wake();
        }
        is_rung
    }

    fn answer(&self) {
        // Read first: a ring that comes in between leaves a byte or its letter, which is looked at next.
        let _: io::Result<usize> = (&self.inside).read(&mut [0; 64]);
        self.state.fetch_and(!RUNG, Ordering::AcqRel);
    }
}

/// The calls of one event loop, of any pool, and the bell that its batches ring too.
///
/// Used by the thread that runs the loop.
#[pyclass(module = "hypern._core", frozen)]
#[derive(Debug)]
pub(crate) struct Letterbox {
    inbox: Arc<Inbox>,
    bell: Arc<Bell>,
}

/// One call that is done, as the package sees it: its number, what it returned, what the caller is to see raised.
type Done = (usize, Option<Py<PyAny>>, Option<PyErr>);

impl Letterbox {
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }
}

#[pymethods]
impl Letterbox {
    #[new]
    fn new() -> PyResult<Self> {
        let bell = Arc::new(Bell::new()?);
        Ok(Self { inbox: Arc::new(Inbox::new(false, Some(Arc::clone(&bell)))), bell })
    }

    /// The descriptor that becomes readable when the bell rings.
    fn fileno(&self) -> RawFd {
        self.bell.inside.as_raw_fd()
    }

    /// Hands the call of that number to a worker; None where the queue is full: the bell rings when it may have space.
    ///
    /// `alone` tells that the loop awaits no other call: it may look for the outcome itself then.
    #[pyo3(signature = (pool, number, function, args, kwargs, alone, leash=None))]
    #[expect(clippy::too_many_arguments, reason = "one call with its place")]
    fn push(
        &self,
        py: Python<'_>,
        pool: &Pool,
        number: usize,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        alone: bool,
        leash: Option<Leash>,
    ) -> PyResult<Option<Ticket>> {
        let core = pool.core();
        let work = prepare_call(py, core, function, args, kwargs, alone)?;
        let task = Task::new(work, Reply::Call(Arc::clone(&self.inbox), number, Arc::clone(core)), leash.clone());
        // A loop inside a task of the pool: no worker may be free until that has ended.
        let helping = core.is_current();
        match core.queue.push(task, if helping { Limit::Passed } else { Limit::Heeded }) {
            Ok(ticket) => {
                let ticket = Ticket::new(core, ticket, leash);
                if helping {
                    ticket.assist(py)?;
                }
                Ok(Some(ticket))
            }
            Err(PushError::Closed(_)) => Err(core.refusal(py)),
            Err(PushError::Full(_)) => {
                let bell = self.bell();
                core.queue.when_space(move || bell.ring());
                Ok(None)
            }
        }
    }

    /// Looks for the outcome of a call that is alone, as `run` does; tells whether the bell has rung.
    fn look(&self, py: Python<'_>, pool: &Pool) -> bool {
        let time = pool.core().backend.look();
        py.detach(|| self.bell.look(time))
    }

    /// Keeps the bell from waking the loop, which is to unmute it.
    fn mute(&self) {
        self.bell.mute();
    }

    /// Lets the bell wake the loop again; tells whether it has rung and is to be answered.
    fn unmute(&self) -> bool {
        self.bell.unmute()
    }

    /// Answers the bell; returns the calls that are done.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<Done>> {
        self.bell.answer();
        let letters = self.inbox.mailbox.try_take().into_iter();
        letters
            .map(|letter| {
                let core = letter.core.expect("calls come with their pool");
                match letter.outcome.into_result(py, &core.face) {
                    Ok(value) => Ok((letter.index, Some(value), None)),
                    // Ctrl-C while a result was decoded; what tasks raise is an Exception by now.
                    Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
                    Err(error) => Ok((letter.index, None, Some(error))),
                }
            })
            .collect()
    }
}
