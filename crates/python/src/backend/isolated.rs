//! What workers with a guest have in common: bytes out, bytes in, the main interpreter only to settle a future.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hypern_pool::Next;
use hypern_wire::Frame;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::backend::{Intake, Unsettled, end_if_forked, settle};
use crate::core::Core;
use crate::face::Face;
use crate::home::Home;
use crate::lineage;
use crate::outcome::{Opened, Outcome, start_future};
use crate::sight::{Job, Sight};
use crate::task::{Encoded, Reply, Task, Work};

/// The place that a worker gives its tasks to.
pub(super) trait Guest: Sized {
    /// Runs one task; gives the guest back unless it is gone.
    fn hand_over(self, task: &Encoded) -> (Outcome, Option<Self>);

    /// Lets it end.
    fn end(self);
}

/// Gives tasks to a guest until there are no more, showing them in `sight`. `enter` makes another one in place of one that is
/// gone.
pub(super) fn serve<G: Guest>(
    core: &Core,
    home: Home,
    sight: &Sight,
    intake: &Intake,
    enter: impl Fn() -> PyResult<G>,
) {
    let mut unsettled: Option<Unsettled> = None;
    'guests: loop {
        let mut guest = match enter() {
            Ok(guest) => guest,
            Err(error) => {
                home.attach(|py| {
                    core.break_down(py, &error);
                    drop(error);
                });
                break;
            }
        };
        loop {
            match intake.next(&core.queue, || deliver(core, home, unsettled.take())) {
                Next::Task(task) => match run(core, home, sight, guest, task) {
                    (Some(ready), outcome) => (guest, unsettled) = (ready, outcome),
                    (None, outcome) => {
                        // Its place is taken at once, so that the next task finds it ready.
                        deliver(core, home, outcome);
                        break;
                    }
                },
                Next::Rest => {
                    guest.end();
                    core.queue.rest();
                    break;
                }
                Next::End => {
                    guest.end();
                    break 'guests;
                }
            }
        }
        if core.queue.is_over() {
            break;
        }
    }
    home.attach(|_| drop(core.given_back.try_take()));
}

/// Delivers an outcome; what nobody claims is dropped at home, where its Python objects belong.
fn deliver(core: &Core, home: Home, unsettled: Option<Unsettled>) {
    if let Some(unclaimed) = settle(core, unsettled) {
        home.attach(|_| drop(unclaimed));
    }
}

/// Opens what a guest raised while it began.
pub(super) fn failed_setup(home: Home, frame: Frame, face: &Face) -> PyErr {
    home.attach(|py| match Outcome::Reply(frame).open(py, face) {
        Opened::TaskError(error) | Opened::PoolError(error) => error,
        Opened::Value(_) => PyRuntimeError::new_err("a guest returned something unasked"),
    })
}

/// Runs one task; a future is settled at once.
fn run<G: Guest>(core: &Core, home: Home, sight: &Sight, guest: G, task: Task) -> (Option<G>, Option<Unsettled>) {
    if task.reply.is_stopped() {
        core.stats.cancel();
        home.attach(|_| drop(task));
        return (Some(guest), None);
    }
    let Task { mut work, reply, lineage, made } = task;
    if let Reply::Future(future) = &reply
        && !home.attach(|py| start_future(py, future))
    {
        core.stats.cancel();
        home.attach(|_| drop((work, reply)));
        return (Some(guest), None);
    }
    let is_future = matches!(reply, Reply::Future(_));
    if let Work::Encoded(encoded) = &mut work {
        // What it did before holds no Python object by now.
        drop(sight.show(Some(Job::new(encoded.callable.take()))));
    }
    let running = core.stats.start(made.elapsed());
    let (outcome, guest) = catch_unwind(AssertUnwindSafe(|| match &work {
        Work::Encoded(encoded) => guest.hand_over(encoded),
        Work::Call(_) => unreachable!("isolated backends are given bytes only"),
    }))
    .unwrap_or_else(|panic| (Outcome::panicked(panic.as_ref()), None));
    let ran = running.end(outcome.is_failure());
    reply.note(&outcome);
    let shown = sight.show(is_future.then(|| Job::new(None)));
    if let Work::Encoded(encoded) = &mut work {
        encoded.callable = shown.and_then(Job::into_callable);
    }
    if !is_future {
        return (guest, Some((reply, outcome, ran, Some(work))));
    }
    // Callbacks of the future run here: what they ask of this pool must not wait for this worker.
    let _lineage = lineage::enter(core.id, lineage);
    home.attach(|py| {
        drop(reply.settle(outcome, ran, Some(work), &core.face));
        drop(sight.show(None));
        end_if_forked(py, core);
    });
    (guest, None)
}
