//! Counters of a pool, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::histogram::{Histogram, Times};

/// What a pool has done. Each counter is written by the thread that did the thing; all are read by anybody, without
/// order between them.
#[derive(Debug, Default)]
pub struct Stats {
    /// How long tasks that were started had waited.
    queued: Histogram,
    /// How long tasks that have ended had run.
    ran: Histogram,
    failed: AtomicU64,
    cancelled: AtomicU64,
}

/// What [`Stats`] say at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Of tasks that were started.
    pub queued: Times,
    /// Of tasks that have ended.
    pub ran: Times,
    /// Tasks that have ended otherwise than they should.
    pub failed: u64,
    /// Tasks that were accepted and never started.
    pub cancelled: u64,
}

/// Counts a task as ended when dropped, however its run ends.
#[derive(Debug)]
pub struct Running<'a> {
    stats: &'a Stats,
    began: Instant,
}

impl Stats {
    /// Counts a task that was `queued` so long as started, and as running until the returned guard is dropped.
    pub fn start(&self, queued: Duration) -> Running<'_> {
        self.queued.add(queued);
        Running { stats: self, began: Instant::now() }
    }

    /// Counts a task that was accepted and will not be started.
    pub fn cancel(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells how many tasks run now.
    pub fn running(&self) -> u64 {
        // What has ended first: whatever ends in between was started.
        let ended = self.ran.count();
        self.queued.count().saturating_sub(ended)
    }

    /// Tells what was counted.
    pub fn numbers(&self) -> Numbers {
        let failed = self.failed.load(Ordering::Relaxed);
        let ran = self.ran.times();
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        Numbers { queued: self.queued.times(), ran, failed, cancelled }
    }
}

impl Running<'_> {
    /// Counts the task as ended, and tells how long it ran. A guard that is just dropped counts it as failed.
    pub fn end(self, failed: bool) -> Duration {
        let ran = self.count(failed);
        std::mem::forget(self);
        ran
    }

    fn count(&self, failed: bool) -> Duration {
        let ran = self.began.elapsed();
        self.stats.ran.add(ran);
        if failed {
            self.stats.failed.fetch_add(1, Ordering::Relaxed);
        }
        ran
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.count(true);
    }
}
