//! Workers that own a child process each.

use std::sync::Arc;

use hypern_wire::{Frame, Kind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::backend::Post;
use crate::backend::isolated::{Guest, failed_setup, serve};
use crate::child::{Child, Command, Lost};
use crate::core::{Core, Seat};
use crate::home::Home;
use crate::outcome::Outcome;
use crate::task::Encoded;

/// How often a process that ends before it is ready is started again before the pool is given up.
const STARTS: usize = 3;
/// How many processes may end before they have read a task before the task is given up.
const HANDOVERS: usize = 3;

/// The thread state is kept for the life of the worker, so that attaching to settle a future is cheap.
pub(super) fn live(py: Python<'_>, core: &Arc<Core>, command: &Command, post: &Arc<Post>) {
    let seat = &*post.seat;
    Home::leave(py, |home| {
        serve(core, home, post, || {
            enter(core, command, seat, home).map(|child| Process { core, command, seat, home, child })
        });
    });
}

/// Starts a process and waits until it is ready, its initializer having run.
fn enter<'a>(core: &Core, command: &Command, seat: &'a Seat, home: Home) -> PyResult<Child<'a>> {
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
                return Err(failed_setup(home, frame, &core.face));
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

/// The guest of one worker, and what is needed to start another.
struct Process<'a> {
    core: &'a Core,
    command: &'a Command,
    seat: &'a Seat,
    home: Home,
    child: Child<'a>,
}

impl Guest for Process<'_> {
    fn hand_over(mut self, task: &Encoded) -> (Outcome, Option<Self>) {
        for _ in 0..HANDOVERS {
            if !self.child.has_ended() {
                match self.child.exchange(task) {
                    Ok(frame) => return (Outcome::Reply(frame), Some(self)),
                    Err(Lost::Died { pid, status, detail }) => return (Outcome::Crashed { pid, status, detail }, None),
                    Err(Lost::Unread) => {}
                }
            }
            drop(self.child);
            self.child = match enter(self.core, self.command, self.seat, self.home) {
                Ok(child) => child,
                Err(error) => {
                    return (Outcome::Refused(Some(self.home.attach(|_| error.to_string()))), None);
                }
            };
        }
        let detail = format!("{HANDOVERS} worker processes in a row ended before they had read the task");
        (Outcome::Crashed { pid: 0, status: None, detail }, Some(self))
    }

    fn end(self) {
        self.child.end();
    }
}
