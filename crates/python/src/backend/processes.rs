//! Workers that own a child process each: bytes out, bytes in, the interpreter only to settle a future.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use hypern_wire::{Frame, Kind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::backend::{Intake, Unsettled, end_if_forked, settle};
use crate::child::{Child, Command, Lost};
use crate::core::{Core, Seat};
use crate::lineage;
use crate::outcome::{Opened, Outcome, start_future};
use crate::task::{Encoded, Reply, Task, Work};

/// How often a process that ends before it is ready is started again before the pool is given up.
const STARTS: usize = 3;
/// How many processes may end before they have read a task before the task is given up.
const HANDOVERS: usize = 3;

/// The thread state is kept for the life of the worker, so that attaching to settle a future is cheap.
pub(super) fn live(py: Python<'_>, core: &Core, command: &Command, seat: &Seat, intake: &Intake) {
    py.detach(|| match enter(core, command, seat) {
        Ok(child) => serve(core, command, seat, intake, child),
        Err(error) => Python::attach(|py| core.break_down(py, &error)),
    });
}

/// Starts a process and waits until it is ready, its initializer having run.
fn enter<'a>(core: &Core, command: &Command, seat: &'a Seat) -> PyResult<Child<'a>> {
    let mut reason = String::new();
    for _ in 0..STARTS {
        let mut child = match Child::start(command, seat) {
            Ok(child) => child,
            Err(error) => {
                reason = format!("{}: {error}", command.program.display());
                continue;
            }
        };
        match child.receive() {
            Ok(Frame { kind: Kind::Ready, .. }) => return Ok(child),
            Ok(frame) => {
                return Err(Python::attach(|py| match Outcome::Reply(frame).open(py, &core.face) {
                    Opened::TaskError(error) | Opened::PoolError(error) => error,
                    Opened::Value(_) => PyRuntimeError::new_err("a worker process returned something unasked"),
                }));
            }
            Err(Lost::Unread) => "it ended while it started".clone_into(&mut reason),
            Err(Lost::Died { status, detail, .. }) => {
                reason = format!("it ended while it started ({status:?}) {detail}")
            }
        }
        if core.queue.is_closed() {
            break;
        }
    }
    Err(PyRuntimeError::new_err(format!("no worker process can be started: {reason}")))
}

fn serve<'a>(core: &Core, command: &Command, seat: &'a Seat, intake: &Intake, child: Child<'a>) {
    let mut child = Some(child);
    let mut unsettled: Option<Unsettled> = None;
    loop {
        let ready = match child.take() {
            Some(child) => child,
            None => {
                // The last one died: its place is taken at once, so that the next task finds it ready.
                settle(core, unsettled.take());
                if core.queue.is_closed() && core.queue.pending() == 0 {
                    break;
                }
                match enter(core, command, seat) {
                    Ok(child) => child,
                    Err(error) => return Python::attach(|py| core.break_down(py, &error)),
                }
            }
        };
        let Some(task) = intake.next(&core.queue, || settle(core, unsettled.take())) else {
            ready.end();
            break;
        };
        (child, unsettled) = run(core, command, seat, ready, task);
    }
}

/// Runs one task and gives the process back, unless it died of it; a future is settled at once.
fn run<'a>(
    core: &Core,
    command: &Command,
    seat: &'a Seat,
    child: Child<'a>,
    task: Task,
) -> (Option<Child<'a>>, Option<Unsettled>) {
    let Task { work, reply, lineage } = task;
    if reply.is_stopped() {
        return (Some(child), None);
    }
    if let Reply::Future(future) = &reply
        && !Python::attach(|py| start_future(py, future))
    {
        return (Some(child), None);
    }
    let running = core.stats.start();
    let began = Instant::now();
    let (outcome, child) = catch_unwind(AssertUnwindSafe(|| match &work {
        Work::Encoded(encoded) => hand_over(core, command, seat, child, encoded),
        Work::Call(_) => unreachable!("isolated backends are given bytes only"),
    }))
    .unwrap_or_else(|panic| (Outcome::panicked(panic.as_ref()), None));
    let ran = began.elapsed();
    drop(running);
    reply.note(&outcome);
    if !matches!(reply, Reply::Future(_)) {
        return (child, Some((reply, outcome, ran, Some(work))));
    }
    // Callbacks of the future run here: what they ask of this pool must not wait for this worker.
    let _lineage = lineage::enter(core.id, lineage);
    Python::attach(|py| {
        reply.settle(outcome, ran, Some(work), &core.face);
        end_if_forked(py, core);
    });
    (child, None)
}

fn hand_over<'a>(
    core: &Core,
    command: &Command,
    seat: &'a Seat,
    child: Child<'a>,
    task: &Encoded,
) -> (Outcome, Option<Child<'a>>) {
    let mut child = child;
    for _ in 0..HANDOVERS {
        if !child.has_ended() {
            match child.exchange(task) {
                Ok(frame) => return (Outcome::Reply(frame), Some(child)),
                Err(Lost::Died { pid, status, detail }) => return (Outcome::Crashed { pid, status, detail }, None),
                Err(Lost::Unread) => {}
            }
        }
        drop(child);
        child = match enter(core, command, seat) {
            Ok(child) => child,
            Err(error) => return (Outcome::Refused(Some(error.to_string())), None),
        };
    }
    let detail = format!("{HANDOVERS} worker processes in a row ended before they had read the task");
    (Outcome::Crashed { pid: 0, status: None, detail }, Some(child))
}
