//! What a task is held by that may be stopped: who delivers its outcome, where it can be reached, and until when.
//!
//! While the task runs, its reply lies here. Whoever takes it out delivers: the thread that ran the task, or the one that
//! stops it, and then the task's own outcome is dropped. `StopTask` is raised in the task's thread under the same lock, and
//! what of it has not come up when the task ends is taken away there; so it never meets another task.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hypern_pool::{Entry, Lifecycle};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::backend::Post;
use crate::core::Core;
use crate::fork;
use crate::interrupt::Reach;
use crate::lineage;
use crate::outcome::Outcome;
use crate::task::Reply;

/// How long a task that is to stop may take before it is told a second time, as what was raised in it may have come up where
/// Python ignores it (`__del__`); and then before its place is given up: a process is killed, a thread left behind.
const GRACE: Duration = Duration::from_secs(1);

/// Holds one task, which begins again only after it has ended: elsewhere, where `auto` brings it back.
#[pyclass(module = "hypern._core", frozen, from_py_object)]
#[derive(Clone, Debug)]
pub(crate) struct Leash(Arc<Held>);

#[derive(Debug)]
struct Held {
    /// The fork generation that the task runs in.
    generation: u64,
    /// How long the task may run.
    limit: Option<Duration>,
    /// Whether the thread that runs the task does something that must not be interrupted. Written by that thread, under the
    /// lock of the state.
    shielded: AtomicBool,
    state: Mutex<State>,
}

/// Why a task was stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why {
    /// It has run for so long.
    Deadline(Duration),
    /// Somebody asked for it.
    Interrupted,
}

/// Written by the thread that runs the task as that begins and ends, and by whoever stops it.
#[derive(Debug)]
enum State {
    /// Not running: not yet, between two places, or not any more.
    Loose { interrupted: bool },
    /// Its outcome is to be delivered by whoever takes the reply.
    Running { run: Run, reply: Option<Reply>, due: Option<(Instant, Entry)> },
    /// The outcome was delivered, and the thread is still at it. `due`: when it is told again, or its place given up.
    Stopped { run: Run, why: Why, strike: Strike, again: bool, due: (Instant, Entry) },
}

/// Whether `StopTask` was raised in a task that is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    ToCome,
    Done,
    /// It came up in a task inside, or could not be raised just then: the thread raises it as it goes on with the task.
    Owed,
}

/// Where a task runs.
#[derive(Clone, Debug)]
struct Run {
    core: Arc<Core>,
    place: Place,
}

/// What a task occupies.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    reach: Arc<Reach>,
    /// The worker, to be replaced where it does not come back; None for a task inside a task, which is not alone there.
    post: Option<Arc<Post>>,
}

impl Place {
    /// Where a worker runs its tasks.
    pub(crate) fn of(post: &Arc<Post>) -> Self {
        Self { reach: Arc::clone(&post.seat.reach), post: Some(Arc::clone(post)) }
    }
}

/// How a run ended.
pub(crate) enum Ended {
    /// By itself; the reply is given back.
    Free(Option<Reply>),
    /// It had been stopped; `struck`: `StopTask` was raised in it, and may not have come up yet.
    Stopped { why: Why, struck: bool },
}

thread_local! {
    /// The tasks that this thread is in, one inside the other. Written by this thread alone.
    static HELD: RefCell<Vec<Leash>> = const { RefCell::new(Vec::new()) };
}

#[pymethods]
impl Leash {
    /// Stops the task if it runs, and keeps it from starting otherwise. In a forked child, leaves the task of the parent alone.
    pub(crate) fn interrupt(&self, py: Python<'_>) {
        if fork::generation() != self.0.generation {
            return;
        }
        py.detach(|| self.stop(self.state(), Why::Interrupted));
    }
}

impl Leash {
    /// Makes a leash for a task that may run for `limit`.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        let state = Mutex::new(State::Loose { interrupted: false });
        Self(Arc::new(Held { generation: fork::generation(), limit, shielded: AtomicBool::new(false), state }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares that the task begins now.
    ///
    /// # Errors
    /// Its reply, where it was interrupted before.
    pub(crate) fn begin(&self, core: &Arc<Core>, place: Place, reply: Option<Reply>) -> Result<(), Option<Reply>> {
        let mut state = self.state();
        if matches!(*state, State::Loose { interrupted: true }) {
            return Err(reply);
        }
        let when = self.0.limit.and_then(|limit| Instant::now().checked_add(limit));
        let due = when.map(|when| (when, core.keeper.add(when, self.clone())));
        *state = State::Running { run: Run { core: Arc::clone(core), place }, reply, due };
        Ok(())
    }

    /// Declares that the task has ended. Called by the thread that has begun it.
    pub(crate) fn end(&self) -> Ended {
        let state = std::mem::replace(&mut *self.state(), State::Loose { interrupted: false });
        match state {
            State::Loose { .. } => unreachable!("it has begun"),
            State::Running { run, reply, due } => {
                due.into_iter().for_each(|(_, entry)| run.core.keeper.remove(entry));
                Ended::Free(reply)
            }
            State::Stopped { run, why, strike, due: (_, entry), .. } => {
                run.core.keeper.remove(entry);
                Ended::Stopped { why, struck: strike == Strike::Done }
            }
        }
    }

    /// Does what it is time for. Called by the keeper, perhaps too late, about a run that has ended.
    pub(crate) fn due(&self) {
        let mut state = self.state();
        let now = Instant::now();
        match (&mut *state, self.0.limit) {
            (State::Running { due: Some((when, _)), .. }, Some(limit)) if *when <= now => {
                self.stop(state, Why::Deadline(limit));
            }
            (State::Stopped { run, strike, again: again @ false, due, .. }, _) if due.0 <= now => {
                *again = true;
                *due = self.grace(run);
                if *strike == Strike::Done {
                    *strike = Strike::ToCome;
                }
                let run = run.clone();
                drop(state);
                self.strike(run);
            }
            (State::Stopped { run, again: true, due, .. }, _) if due.0 <= now => {
                let run = run.clone();
                // Whoever strikes takes the lock of the reach first.
                drop(state);
                if !run.place.reach.kill(|| self.stays(&run))
                    && let (Some(post), Some(_held)) = (&run.place.post, self.stays(&run))
                {
                    post.leave(&run.core);
                }
            }
            _ => {}
        }
    }

    /// Delivers that the task was stopped, and stops it. Never waits for the interpreter.
    fn stop(&self, mut state: MutexGuard<'_, State>, why: Why) {
        let (run, reply) = match std::mem::replace(&mut *state, State::Loose { interrupted: true }) {
            State::Running { run, reply, due } => {
                due.into_iter().for_each(|(_, entry)| run.core.keeper.remove(entry));
                let due = self.grace(&run);
                *state = State::Stopped { run: run.clone(), why, strike: Strike::ToCome, again: false, due };
                (run, reply)
            }
            stopped @ State::Stopped { .. } => {
                *state = stopped;
                return;
            }
            State::Loose { .. } => return,
        };
        drop(state);
        if let Some(reply) = reply {
            deliver(&run.core, reply, Outcome::Stopped(why));
        }
        self.strike(run);
    }

    fn grace(&self, run: &Run) -> (Instant, Entry) {
        let when = Instant::now() + GRACE;
        (when, run.core.keeper.add(when, self.clone()))
    }

    /// Raises `StopTask` in the task.
    fn strike(&self, run: Run) {
        let (core, leash) = (Arc::clone(&run.core), self.clone());
        // Threads that wait for an interpreter may be kept from it for long.
        aside(&core, &core.left, move || {
            let reach = &run.place.reach;
            reach.stop(&run.core.face.stop, || leash.strikes(reach));
        });
    }

    /// Where the task that was stopped is still there and is to be struck now, keeps it from ending until the guard is dropped.
    fn strikes(&self, there: &Arc<Reach>) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state();
        match &mut *state {
            State::Stopped { run, strike: strike @ Strike::ToCome, .. } if Arc::ptr_eq(&run.place.reach, there) => {
                let shielded = self.0.shielded.load(Ordering::Relaxed);
                *strike = if shielded { Strike::Owed } else { Strike::Done };
                (!shielded).then_some(state)
            }
            _ => None,
        }
    }

    /// Where the task is still there although it was told twice, keeps it from ending until the guard is dropped.
    fn stays(&self, there: &Run) -> Option<MutexGuard<'_, State>> {
        let state = self.state();
        match &*state {
            State::Stopped { run, again: true, .. } if Arc::ptr_eq(&run.place.reach, &there.place.reach) => Some(state),
            _ => None,
        }
    }

    /// Takes note of what becomes of a strike; returns what it was before, where there was one.
    fn turn(&self, to: Strike) -> Option<(Strike, Arc<Core>)> {
        match &mut *self.state() {
            State::Stopped { run, strike, .. } if *strike != Strike::ToCome => {
                Some((std::mem::replace(strike, to), Arc::clone(&run.core)))
            }
            _ => None,
        }
    }

    fn shield(&self, shielded: bool) {
        let _state = self.state();
        self.0.shielded.store(shielded, Ordering::Relaxed);
    }
}

/// Runs `work` on the current thread, at `place` or as a task inside another one. Returns where the outcome goes, unless it
/// was delivered by now, and the outcome.
pub(crate) fn run(
    py: Python<'_>,
    core: &Arc<Core>,
    leash: Option<&Leash>,
    place: Option<Place>,
    reply: Option<Reply>,
    work: impl FnOnce() -> Outcome,
) -> (Option<Reply>, Outcome) {
    let Some(leash) = leash else {
        let outcome = work();
        pass_on(py, core, &outcome);
        return (reply, outcome);
    };
    let place = place.unwrap_or_else(|| Place { reach: Arc::new(Reach::here(py)), post: None });
    if let Err(reply) = leash.begin(core, place, reply) {
        return (reply, Outcome::Stopped(Why::Interrupted));
    }
    HELD.with_borrow_mut(|held| held.push(leash.clone()));
    let outcome = work();
    if fork::generation() != core.generation {
        // In a child that the task forked: what it came with may be locked by threads that do not exist here.
        return (None, outcome);
    }
    HELD.with_borrow_mut(Vec::pop);
    let (reply, outcome) = match leash.end() {
        Ended::Free(reply) => (reply, outcome),
        Ended::Stopped { why, struck } => {
            if struck {
                drop(pending(py, core));
            }
            (None, Outcome::Stopped(why))
        }
    };
    pass_on(py, core, &outcome);
    (reply, outcome)
}

/// Tells whether the current thread runs a task that may be stopped.
pub(crate) fn is_held() -> bool {
    HELD.with_borrow(|held| !held.is_empty())
}

/// In a forked child: it works for nobody who could stop it.
pub(crate) fn forget() {
    std::mem::forget(HELD.take());
}

/// Raises what is owed to a task that this thread goes on with, or waits to be raised because it was detached.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    for leash in HELD.with_borrow(Clone::clone) {
        match leash.turn(Strike::Done) {
            Some((Strike::Owed, core)) => {
                let stop = core.face.stop.bind(py).cast::<PyType>()?;
                return Err(PyErr::from_type(stop.clone(), ()));
            }
            Some((_, core)) => pending(py, &core).map_or(Ok(()), Err)?,
            None => {}
        }
    }
    Ok(())
}

/// Does what must not be interrupted although the current thread is in a task that may be: settles the future of another
/// one, which it has run inside.
pub(crate) fn shielded<R>(py: Python<'_>, work: impl FnOnce() -> R) -> R {
    let held = HELD.with_borrow(Clone::clone);
    held.iter().for_each(|leash| leash.shield(true));
    if let Err(raised) = check(py) {
        drop(raised);
        owe(&held);
    }
    let result = work();
    held.iter().for_each(|leash| leash.shield(false));
    result
}

fn owe(held: &[Leash]) {
    held.iter().for_each(|leash| drop(leash.turn(Strike::Owed)));
}

/// Takes what waits to be raised in the current thread.
pub(crate) fn pending(py: Python<'_>, core: &Core) -> Option<PyErr> {
    // It comes up at the beginning of any Python function.
    core.face.nothing.call0(py).err()
}

/// Takes note of it where a task inside another one was stopped by what was meant for the outer one, perhaps as well.
fn pass_on(py: Python<'_>, core: &Core, outcome: &Outcome) {
    let came_up = match outcome {
        Outcome::Stopped(_) => true,
        Outcome::Raised(error) => error.is_instance(py, core.face.stop.bind(py)),
        _ => false,
    };
    if came_up {
        HELD.with_borrow(|held| owe(held));
    }
}

fn deliver(core: &Arc<Core>, reply: Reply, outcome: Outcome) {
    reply.note(&outcome);
    if !matches!(reply, Reply::Future(_)) {
        if let Some(unclaimed) = reply.settle(outcome, Duration::ZERO, None, &core.face) {
            aside(core, &core.left, move || {
                let _: Option<()> = fork::attach_anew(|_| drop(unclaimed));
            });
        }
        return;
    }
    let shared = Arc::clone(core);
    // Its callbacks take as long as they like.
    aside(core, &core.settling, move || {
        let _: Option<()> = fork::attach_anew(|_| {
            let _lineage = lineage::enter(shared.id, Vec::new());
            drop(reply.settle(outcome, Duration::ZERO, None, &shared.face));
        });
    });
}

/// Does `work` on a thread of its own, or here where the system has none.
fn aside(core: &Core, counted: &Arc<Lifecycle>, work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let do_it = |work: &Mutex<Option<_>>| {
        let taken: Option<_> = work.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = taken {
            let work: Box<dyn FnOnce()> = Box::new(work);
            work();
        }
    };
    let shared = Arc::clone(&work);
    if counted.spawn(&core.threads, core.seats.len(), move |_| do_it(&shared)).is_err() {
        do_it(&work);
    }
}
