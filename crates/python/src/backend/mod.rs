//! The kinds of place where workers run tasks: siblings of one shape, chosen here and nowhere else.
//!
//! Each has `live` (the life of a worker) and `enter` (before the first task); the isolated ones share their loop and hand
//! tasks over through `isolated::Guest`.

#[cfg(own_gil)]
mod interpreters;
mod isolated;
mod processes;
mod threads;

use std::ffi::OsString;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hypern_pool::{Alive, Next, Queue};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub(crate) use threads::{run_claimed, run_here};

use crate::child::{self, Command};
use crate::core::{Core, Seat};
use crate::fork;
#[cfg(own_gil)]
use crate::interpreter::Recipe;
use crate::lineage::{Mark, Part};
use crate::outcome::{Outcome, Unclaimed};
use crate::task::{Reply, Spent, Task};

/// The backend of one pool.
#[derive(Debug)]
pub(crate) enum Backend {
    /// In the main interpreter, sharing memory.
    Threads,
    /// Each worker owns one subinterpreter, made by the recipe.
    #[cfg(own_gil)]
    Interpreters(Recipe),
    /// Each worker owns one child process, started by the command.
    Processes(Command),
}

impl Backend {
    /// The backend of that name, with what `Pool::new` is given to start its guests.
    pub(crate) fn named(name: &str, launch: &[OsString], setup: Vec<u8>) -> PyResult<Self> {
        match (name, launch) {
            ("threads", _) => Ok(Self::Threads),
            #[cfg(own_gil)]
            ("interpreters", [folder]) => Ok(Self::Interpreters(interpreters::recipe(folder, setup)?)),
            ("processes", [program, args @ ..]) => {
                Ok(Self::Processes(Command { program: program.clone(), args: args.to_vec(), setup }))
            }
            _ => Err(PyValueError::new_err(format!("the core has no backend {name:?}"))),
        }
    }

    /// Whether tasks cross to a guest as bytes.
    pub(crate) fn is_isolated(&self) -> bool {
        !matches!(self, Self::Threads)
    }

    /// Whether each worker owns an interpreter, which must not live while a thread forks.
    pub(crate) fn has_interpreters(&self) -> bool {
        match self {
            Self::Threads | Self::Processes(_) => false,
            #[cfg(own_gil)]
            Self::Interpreters(_) => true,
        }
    }

    /// How long a caller looks for the outcome of a short task before it parks: about what the hand-over takes.
    pub(crate) fn look(&self) -> Duration {
        match self {
            Self::Threads => Duration::from_micros(30),
            #[cfg(own_gil)]
            Self::Interpreters(_) => Duration::from_micros(50),
            Self::Processes(_) => child::LOOK,
        }
    }
}

/// What a task came to, not yet delivered: its worker first makes itself ready for what the receiver may do next.
type Unsettled = (Reply, Outcome, Duration, Spent);

/// Delivers an outcome; gives back what nobody claims.
fn settle(core: &Core, unsettled: Option<Unsettled>) -> Option<Unclaimed> {
    unsettled.and_then(|(reply, outcome, ran, spent)| reply.settle(outcome, ran, spent, &core.face))
}

/// Ends this process where a task or a callback forked it and came back: the worker that it woke up on is the parent's.
fn end_if_forked(py: Python<'_>, core: &Core) {
    if core.is_inherited() {
        fork::end_stray_child(py);
    }
}

/// On whose behalf a thread takes tasks, which tells when it ends.
#[derive(Clone, Debug)]
enum Intake {
    /// For the pool: until the queue is closed and empty.
    Worker,
    /// For a task that waits: until there is nothing more to do.
    Assistant(Arc<Mark>, Part),
}

impl Intake {
    /// Delivers the last outcome and takes the next task, waiting for one where the thread is a worker.
    fn next(&self, queue: &Queue<Task>, deliver: impl FnOnce()) -> Next<Task> {
        let assisted = match self {
            Self::Worker => return queue.next_after(deliver),
            Self::Assistant(waiting, part) => waiting.assisted(*part),
        };
        deliver();
        loop {
            if let Some(next) = queue.next_if_any() {
                return next;
            }
            assisted.store(false, Ordering::SeqCst);
            if queue.pending() == 0 || assisted.swap(true, Ordering::SeqCst) {
                return Next::End;
            }
        }
    }
}

/// What a worker does, in a form that another thread can go on with.
#[derive(Debug)]
pub(crate) struct Post {
    index: usize,
    intake: Intake,
    pub(crate) seat: Arc<Seat>,
    alive: Arc<Alive>,
}

impl Post {
    fn new(index: usize, intake: Intake, seat: Arc<Seat>, alive: &Arc<Alive>) -> Arc<Self> {
        Arc::new(Self { index, intake, seat, alive: Arc::clone(alive) })
    }

    /// Has another thread go on; this one is in a task that does not stop, and ends when that does.
    pub(crate) fn leave(&self, core: &Arc<Core>) {
        // A worker whose process is gone comes back by itself.
        if matches!(core.backend, Backend::Processes(_)) || self.seat.left.swap(true, Ordering::Relaxed) {
            return;
        }
        let (shared, index, intake, seat) = (Arc::clone(core), self.index, self.intake.clone(), Arc::<Seat>::default());
        let mut stand_ins = core.stand_ins.lock().unwrap_or_else(PoisonError::into_inner);
        stand_ins.retain(|(_, seat)| Arc::strong_count(seat) > 1);
        stand_ins.push((index, Arc::clone(&seat)));
        drop(stand_ins);
        // Where the system refuses the thread, the pool has one less.
        drop(core.threads.spawn(index, self.alive.move_to(&core.left), move |alive| {
            live(&shared, &Post::new(index, intake, seat, alive));
        }));
    }

    fn is_left(&self) -> bool {
        self.seat.left.load(Ordering::Relaxed)
    }
}

/// The whole life of worker `index`.
pub(crate) fn work(core: &Arc<Core>, index: usize, alive: &Arc<Alive>) {
    live(core, &Post::new(index, Intake::Worker, Arc::clone(&core.seats[index]), alive));
}

/// Starts one more thread, which does what is in the queue and ends: `waiting` waits for tasks of its own pool in a way
/// that cannot help, `concurrent.futures.wait` for one. At most one assistant works for each task.
///
/// No task is left behind: those that are waited for were pushed before. The assistant declares that it ends before it
/// looks for the last time, and the next one who waits starts another where that is declared.
pub(crate) fn assist(core: &Arc<Core>, waiting: Arc<Mark>) -> io::Result<()> {
    if waiting.assisted(core.part).swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let index = core.seats.len();
    let (shared, intake) = (Arc::clone(core), Intake::Assistant(Arc::clone(&waiting), core.part));
    let spawned = core
        .lifecycle
        .spawn(&core.threads, index, move |alive| live(&shared, &Post::new(index, intake, Arc::default(), alive)));
    if spawned.is_err() {
        waiting.assisted(core.part).store(false, Ordering::SeqCst);
    }
    spawned
}

fn live(core: &Arc<Core>, post: &Arc<Post>) {
    let attached = fork::attach_anew(|py| {
        let _seen = post.seat.sight.open(py);
        core.attached.put(());
        match &core.backend {
            Backend::Threads => threads::live(py, core, post),
            #[cfg(own_gil)]
            Backend::Interpreters(recipe) => interpreters::live(py, core, recipe, post),
            Backend::Processes(command) => processes::live(py, core, command, post),
        }
    });
    if attached.is_none() {
        // The interpreter is finalizing, and the exit handler has already refused what waits.
        core.attached.put(());
    }
}
