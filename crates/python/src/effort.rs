//! How much processor time the tasks of a worker take, told without asking the system after each of them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Tasks that took less are not asked about: that would cost more than some of them.
const LEAST: Duration = Duration::from_millis(1);
/// What a worker may spend on a task besides running it: looking for the next one, mostly.
const BESIDE: Duration = Duration::from_micros(50);

/// What is known of the processor time of the current thread.
#[derive(Debug)]
pub(crate) struct Effort {
    /// What the thread had used when the system was asked last.
    known: Duration,
    /// The most that it can have used since for tasks that were not asked about.
    unasked: Duration,
}

impl Effort {
    pub(crate) fn new() -> Self {
        Self { known: used(), unasked: Duration::ZERO }
    }

    /// The processor time of a task that has just ended and took `ran`: never more than it was, often a little less. `None` for
    /// short ones.
    pub(crate) fn of(&mut self, ran: Duration) -> Option<Duration> {
        if ran < LEAST {
            self.unasked += ran + BESIDE;
            return None;
        }
        let used = used();
        let since = used.saturating_sub(self.known);
        let effort = since.saturating_sub(self.unasked + BESIDE).min(ran);
        *self = Self { known: used, unasked: Duration::ZERO };
        Some(effort)
    }
}

/// The processor time that the current thread has used so far.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
