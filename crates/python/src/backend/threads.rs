//! Workers in the main interpreter: one thread state for the life of the worker, as many tasks as there are for each
//! attachment, detached only to wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hypern_pool::Next;
use pyo3::prelude::*;

use crate::backend::{Post, Unsettled, end_if_forked, settle};
use crate::core::Core;
use crate::effort::Effort;
use crate::interrupt::{Reach, Target};
use crate::leash::{self, Leash, Place};
use crate::lineage;
use crate::outcome::{Outcome, start_future};
use crate::sight::Job;
use crate::task::{Reply, Task, Work};

/// How often a worker sees to it that others can have the interpreter, where its tasks follow one another.
const GIVE_WAY: Duration = Duration::from_millis(1);

pub(super) fn live(py: Python<'_>, core: &Arc<Core>, post: &Arc<Post>) {
    if let Err(error) = enter(py, core, post.index, &post.seat.reach) {
        leave(py, core, &post.seat.reach);
        core.break_down(py, &error);
        return;
    }
    serve(py, core, post);
    leave(py, core, &post.seat.reach);
}

fn enter(py: Python<'_>, core: &Core, index: usize, reach: &Reach) -> PyResult<()> {
    reach.set(Some(Target::this_thread(py)));
    core.face.enter.call1(py, (index,)).map(drop)
}

/// What a worker knows of itself.
struct Own<'a> {
    post: &'a Arc<Post>,
    /// `None` where nobody wants to know.
    effort: Option<Effort>,
}

fn serve(py: Python<'_>, core: &Arc<Core>, post: &Arc<Post>) {
    let mut own = Own { post, effort: core.face.stayed.is_some().then(Effort::new) };
    let mut unsettled: Option<Unsettled> = None;
    let mut gave_way = Instant::now();
    while !post.is_left() {
        // With nothing more to do, the outcome is delivered after detaching: its caller finds the interpreter free.
        let task = match core.queue.try_take() {
            Some(task) => {
                drop(settle(core, unsettled.take()));
                Next::Task(task)
            }
            None => {
                let next = py.detach(|| post.intake.next(&core.queue, || drop(settle(core, unsettled.take()))));
                gave_way = Instant::now();
                next
            }
        };
        let task = match task {
            Next::Task(task) => task,
            Next::Rest => unreachable!("only workers of interpreters rest"),
            Next::End => break,
        };
        unsettled = run(py, core, Some(&mut own), task);
        if gave_way.elapsed() > GIVE_WAY && core.queue.pending() > 0 {
            drop(settle(core, unsettled.take()));
            give_way(py, core);
            gave_way = Instant::now();
        }
    }
}

/// Lets those go on who have waited for the interpreter long enough to ask for it. It checks that whenever a Python function
/// begins, which tasks that are C functions do not reach. To detach would tell all who wait that it is free, and take it again
/// before they come, which makes them wait anew.
fn give_way(py: Python<'_>, core: &Core) {
    // Garbage is collected there, too, and its finalizers may call the pool, whose worker this is, or fork.
    let _lineage = lineage::enter(core.id, Vec::new());
    // What was meant for a task that has ended may come up here.
    drop(leash::pending(py, core));
    end_if_forked(py, core);
}

fn leave(py: Python<'_>, core: &Core, reach: &Reach) {
    reach.set(None);
    if let Err(error) = core.face.leave.call0(py) {
        error.write_unraisable(py, None);
    }
}

/// Runs a task that the current thread has claimed while it is in another one, and delivers its outcome.
pub(crate) fn run_claimed(py: Python<'_>, core: &Arc<Core>, task: Task) {
    drop(settle(core, run(py, core, None, task)));
}

/// Runs one task; a future is settled at once, while attached. `own` is that of the worker, who shows what it does.
fn run(py: Python<'_>, core: &Arc<Core>, own: Option<&mut Own<'_>>, task: Task) -> Option<Unsettled> {
    let Task { work, reply, lineage, made, leash } = task;
    if reply.is_stopped() {
        core.stats.cancel();
        return None;
    }
    let _lineage = lineage::enter(core.id, lineage);
    if let Reply::Future(future) = &reply
        && !leash::shielded(py, || start_future(py, future))
    {
        core.stats.cancel();
        return None;
    }
    let (post, effort) = own.map(|own| (own.post, own.effort.as_mut())).unzip();
    let show = |job| drop(post.map(|post| post.seat.sight.show(job)));
    show(Some(Job::new(work.callable(py, &reply))));
    let running = core.stats.start(made.elapsed());
    let (reply, outcome) = run_here(py, core, leash.as_ref(), post.map(Place::of), Some(reply), &work);
    let ran = running.end(outcome.is_failure());
    end_if_forked(py, core);
    // None: it was stopped, and the outcome delivered then.
    if let Some(reply) = &reply {
        reply.note(&outcome);
    }
    if let Some(seconds) = effort.flatten().and_then(|effort| effort.of(ran)) {
        tell_that_it_stayed(py, core, &work, seconds);
    }
    // The arguments go before the outcome is known, as a caller expects who counts references.
    drop(work);
    show(None);
    let reply = reply?;
    match reply {
        Reply::Future(_) => {
            show(Some(Job::new(None)));
            leash::shielded(py, || drop(reply.settle(outcome, ran, None, &core.face)));
            show(None);
            end_if_forked(py, core);
            None
        }
        Reply::Promise(_) | Reply::Batch(..) | Reply::Call(..) => Some((reply, outcome, ran, None)),
    }
}

fn tell_that_it_stayed(py: Python<'_>, core: &Core, work: &Work, effort: Duration) {
    let (Some(stayed), Work::Call(call)) = (&core.face.stayed, work) else { return };
    if let Err(error) = stayed.call1(py, (&call.function, &call.args, effort.as_secs_f64())) {
        error.write_unraisable(py, None);
    }
}

/// Runs work of this backend on the current thread, whichever that is; see [`leash::run`].
pub(crate) fn run_here(
    py: Python<'_>,
    core: &Arc<Core>,
    leash: Option<&Leash>,
    place: Option<Place>,
    reply: Option<Reply>,
    work: &Work,
) -> (Option<Reply>, Outcome) {
    let call = || match work {
        Work::Call(call) => match call.run(py) {
            Ok(value) => Outcome::Returned(value),
            Err(error) => Outcome::Raised(error),
        },
        Work::Encoded(_) => unreachable!("only isolated backends are given bytes"),
    };
    leash::run(py, core, leash, place, reply, || {
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Outcome::panicked(panic.as_ref()))
    })
}
