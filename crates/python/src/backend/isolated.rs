//! What workers with a guest have in common: bytes out, bytes in, the main interpreter only to settle a future.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hypern_pool::Next;
use hypern_wire::Frame;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::backend::{Post, Unsettled, end_if_forked, settle};
use crate::core::Core;
use crate::face::Face;
use crate::home::Home;
use crate::leash::{Ended, Leash, Place, Why};
use crate::lineage;
use crate::outcome::{Opened, Outcome, start_future};
use crate::sight::Job;
use crate::task::{Encoded, Reply, Task, Work};

/// The place that a worker gives its tasks to.
pub(super) trait Guest: Sized {
    /// Runs one task; gives the guest back unless it is gone.
    fn hand_over(self, task: &Encoded) -> (Outcome, Option<Self>);

    /// Lets it end.
    fn end(self);
}

/// Gives tasks to a guest until there are no more, showing them in the sight of the place. `enter` makes another one in place of
/// one that is gone.
pub(super) fn serve<G: Guest>(core: &Arc<Core>, home: Home, post: &Arc<Post>, enter: impl Fn() -> PyResult<G>) {
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
            if post.is_left() {
                guest.end();
                break 'guests;
            }
            match post.intake.next(&core.queue, || deliver(core, home, unsettled.take())) {
                Next::Task(task) => match run(core, home, post, guest, task) {
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
        if core.queue.is_over() || post.is_left() {
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
fn run<G: Guest>(
    core: &Arc<Core>,
    home: Home,
    post: &Arc<Post>,
    guest: G,
    task: Task,
) -> (Option<G>, Option<Unsettled>) {
    if task.reply.is_stopped() {
        core.stats.cancel();
        home.attach(|_| drop(task));
        return (Some(guest), None);
    }
    let Task { mut work, reply, lineage, made, leash } = task;
    if let Reply::Future(future) = &reply
        && !home.attach(|py| start_future(py, future))
    {
        core.stats.cancel();
        home.attach(|_| drop((work, reply)));
        return (Some(guest), None);
    }
    let sight = &post.seat.sight;
    let is_future = matches!(reply, Reply::Future(_));
    if let Work::Encoded(encoded) = &mut work {
        // What it did before holds no Python object by now.
        drop(sight.show(Some(Job::new(encoded.callable.take()))));
    }
    let running = core.stats.start(made.elapsed());
    let exchange = |guest: G| {
        catch_unwind(AssertUnwindSafe(|| match &work {
            Work::Encoded(encoded) => guest.hand_over(encoded),
            Work::Call(_) => unreachable!("isolated backends are given bytes only"),
        }))
        .unwrap_or_else(|panic| (Outcome::panicked(panic.as_ref()), None))
    };
    let (reply, outcome, guest) = hold(core, post, leash, reply, guest, exchange);
    // Whatever a task that was stopped came to in the end.
    let ran = running.end(reply.is_none() || outcome.is_failure());
    let shown = sight.show((is_future && reply.is_some()).then(|| Job::new(None)));
    if let Work::Encoded(encoded) = &mut work {
        encoded.callable = shown.and_then(Job::into_callable);
    }
    let Some(reply) = reply else {
        // It was stopped, and the outcome delivered then.
        home.attach(|_| drop((work, outcome)));
        return (guest, None);
    };
    reply.note(&outcome);
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

/// Makes an exchange that may be stopped. Returns where the outcome goes, unless it was delivered by now.
fn hold<G>(
    core: &Arc<Core>,
    post: &Arc<Post>,
    leash: Option<Leash>,
    reply: Reply,
    guest: G,
    exchange: impl FnOnce(G) -> (Outcome, Option<G>),
) -> (Option<Reply>, Outcome, Option<G>) {
    let Some(leash) = leash else {
        let (outcome, guest) = exchange(guest);
        return (Some(reply), outcome, guest);
    };
    if let Err(reply) = leash.begin(core, Place::of(post), Some(reply)) {
        return (reply, Outcome::Stopped(Why::Interrupted), Some(guest));
    }
    let (outcome, guest) = exchange(guest);
    match leash.end() {
        Ended::Free(reply) => (reply, outcome, guest),
        Ended::Stopped { .. } => (None, outcome, guest),
    }
}
