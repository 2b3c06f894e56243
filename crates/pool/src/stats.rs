//! Counters of a pool, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a pool has done. Each counter is written by the thread that did the thing; all are read by anybody, without
/// order between them.
#[derive(Debug, Default)]
pub struct Stats {
    started: AtomicU64,
    finished: AtomicU64,
}

/// Counts a task as finished when dropped, however its run ends.
#[derive(Debug)]
pub struct Running<'a>(&'a Stats);

impl Stats {
    /// Counts a task as started until the returned guard is dropped.
    pub fn start(&self) -> Running<'_> {
        self.started.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    /// Tells how many tasks were started.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Tells how many tasks have ended.
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}
