//! The threads of a pool: started together, counted while they live, waited for at the end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};

/// How the threads of a pool are made.
#[derive(Clone, Debug)]
pub struct ThreadSettings {
    /// Worker `i` is named `{name_prefix}-{i}`; the operating system shows the first 15 bytes.
    pub name_prefix: String,
    /// Stack of each thread in bytes; address space, of which only touched pages cost memory.
    pub stack_size: usize,
}

/// Counts what lives of a pool: its threads, or what they hold.
#[derive(Debug, Default)]
pub struct Lifecycle {
    /// Raised by the spawner before a thread starts, lowered by the thread as its last act.
    live: Mutex<usize>,
    /// Notified by the last thread.
    ended: Condvar,
}

/// Lowers the count when dropped: as a thread ends, whether its work returned or panicked.
#[derive(Debug)]
pub struct Alive(Arc<Lifecycle>);

impl Drop for Alive {
    fn drop(&mut self) {
        let mut live = self.0.live.lock();
        *live -= 1;
        if *live == 0 {
            self.0.ended.notify_all();
        }
    }
}

impl Lifecycle {
    /// Makes a lifecycle without threads.
    pub fn new() -> Self {
        Self { live: Mutex::new(0), ended: Condvar::new() }
    }

    /// Starts worker `index`, which does `work` and ends.
    ///
    /// # Errors
    /// What the operating system says when it refuses a thread; nothing is left counted then.
    pub fn spawn(
        self: &Arc<Self>,
        settings: &ThreadSettings,
        index: usize,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let alive = self.count();
        std::thread::Builder::new()
            .name(format!("{}-{index}", settings.name_prefix))
            .stack_size(settings.stack_size)
            .spawn(move || {
                // Declared first, dropped last: everything the work owns is gone when the count falls.
                let _alive = alive;
                work();
            })
            .map(drop)
    }

    /// Counts one more, until the returned guard is dropped.
    pub fn count(self: &Arc<Self>) -> Alive {
        *self.live.lock() += 1;
        Alive(Arc::clone(self))
    }

    /// Tells how many threads live.
    pub fn live(&self) -> usize {
        *self.live.lock()
    }

    /// Waits until nothing counted lives, at most `timeout`; tells whether nothing does. Woken by the last one.
    pub fn wait_ended(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut live = self.live.lock();
        while *live > 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            live = self.ended.wait(live, left);
        }
        true
    }
}
