//! Counters of a pool, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a pool has done. Each counter is written by the thread that did the thing; all are read by anybody, without
/// order between them.
#[derive(Debug, Default)]
pub struct Stats {
    started: AtomicU64,
    finished: AtomicU64,
    /// Nanoseconds, of all tasks that were started and that have ended.
    queued: AtomicU64,
    ran: AtomicU64,
}

/// Counts a task as finished when dropped, however its run ends.
#[derive(Debug)]
pub struct Running<'a> {
    stats: &'a Stats,
    began: Instant,
}

impl Stats {
    /// Counts a task that was `queued` so long as started, and as running until the returned guard is dropped.
    pub fn start(&self, queued: Duration) -> Running<'_> {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.queued.fetch_add(nanoseconds(queued), Ordering::Relaxed);
        Running { stats: self, began: Instant::now() }
    }

    /// Tells how long tasks have waited in the queue, and how long they have run, all together.
    pub fn times(&self) -> (Duration, Duration) {
        let [queued, ran] = [&self.queued, &self.ran].map(|sum| Duration::from_nanos(sum.load(Ordering::Relaxed)));
        (queued, ran)
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
        self.stats.finished.fetch_add(1, Ordering::Relaxed);
        self.stats.ran.fetch_add(nanoseconds(self.began.elapsed()), Ordering::Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
