//! The kinds of place where workers run tasks: siblings of one shape, chosen here and nowhere else.
//!
//! Each has `enter` (once, before the first task), `run` (once a task) and `leave` (once, after the last).

mod processes;
mod threads;

use std::sync::Arc;

pub(crate) use threads::{run_claimed, run_here};

use crate::child::Command;
use crate::core::Core;

/// The backend of one pool.
#[derive(Debug)]
pub(crate) enum Backend {
    /// In the main interpreter, sharing memory.
    Threads,
    /// Each worker owns one child process, started by the command.
    Processes(Command),
}

impl Backend {
    /// Whether tasks cross to a guest as bytes.
    pub(crate) fn is_isolated(&self) -> bool {
        match self {
            Self::Threads => false,
            Self::Processes(_) => true,
        }
    }
}

/// The whole life of worker `index`.
pub(crate) fn work(core: &Arc<Core>, index: usize) {
    match &core.backend {
        Backend::Threads => threads::work(core, index),
        Backend::Processes(command) => processes::work(core, command, index),
    }
}
