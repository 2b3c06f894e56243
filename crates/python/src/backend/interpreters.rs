//! Workers that own a subinterpreter each, with a GIL of its own.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::backend::Post;
use crate::backend::isolated::{Guest, failed_setup, serve};
use crate::core::Core;
use crate::home::Home;
use crate::interpreter::{self, Failure, Recipe};
use crate::interrupt::Reach;
use crate::outcome::Outcome;
use crate::task::Encoded;

/// The recipe of a pool, from the folder that holds the package.
pub(super) fn recipe(folder: &OsStr, setup: Vec<u8>) -> PyResult<Recipe> {
    let folder = CString::new(folder.as_bytes())
        .map_err(|_| PyValueError::new_err("the folder of the package holds a null character"))?;
    Ok(Recipe { folder, setup })
}

pub(super) fn live(py: Python<'_>, core: &Arc<Core>, recipe: &Recipe, post: &Arc<Post>) {
    let reach = &post.seat.reach;
    Home::leave(py, |home| serve(core, home, post, || Interpreter { core, recipe, reach, home }.enter()));
}

/// The guest of one worker, and what is needed to make another. The interpreter itself belongs to the thread.
struct Interpreter<'a> {
    core: &'a Core,
    recipe: &'a Recipe,
    reach: &'a Arc<Reach>,
    home: Home,
}

impl Interpreter<'_> {
    /// Makes an interpreter, in which the initializer has run.
    fn enter(self) -> PyResult<Self> {
        match interpreter::make(self.recipe, self.home, &self.core.interpreters, self.reach) {
            Ok(()) => Ok(self),
            Err(Failure::Told(reason)) => Err(PyRuntimeError::new_err(format!("no interpreter can be made: {reason}"))),
            Err(Failure::Raised(frame)) => Err(failed_setup(self.home, frame, &self.core.face)),
        }
    }
}

impl Guest for Interpreter<'_> {
    fn hand_over(self, task: &Encoded) -> (Outcome, Option<Self>) {
        let (core, home) = (self.core, self.home);
        // It is gone where the callback of a future has forked on this thread.
        let ready = match interpreter::is_there() {
            true => self,
            false => match self.enter() {
                Ok(entered) => entered,
                Err(error) => return (Outcome::Refused(Some(home.attach(|_| error.to_string()))), None),
            },
        };
        let outcome = match interpreter::exchange(task, &core.given_back) {
            Ok(frame) => Outcome::Reply(frame),
            Err(told) => {
                Outcome::Raised(PyRuntimeError::new_err(format!("the interpreter could not run the task: {told}")))
            }
        };
        (outcome, Some(ready))
    }

    fn end(self) {
        interpreter::end();
    }
}
