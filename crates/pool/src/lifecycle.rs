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
pub struct Alive {
    /// Where it is counted; another one once it was moved. Written by [`Alive::move_to`].
    counted: Mutex<Arc<Lifecycle>>,
}

impl Alive {
    /// Counts it elsewhere from now on; the returned guard takes over the place in the old count.
    pub fn move_to(&self, lifecycle: &Arc<Lifecycle>) -> Self {
        *lifecycle.live.lock() += 1;
        let left = std::mem::replace(&mut *self.counted.lock(), Arc::clone(lifecycle));
        Self { counted: Mutex::new(left) }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let counted = self.counted.lock();
        let mut live = counted.live.lock();
        *live -= 1;
        if *live == 0 {
            counted.ended.notify_all();
        }
    }
}

impl ThreadSettings {
    /// Starts a thread that takes the place of worker `index`, counted by `alive`.
    ///
    /// # Errors
    /// What the operating system says when it refuses a thread; nothing is left counted then.
    pub fn spawn(&self, index: usize, alive: Alive, work: impl FnOnce(&Arc<Alive>) + Send + 'static) -> io::Result<()> {
        std::thread::Builder::new()
            .name(format!("{}-{index}", self.name_prefix))
            .stack_size(self.stack_size)
            .spawn(move || {
                // Declared first, dropped last: everything the work owns is gone when the count falls.
                let alive = Arc::new(alive);
                work(&alive);
            })
            .map(drop)
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
        work: impl FnOnce(&Arc<Alive>) + Send + 'static,
    ) -> io::Result<()> {
        settings.spawn(index, self.count(), work)
    }

    /// Counts one more, until the returned guard is dropped.
    pub fn count(self: &Arc<Self>) -> Alive {
        *self.live.lock() += 1;
        Alive { counted: Mutex::new(Arc::clone(self)) }
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
