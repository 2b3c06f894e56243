//! The one thread of this process that watches deadlines, started by the first one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hypern_pool::{Agenda, Entry};

use crate::fork;
use crate::leash::Leash;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    agenda: Arc<Agenda<Leash>>,
    /// Whether the thread is there. Written by whoever adds something.
    started: AtomicBool,
}

/// The keeper that the pools of this process share. Locked under [`fork::hold_off`], so that no child inherits it locked.
static KEEPER: Mutex<Option<Arc<Keeper>>> = Mutex::new(None);

/// The keeper of this process. Waits for forks, detached.
pub(crate) fn keeper() -> Arc<Keeper> {
    let _no_fork = fork::hold_off();
    Arc::clone(KEEPER.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// In a forked child: the thread of the parent does not exist here, and what it may have locked is never touched.
pub(crate) fn forget() {
    std::mem::forget(KEEPER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl Keeper {
    /// Has a leash told when it is time.
    pub(crate) fn add(&self, when: Instant, leash: Leash) -> Entry {
        if !self.started.swap(true, Ordering::Relaxed) {
            let agenda = Arc::clone(&self.agenda);
            let keep = move || {
                loop {
                    agenda.next().due();
                }
            };
            // It never ends by itself, and never enters the interpreter, so it may be there while that goes down. Where
            // the system refuses the thread, the next deadline asks again.
            let spawned = std::thread::Builder::new().name("hypern-keeper".to_owned()).spawn(keep);
            self.started.store(spawned.is_ok(), Ordering::Relaxed);
        }
        self.agenda.add(when, leash)
    }

    /// Takes back what was added.
    pub(crate) fn remove(&self, entry: Entry) {
        drop(self.agenda.remove(entry));
    }
}
