//! Workers that own a subinterpreter each, with a GIL of its own.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::backend::Intake;
use crate::backend::isolated::{Guest, serve};
use crate::core::{Core, Seat};
use crate::home::Home;
use crate::interpreter::{self, Failure, Recipe, Surroundings};
use crate::outcome::{Opened, Outcome};
use crate::task::Encoded;

pub(super) fn live(py: Python<'_>, core: &Core, recipe: &Recipe, seat: &Seat, intake: &Intake) {
    Home::leave(py, |home| {
        let interpreter = || Interpreter { core, recipe, seat, home };
        serve(core, home, intake, || interpreter().enter().map(|()| interpreter()));
    });
}

/// The guest of one worker, and what is needed to make another. The interpreter itself belongs to the thread.
struct Interpreter<'a> {
    core: &'a Core,
    recipe: &'a Recipe,
    seat: &'a Seat,
    home: Home,
}

impl Interpreter<'_> {
    /// Makes an interpreter, in which the initializer has run.
    fn enter(&self) -> PyResult<()> {
        let around = Surroundings { home: self.home, guests: &self.core.guests, reach: &self.seat.reach };
        interpreter::make(self.recipe, &around).map_err(|failure| match failure {
            Failure::Told(reason) => PyRuntimeError::new_err(format!("no interpreter can be made: {reason}")),
            Failure::Raised(frame) => self.home.attach(|py| match Outcome::Reply(frame).open(py, &self.core.face) {
                Opened::TaskError(error) | Opened::PoolError(error) => error,
                Opened::Value(_) => PyRuntimeError::new_err("an interpreter returned something unasked"),
            }),
        })
    }
}

impl Guest for Interpreter<'_> {
    fn hand_over(self, task: &Encoded) -> (Outcome, Option<Self>) {
        // It is gone where the callback of a future has forked on this thread.
        if !interpreter::is_there()
            && let Err(error) = self.enter()
        {
            return (Outcome::Refused(Some(error.to_string())), None);
        }
        let outcome = match interpreter::exchange(task, &self.core.returned) {
            Ok(frame) => Outcome::Reply(frame),
            Err(told) => {
                Outcome::Raised(PyRuntimeError::new_err(format!("the interpreter could not run the task: {told}")))
            }
        };
        (outcome, Some(self))
    }

    fn end(self) {
        interpreter::end();
    }
}
