//! Which pools the current thread is working for: the pool of its task, of the task that asked for it, and so on.
//!
//! A call to a pool in the lineage comes from inside one of that pool's own tasks, perhaps through other pools. Its
//! worker is waiting for us, so waiting for a worker in turn could wait for ever. Such calls run in place.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One pool in the chain.
#[derive(Debug)]
pub(crate) struct Lineage {
    pool: u64,
    parent: Option<Arc<Lineage>>,
    /// Whether an assistant works for this task, which waits in a way that cannot help. Set by the task's thread when
    /// it starts the assistant, cleared by the assistant when it finds nothing more to do.
    pub(crate) assisted: AtomicBool,
}

thread_local! {
    /// Written by this thread alone, around each task that it runs.
    static CURRENT: RefCell<Option<Arc<Lineage>>> = const { RefCell::new(None) };
}

/// Puts the lineage of before back when dropped.
pub(crate) struct Entered(Option<Arc<Lineage>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// The lineage of the current thread, for a task that it makes.
pub(crate) fn current() -> Option<Arc<Lineage>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Declares that the current thread runs a task of `pool`, made by a thread of lineage `parent`.
pub(crate) fn enter(pool: u64, parent: Option<Arc<Lineage>>) -> Entered {
    Entered(CURRENT.replace(Some(Arc::new(Lineage { pool, parent, assisted: AtomicBool::new(false) }))))
}

/// The task of `pool` that the current thread works for, the innermost one.
pub(crate) fn find(pool: u64) -> Option<Arc<Lineage>> {
    CURRENT.with_borrow(|current| {
        let mut link = current.as_ref();
        while let Some(lineage) = link {
            if lineage.pool == pool {
                return Some(Arc::clone(lineage));
            }
            link = lineage.parent.as_ref();
        }
        None
    })
}

/// Tells whether the current thread works for the task `task` itself, or for one that was made on its behalf.
pub(crate) fn descends_from(task: &Arc<Lineage>) -> bool {
    CURRENT.with_borrow(|current| {
        let mut link = current.as_ref();
        while let Some(lineage) = link {
            if Arc::ptr_eq(lineage, task) {
                return true;
            }
            link = lineage.parent.as_ref();
        }
        false
    })
}

/// Tells whether the current thread works for `pool`.
pub(crate) fn contains(pool: u64) -> bool {
    find(pool).is_some()
}
