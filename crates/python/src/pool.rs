//! The class `Pool`: one executor's workers, as the package sees them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hypern_pool::{Limit, Numbers, Promise, PushError, Queue, Space, ThreadSettings, Times};
use hypern_wire::Kind;
use pyo3::exceptions::{PyBaseException, PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyTuple};

use crate::backend::{self, Backend, run_here};
use crate::batch::Batch;
use crate::buffer::Held;
use crate::context::Context;
use crate::core::{Core, Seat, list_with_interpreters, with_interpreters};
use crate::face::Face;
use crate::fork::{self, LetGo};
use crate::interpreter;
use crate::leash::{self, Leash};
use crate::letterbox::Letterbox;
use crate::lineage::{self, Mark};
use crate::outcome::start_future;
use crate::sight;
use crate::task::{Call, Encoded, Inbox, Reply, Shipment, Task, Work};
use crate::waiting::{deadline_in, is_over, limit, sooner, wait_detached};

/// Workers of one backend with their queue.
#[pyclass(module = "hypern._core", frozen)]
#[derive(Debug)]
pub(crate) struct Pool(Arc<Core>);

/// Names one submitted task, so that a worker that waits for it can see to it that somebody runs it.
#[pyclass(module = "hypern._core", frozen)]
#[derive(Debug)]
pub(crate) struct Ticket {
    core: Arc<Core>,
    ticket: hypern_pool::Ticket<Task>,
    /// The task of the same pool that submitted this one.
    owner: Option<Arc<Mark>>,
    /// Of a task that can be interrupted.
    leash: Option<Leash>,
}

/// The number of CPUs that this process may use: its affinity and its cgroup's quota, at least 1.
#[pyfunction]
pub(crate) fn cpu_limit() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// At interpreter exit: ends interpreters of pools that nobody knows any more, made by a constructor that Ctrl-C ended at
/// its very end. They would crash the exit. Waits at most `timeout` seconds for each pool.
#[pyfunction]
pub(crate) fn end_interpreters(py: Python<'_>, timeout: f64) {
    py.detach(|| {
        for core in with_interpreters().iter().filter(|core| !core.is_inherited()) {
            core.close();
            core.interpreters.wait_ended(Duration::try_from_secs_f64(timeout).ok());
        }
    });
}

impl Pool {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0
    }
}

impl Drop for Pool {
    /// Lets the workers end: nobody can give them tasks. Accepted ones are finished.
    fn drop(&mut self) {
        self.0.close();
    }
}

#[pymethods]
impl Pool {
    /// Starts `workers` workers. `full_timeout` is how many seconds a call waits while the queue is full (None: as long as it
    /// takes). A pool made `beside` another one shares its limit of waiting tasks, and its lineage. `launch` is what starts a
    /// guest: the command of a process, or the folder that holds the package for an interpreter; `setup` is what the guest is
    /// told first.
    #[new]
    #[pyo3(signature = (
        *, backend, workers, queue_size, full_timeout, stack_size, thread_name_prefix, face, launch, setup, beside=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one Python call")]
    fn new(
        py: Python<'_>,
        backend: &str,
        workers: usize,
        queue_size: usize,
        full_timeout: Option<f64>,
        stack_size: usize,
        thread_name_prefix: String,
        face: Face,
        launch: Vec<std::ffi::OsString>,
        setup: Vec<u8>,
        beside: Option<PyRef<'_, Self>>,
    ) -> PyResult<Self> {
        let backend = Backend::named(backend, &launch, setup)?;
        let threads = ThreadSettings { name_prefix: thread_name_prefix, stack_size };
        let first = beside.as_ref().map(|pool| &*pool.0);
        let space = match first {
            Some(first) => first.queue.space().cloned(),
            None => NonZeroUsize::new(queue_size).map(|capacity| Arc::new(Space::new(capacity))),
        };
        // More seconds than a Duration holds are as long as it takes.
        let patience = full_timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        // Made by a handler before a fork, perhaps.
        let _let_go = LetGo::new(py);
        let core =
            py.detach(|| Arc::new(Core::new(backend, face, Queue::new(space), patience, threads, workers, first)));
        if core.backend.has_interpreters() {
            py.detach(|| list_with_interpreters(&core));
        }
        for index in 0..workers {
            let shared = Arc::clone(&core);
            if let Err(error) =
                core.lifecycle.spawn(&core.threads, index, move |alive| backend::work(&shared, index, alive))
            {
                // No half-built pool: those that were started find the queue closed and end.
                core.queue.close();
                py.detach(|| core.lifecycle.wait_ended(None));
                return Err(PyOSError::new_err(format!(
                    "the system gave {index} of {workers} threads ({error}); ask for fewer, or for a smaller stack_size"
                )));
            }
        }
        // A free-threaded interpreter stops the world to make a thread state; a fork at that moment leaves the child
        // with a lock that nobody releases. So no thread is still about to make one when this returns.
        py.detach(|| {
            let mut attached = 0;
            while attached < workers {
                attached += core.attached.take(None).len();
            }
        });
        Ok(Self(core))
    }

    /// Makes what holds a task that may run for `timeout` seconds, or be stopped otherwise.
    #[pyo3(signature = (timeout=None))]
    #[expect(clippy::unused_self, reason = "the package asks a pool, of which it has other kinds, too")]
    fn leash(&self, timeout: Option<f64>) -> Leash {
        Leash::new(limit(timeout))
    }

    /// Runs one call on a worker and waits for it; in place where the current thread works for this pool.
    #[pyo3(signature = (function, args, kwargs, leash=None))]
    fn run(
        &self,
        py: Python<'_>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        leash: Option<Leash>,
    ) -> PyResult<Py<PyAny>> {
        let core = &self.0;
        if core.is_current() {
            return in_place(py, core, function, args, kwargs, leash.as_ref());
        }
        let deadline = core.deadline();
        let given = deadline.map(|_| Given::new(py, &function, &args, kwargs.as_ref()));
        let work = prepare_call(py, core, function, args, kwargs, true)?;
        let promise = Arc::new(Promise::new());
        let task = Task::new(work, Reply::Promise(Arc::clone(&promise)), leash);
        let look = core.backend.look();
        let mut unsent = Some(task);
        let mut ticket = None;
        // Pushed after detaching: the worker finds the interpreter free.
        let waited = wait_detached(py, |timeout| {
            if let Some(task) = unsent.take() {
                match push_or_wait(core, task, Limit::Heeded, sooner(timeout, deadline)) {
                    Ok(accepted) => ticket = Some(accepted),
                    Err(PushError::Full(task)) if !is_over(deadline) => {
                        unsent = Some(task);
                        return None;
                    }
                    Err(refused) => return Some(Err(refused)),
                }
            }
            promise.wait(look, timeout).map(Ok)
        });
        match waited {
            Ok(Ok((outcome, spent))) => {
                drop(spent);
                outcome.into_result(py, &core.face)
            }
            Ok(Err(refused)) => Err(refusal(py, core, &refused, given)),
            Err(interrupted) => {
                // Nobody waits for it any more.
                drop(ticket.and_then(|ticket| core.take_back(&ticket)));
                Err(interrupted)
            }
        }
    }

    /// Hands one call to a worker, which settles `future`; waits while the queue is full, as long as the pool is patient.
    ///
    /// A call that is made `again`, by whoever settles its future, was accepted before: also a pool that was shut down finishes
    /// it, where somebody assists, unless it cancels what has not started.
    ///
    /// Returns a ticket for those who wait for the future; None where it is settled already.
    #[pyo3(signature = (future, function, args, kwargs, leash=None, *, again=false))]
    #[expect(clippy::too_many_arguments, reason = "one call and how it is made")]
    fn submit(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        leash: Option<Leash>,
        again: bool,
    ) -> PyResult<Option<Ticket>> {
        let core = &self.0;
        let leash = leash.unwrap_or_else(|| Leash::new(None));
        if core.rests_for_this_thread() {
            if start_future(py, &future) {
                self.settle_here(py, future, function, args, kwargs, leash)?;
            }
            return Ok(None);
        }
        let deadline = core.deadline();
        let given = deadline.map(|_| Given::new(py, &function, &args, kwargs.as_ref()));
        let work = match prepare_call(py, core, function, args, kwargs, false) {
            Ok(work) => work,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                future.call_method1(py, "set_exception", (error.into_value(py),))?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let task = Task::new(work, Reply::Future(future), Some(leash.clone()));
        let limit = match lineage::contains(core.id) {
            true if again => Limit::Owed,
            true => Limit::Passed,
            false => Limit::Heeded,
        };
        match push(py, core, task, limit, deadline)? {
            Ok(ticket) => Ok(Some(Ticket::new(core, ticket, Some(leash)))),
            Err(refused) => Err(refusal(py, core, &refused, given)),
        }
    }

    /// Runs one call on the current thread and settles `future`, which runs by now.
    fn settle_here(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        leash: Leash,
    ) -> PyResult<()> {
        let core = &self.0;
        let call = Work::Call(Call { function, args, kwargs, context: Context::copy_current(py)? });
        let running = core.stats.start(Duration::ZERO);
        let (reply, outcome) = run_here(py, core, Some(&leash), None, Some(Reply::Future(future)), &call);
        let ran = running.end(outcome.is_failure());
        if let Some(reply) = reply {
            drop(reply.settle(outcome, ran, None, &core.face));
        }
        Ok(())
    }

    /// Begins a batch of chunks for `function`; `kind` is a number of `hypern_wire::Kind`. With `stops`, no chunk starts after
    /// one that failed; each may run for `timeout` seconds. Where the pool is not patient for ever, waits until there is space; the
    /// chunks wait as long as it takes. With a letterbox, its bell rings for what is done, and for space, and nothing waits here.
    #[pyo3(signature = (kind, function, stops=true, letterbox=None, timeout=None))]
    fn batch(
        &self,
        py: Python<'_>,
        kind: u8,
        function: Py<PyAny>,
        stops: bool,
        letterbox: Option<&Letterbox>,
        timeout: Option<f64>,
    ) -> PyResult<Batch> {
        let kind = Kind::from_number(kind).ok_or_else(|| PyValueError::new_err("there is no such kind of chunk"))?;
        if self.0.queue.is_closed() && !self.0.is_current() {
            return Err(self.0.refusal(py));
        }
        if letterbox.is_none() {
            wait_for_turn(py, &self.0)?;
        }
        // The calls of `run_parallel` are independent of each other, and a stream gives what comes before a failure.
        let stops = stops && matches!(kind, Kind::Each | Kind::Star);
        let inbox = Inbox::new(stops, letterbox.map(Letterbox::bell));
        Batch::new(py, &self.0, kind, function, inbox, limit(timeout))
    }

    /// How many seconds a call waits while the queue is full; `None`: as long as it takes.
    fn patience(&self) -> Option<f64> {
        self.0.patience.map(|patience| patience.as_secs_f64())
    }

    /// The exception for a call that has waited so long in vain.
    #[pyo3(signature = (function, args, kwargs, /))]
    fn full(
        &self,
        py: Python<'_>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyBaseException>> {
        let task = Given(function, args, kwargs).into_tuple(py)?;
        Ok(self.0.is_full(py, Some(task)).into_value(py))
    }

    /// Tells whether the current thread must not wait for this pool: it works for it, or is about to fork.
    fn is_current(&self) -> bool {
        self.0.is_current()
    }

    /// Accepts nothing from now on; with `cancel`, also settles as cancelled what has not been started.
    fn close(&self, py: Python<'_>, cancel: bool) {
        self.0.close();
        if cancel && !self.0.is_inherited() {
            self.0.refuse_pending(py);
        }
    }

    /// Waits until every worker has ended, at most `timeout` seconds; tells whether they have. A forked child has none.
    #[pyo3(signature = (timeout))]
    fn wait_ended(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        if self.0.is_inherited() {
            return Ok(true);
        }
        let Core { lifecycle, settling, .. } = &*self.0;
        // Who settles a future may have started an assistant.
        wait_for(py, timeout, |piece| {
            lifecycle.wait_ended(piece) && settling.wait_ended(piece) && lifecycle.live() == 0
        })
    }

    /// Waits until no worker is left in a task that does not stop, at most `timeout` seconds; tells whether none is.
    fn wait_for_left(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        if self.0.is_inherited() {
            return Ok(true);
        }
        wait_for(py, Some(timeout), |piece| self.0.left.wait_ended(piece))
    }

    /// Tells whether some worker is left in a task that does not stop.
    fn has_left(&self) -> bool {
        !self.0.is_inherited() && self.0.left.live() > 0
    }

    /// Asks running tasks to give up: `SystemExit` inside threads and interpreters, SIGKILL to processes.
    fn interrupt(&self, py: Python<'_>) {
        if !self.0.is_inherited() {
            self.0.all_seats().iter().for_each(|(_, seat)| seat.reach.interrupt(py));
        }
    }

    /// In a forked child: closes what the pool's threads, which do not exist here, had open.
    fn abandon(&self) {
        self.0.seats.iter().for_each(|seat| seat.inherited.close_in_child());
    }

    /// The number of workers that live here.
    fn live(&self) -> usize {
        if self.0.is_inherited() { 0 } else { self.0.lifecycle.live() }
    }

    /// The number of tasks accepted and not started.
    fn pending(&self) -> usize {
        self.0.queue.pending()
    }

    /// What was done so far: the tasks that were accepted, that were started, and of those that have ended the ones that
    /// returned and the others; the tasks that were taken back before they started; then the seconds in the queue of those that
    /// were started, and the seconds that those which have ended ran: all together, and the two percentiles.
    fn stats(&self) -> (u64, u64, u64, u64, u64, Seconds, Seconds) {
        let pending = self.0.queue.pending() as u64;
        let Numbers { queued, ran, failed, cancelled } = self.0.stats.numbers();
        let accepted = queued.count + cancelled + pending;
        let done = ran.count.saturating_sub(failed);
        (accepted, queued.count, done, failed, cancelled, seconds(queued), seconds(ran))
    }

    /// The number of tasks that run now.
    fn running(&self) -> u64 {
        self.0.stats.running()
    }

    /// What each worker does, as `(worker, index, left, frame, pid, job)`: what `ask` takes; its number; whether it is left in a task
    /// that does not stop, and another one has its number; its innermost frame in this interpreter, if it is there; its process, if
    /// it has one; and `(callable, seconds)` of what it runs, None for nothing. The callable is None where a future is done and
    /// calls back. Waits for nothing. In a forked child, none of the parent's.
    fn workers<'py>(&self, py: Python<'py>) -> PyResult<Vec<Seen<'py>>> {
        if self.0.is_inherited() {
            return Ok(Vec::new());
        }
        let see = |(index, seat): (usize, Arc<Seat>)| {
            let (left, job) = (seat.left.load(Ordering::Relaxed), seat.sight.job(py));
            Ok((Worker(Arc::clone(&seat)), index, left, seat.sight.frame(py)?, seat.reach.process(), job))
        };
        self.0.all_seats().into_iter().map(see).collect()
    }

    /// Asks the workers elsewhere where they are, in an order, and returns what they have answered after at most `timeout`
    /// seconds; see `hypern._stacks`.
    #[expect(clippy::unused_self, reason = "a pool is asked about its workers")]
    fn ask(&self, py: Python<'_>, workers: Vec<PyRef<'_, Worker>>, timeout: f64) -> Vec<Option<Vec<u8>>> {
        let deadline = deadline_in(Some(timeout));
        let answers: Vec<_> = workers.iter().map(|worker| sight::ask(&worker.0.reach)).collect();
        py.detach(|| {
            answers.iter().map(|answer| answer.wait(Duration::ZERO, sooner(None, deadline)).flatten()).collect()
        })
    }

    /// Tells whether the pool accepts tasks.
    fn is_open(&self) -> bool {
        !self.0.queue.is_closed()
    }
}

impl Ticket {
    /// Makes one for a task that the current thread has submitted.
    pub(crate) fn new(core: &Arc<Core>, ticket: hypern_pool::Ticket<Task>, leash: Option<Leash>) -> Self {
        Self { core: Arc::clone(core), ticket, owner: lineage::find(core.id), leash }
    }
}

#[pymethods]
impl Ticket {
    /// Takes the task back unless it has been started.
    fn cancel(&self) {
        drop(self.core.take_back(&self.ticket));
    }

    /// Called before a wait that begins now: a thread that works for the pool runs the task itself where it is its own,
    /// and sees to it that somebody else does otherwise. Nothing happens where the thread can simply wait.
    fn help(&self, py: Python<'_>) -> PyResult<()> {
        let own = self.owner.as_ref().is_some_and(lineage::descends_from);
        if !own || self.core.backend.is_isolated() {
            return self.assist(py);
        }
        if let Some(task) = self.core.queue.claim(&self.ticket) {
            backend::run_claimed(py, &self.core, task);
        }
        leash::check(py)
    }

    /// Stops the task where it runs; see [`Leash`].
    fn interrupt(&self, py: Python<'_>) {
        if let Some(leash) = &self.leash {
            leash.interrupt(py);
        }
    }

    /// Takes the task of a future that is cancelled, or to be settled otherwise, out of the queue; tells whether it was there.
    fn withdraw(&self, py: Python<'_>) -> bool {
        if self.core.is_inherited() {
            return false;
        }
        let Some(Task { reply, .. }) = self.core.take_back(&self.ticket) else { return false };
        if let Reply::Future(future) = reply {
            // Tells those who wait for the future that it is cancelled.
            start_future(py, &future);
        }
        true
    }

    /// Sees to it that somebody runs the task while the current thread, which works for the pool, waits for it.
    pub(crate) fn assist(&self, py: Python<'_>) -> PyResult<()> {
        // Before a fork, perhaps, which the worker that runs the task waits for. No [`LetGo`]: the wait begins when
        // this has returned.
        fork::let_go();
        // The callback of a future, perhaps, on the thread of a worker: it must not keep an interpreter while it waits for
        // another one, which may rest for a fork that waits for the first.
        if interpreter::is_there() {
            py.detach(interpreter::end);
        }
        match lineage::find(self.core.id) {
            Some(waiting) => Ok(backend::assist(&self.core, waiting)?),
            None => Ok(()),
        }
    }
}

/// One worker, as those name it who look at a pool.
#[pyclass(module = "hypern._core", frozen)]
pub(crate) struct Worker(Arc<Seat>);

/// What can be seen of a worker.
type Seen<'py> = (Worker, usize, bool, Option<Bound<'py, PyAny>>, Option<i32>, Option<(Option<Py<PyAny>>, f64)>);

/// All together, and the 50th and 99th percentile.
type Seconds = (f64, f64, f64);

fn seconds(Times { sum, p50, p99, .. }: Times) -> Seconds {
    (sum.as_secs_f64(), p50.as_secs_f64(), p99.as_secs_f64())
}

/// What a caller gets back where the queue is full.
struct Given(Py<PyAny>, Py<PyTuple>, Option<Py<PyDict>>);

impl Given {
    fn new(py: Python<'_>, function: &Py<PyAny>, args: &Py<PyTuple>, kwargs: Option<&Py<PyDict>>) -> Self {
        Self(function.clone_ref(py), args.clone_ref(py), kwargs.map(|kwargs| kwargs.clone_ref(py)))
    }

    fn into_tuple(self, py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        let Self(function, args, kwargs) = self;
        (function, args, kwargs.unwrap_or_else(|| PyDict::new(py).unbind())).into_pyobject(py)
    }
}

/// The exception for a call whose task was refused.
fn refusal(py: Python<'_>, core: &Core, refused: &PushError<Task>, given: Option<Given>) -> PyErr {
    match refused {
        PushError::Closed(_) => core.refusal(py),
        PushError::Full(_) => match given.map(|given| given.into_tuple(py)).transpose() {
            Ok(task) => core.is_full(py, task),
            Err(error) => error,
        },
    }
}

/// Pushes a task, waiting detached while the queue is full, at most until the deadline. Woken by a claim or by the end of the
/// pool.
pub(crate) fn push(
    py: Python<'_>,
    core: &Core,
    task: Task,
    limit: Limit,
    deadline: Option<Instant>,
) -> PyResult<Result<hypern_pool::Ticket<Task>, PushError<Task>>> {
    let mut unsent = match core.queue.push(task, limit) {
        Err(PushError::Full(task)) => Some(task),
        done => return Ok(done),
    };
    wait_detached(py, |timeout| match push_or_wait(core, unsent.take()?, limit, sooner(timeout, deadline)) {
        Err(PushError::Full(task)) if !is_over(deadline) => {
            unsent = Some(task);
            None
        }
        done => Some(done),
    })
}

/// Waits until a batch may begin: before it takes its first item, so that nothing is lost where the queue stays full.
fn wait_for_turn(py: Python<'_>, core: &Core) -> PyResult<()> {
    let (Some(space), Some(deadline)) = (core.queue.space(), core.deadline()) else { return Ok(()) };
    if space.is_left() || core.is_current() {
        return Ok(());
    }
    let is_there = wait_detached(py, |timeout| {
        core.queue.wait_for_space(sooner(timeout, Some(deadline)));
        let is_there = space.is_left() || core.queue.is_closed();
        (is_there || is_over(Some(deadline))).then_some(is_there)
    });
    // The notification may have been meant for somebody who pushes at once.
    space.wake_one();
    match is_there? {
        true => Ok(()),
        false => Err(core.is_full(py, None)),
    }
}

/// Pushes a task; where the queue is full, waits for space and tries once more.
///
/// In one step, because the wait may take the only notification there is: it must not be lost to a signal handler.
fn push_or_wait(
    core: &Core,
    task: Task,
    limit: Limit,
    timeout: Option<Duration>,
) -> Result<hypern_pool::Ticket<Task>, PushError<Task>> {
    core.queue.push(task, limit).or_else(|refused| match refused {
        PushError::Full(task) => {
            core.queue.wait_for_space(timeout);
            core.queue.push(task, limit)
        }
        closed @ PushError::Closed(_) => Err(closed),
    })
}

pub(crate) fn prepare_call(
    py: Python<'_>,
    core: &Core,
    function: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    awaited: bool,
) -> PyResult<Work> {
    if !core.backend.is_isolated() {
        return Ok(Work::Call(Call { function, args, kwargs, context: Context::copy_current(py)? }));
    }
    // The caller has it in the form that crosses too, perhaps.
    let (function, shipped) = match function.bind(py).cast_exact::<PyTuple>() {
        Ok(both) => both.extract::<(Py<PyAny>, Option<Shipment>)>()?,
        Err(_) => {
            let shipped = ship(py, core, &function)?;
            (function, shipped)
        }
    };
    let data = (args, kwargs).into_pyobject(py)?.into_any();
    encode(py, core, Kind::Call, &function, shipped, &data, awaited).map(Work::Encoded)
}

/// The function in the form that is sent once; `None` where it travels with its arguments.
pub(crate) fn ship(py: Python<'_>, core: &Core, function: &Py<PyAny>) -> PyResult<Option<Shipment>> {
    Ok(core.face.ship.call1(py, (function,))?.extract::<Option<Shipment>>(py)?)
}

/// Makes the work of one chunk, in the form of the backend.
pub(crate) fn prepare_chunk(
    py: Python<'_>,
    core: &Core,
    kind: Kind,
    function: &Py<PyAny>,
    shipped: Option<&Shipment>,
    items: &Bound<'_, PyAny>,
    in_process: bool,
) -> PyResult<Work> {
    if core.backend.is_isolated() && !in_process {
        return encode(py, core, kind, function, shipped.cloned(), items, false).map(Work::Encoded);
    }
    let run_chunk = core.face.run_chunk.clone_ref(py);
    let args = (kind as u8, function, items).into_pyobject(py)?.unbind();
    Ok(Work::Call(Call { function: run_chunk, args, kwargs: None, context: Context::copy_current(py)? }))
}

fn encode(
    py: Python<'_>,
    core: &Core,
    kind: Kind,
    function: &Py<PyAny>,
    shipped: Option<Shipment>,
    data: &Bound<'_, PyAny>,
    awaited: bool,
) -> PyResult<Encoded> {
    // What interpreters let go of can only be dropped here.
    drop(core.given_back.try_take());
    let apart = shipped.is_some();
    let encoded = core.face.encode.call1(py, (kind as u8, function, data, apart))?;
    let (payload, memory, path): (PyBackedBytes, Vec<Bound<'_, PyAny>>, Shipment) = encoded.extract(py)?;
    let buffers = memory.iter().map(|memory| Held::get(memory).map(Arc::new)).collect::<PyResult<_>>()?;
    let callable = Some(function.clone_ref(py));
    Ok(Encoded { kind, function: shipped, path, payload, callable, buffers, awaited })
}

/// Runs a call of a thread that works for this pool on that thread itself.
fn in_place(
    py: Python<'_>,
    core: &Arc<Core>,
    function: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    leash: Option<&Leash>,
) -> PyResult<Py<PyAny>> {
    if core.queue.is_closed() && core.lifecycle.live() == 0 {
        return Err(core.refusal(py));
    }
    let running = core.stats.start(Duration::ZERO);
    let call = Work::Call(Call { function, args, kwargs, context: Context::copy_current(py)? });
    let (_, outcome) = run_here(py, core, leash, None, None, &call);
    running.end(outcome.is_failure());
    leash::check(py)?;
    outcome.into_result(py, &core.face)
}

/// Repeats `wait`, which is given the longest time that it may take, until it is true or `timeout` seconds are over.
fn wait_for(
    py: Python<'_>,
    timeout: Option<f64>,
    wait: impl Fn(Option<Duration>) -> bool + Send + Sync,
) -> PyResult<bool> {
    let deadline = deadline_in(timeout);
    wait_detached(py, |period| {
        let ended = wait(sooner(period, deadline));
        (ended || is_over(deadline)).then_some(ended)
    })
}
