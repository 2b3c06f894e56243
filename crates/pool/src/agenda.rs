//! What is to be done at which time, and how its keeper waits for the next thing.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

/// Things that are due at some time, for one keeper.
#[derive(Debug)]
pub struct Agenda<T> {
    entries: Mutex<Entries<T>>,
    /// Notified by [`Agenda::add`] where the new entry comes before all others.
    changed: Condvar,
}

/// Names one entry; the earliest is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    when: Instant,
    number: u64,
}

/// Written by whoever adds or removes, under the lock.
#[derive(Debug)]
struct Entries<T> {
    due: BTreeMap<Entry, T>,
    /// The number given out last.
    last: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { entries: Mutex::new(Entries { due: BTreeMap::new(), last: 0 }), changed: Condvar::new() }
    }
}

impl<T> Agenda<T> {
    /// Adds what is due at `when`, and wakes the keeper where nothing is due before.
    pub fn add(&self, when: Instant, what: T) -> Entry {
        let mut entries = self.entries.lock();
        entries.last += 1;
        let entry = Entry { when, number: entries.last };
        entries.due.insert(entry, what);
        if entries.due.first_key_value().is_some_and(|(first, _)| *first == entry) {
            self.changed.notify_one();
        }
        entry
    }

    /// Takes an entry back, unless the keeper has it. The keeper sleeps on: at worst it finds nothing to do.
    pub fn remove(&self, entry: Entry) -> Option<T> {
        self.entries.lock().due.remove(&entry)
    }

    /// Waits until something is due and takes it. Woken by time and by [`Agenda::add`]. Called by the keeper alone.
    pub fn next(&self) -> T {
        let mut entries = self.entries.lock();
        loop {
            let left =
                entries.due.first_key_value().map(|(entry, _)| entry.when.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero())
                && let Some((_, what)) = entries.due.pop_first()
            {
                return what;
            }
            entries = self.changed.wait(entries, left);
        }
    }
}
