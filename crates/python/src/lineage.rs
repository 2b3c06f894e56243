//! For which running tasks the current thread works: its own, the one that asked for it and waits, and so on.
//! The two pools of `backend="auto"` are one here.
//!
//! A call to a pool of one of them comes from inside that pool's own task, perhaps through other pools. Its worker is
//! waiting for us, so waiting for a worker in turn could wait for ever. Such calls run in place.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One running task, as those know it who work on its behalf.
#[derive(Debug)]
pub(crate) struct Mark {
    /// See `Core::id`.
    pool: u64,
    /// Cleared by the task's thread when the task has ended: from then on nobody waits there.
    running: AtomicBool,
    /// Whether an assistant works for this task, which waits in a way that cannot help: one for each [`Part`]. Set by the
    /// task's thread when it starts the assistant, cleared by the assistant when it finds nothing more to do.
    assisted: [AtomicBool; 2],
}

/// Which one of the pools of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its only one, or the one that shares the caller's interpreter.
    First = 0,
    /// The one beside that, where calls leave to.
    Beside = 1,
}

impl Mark {
    /// Whether an assistant of that pool works for the task.
    pub(crate) fn assisted(&self, part: Part) -> &AtomicBool {
        &self.assisted[part as usize]
    }
}

/// Running tasks, the innermost one last.
pub(crate) type Lineage = Vec<Arc<Mark>>;

thread_local! {
    /// Written by this thread alone, around each task that it runs.
    static CURRENT: RefCell<Lineage> = const { RefCell::new(Vec::new()) };
}

/// Ends the mark of a task and puts the lineage of before back when dropped.
pub(crate) struct Entered(Lineage);

impl Drop for Entered {
    fn drop(&mut self) {
        let ended = CURRENT.replace(std::mem::take(&mut self.0));
        if let Some(mark) = ended.last() {
            mark.running.store(false, Ordering::Relaxed);
        }
    }
}

/// The lineage of the current thread, for a task that it makes.
pub(crate) fn current() -> Lineage {
    CURRENT.with_borrow(Clone::clone)
}

/// Declares that the current thread runs a task of `pool`, made by a thread of that lineage.
pub(crate) fn enter(pool: u64, mut lineage: Lineage) -> Entered {
    // An ancestor that has ended waits for nobody; without this a task that submits its like would grow a chain.
    lineage.retain(|mark| mark.running.load(Ordering::Relaxed));
    lineage.push(Arc::new(Mark { pool, running: AtomicBool::new(true), assisted: Default::default() }));
    Entered(CURRENT.replace(lineage))
}

/// The running task of `pool` that the current thread works for, the innermost one.
pub(crate) fn find(pool: u64) -> Option<Arc<Mark>> {
    let is_it = |mark: &&Arc<Mark>| mark.pool == pool && mark.running.load(Ordering::Relaxed);
    CURRENT.with_borrow(|lineage| lineage.iter().rev().find(is_it).cloned())
}

/// Tells whether the current thread works for `task`.
pub(crate) fn descends_from(task: &Arc<Mark>) -> bool {
    CURRENT.with_borrow(|lineage| lineage.iter().any(|mark| Arc::ptr_eq(mark, task)))
}

/// Tells whether the current thread works for `pool`.
pub(crate) fn contains(pool: u64) -> bool {
    find(pool).is_some()
}
