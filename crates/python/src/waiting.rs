//! Waiting without the interpreter, in pieces short enough for Ctrl-C.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::fork::{self, LetGo};
use crate::interpreter;
use crate::leash;

/// The main thread looks for signals this often while it waits, a worker with an interpreter for forks, and one whose task
/// may be stopped for that. Others wait without end.
const SIGNAL_PERIOD: Duration = Duration::from_millis(50);

thread_local! {
    /// Whether this thread handles signals, and the fork generation for which that was found out.
    static HANDLES_SIGNALS: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
}

/// Repeats `step` detached until it gives something. It gets the longest time that it may wait.
///
/// # Errors
/// What a signal handler raised, `KeyboardInterrupt` for one, or `StopTask` where this waits in a task that is to stop.
pub(crate) fn wait_detached<T: Send>(
    py: Python<'_>,
    mut step: impl FnMut(Option<Duration>) -> Option<T> + Send,
) -> PyResult<T> {
    let period = (handles_signals(py)? || interpreter::is_there() || leash::is_held()).then_some(SIGNAL_PERIOD);
    let _let_go = LetGo::new(py);
    loop {
        if let Some(value) = py.detach(|| step(period)) {
            return Ok(value);
        }
        if fork::is_wanted() {
            // The callback of a future, perhaps, on the thread of a worker: it must not keep its interpreter while a fork
            // waits for that, as it waits for workers who rest for the fork.
            py.detach(interpreter::end);
        }
        py.check_signals()?;
        leash::check(py)?;
    }
}

fn handles_signals(py: Python<'_>) -> PyResult<bool> {
    let generation = fork::generation();
    if let Some((known_for, handles)) = HANDLES_SIGNALS.get()
        && known_for == generation
    {
        return Ok(handles);
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let handles = main.eq(threading.call_method0("get_ident")?)?;
    HANDLES_SIGNALS.set(Some((generation, handles)));
    Ok(handles)
}

/// A time in seconds; one that is too long to come is none.
pub(crate) fn limit(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
}

/// When `seconds` from now are over; `None`: never.
pub(crate) fn deadline_in(seconds: Option<f64>) -> Option<Instant> {
    limit(seconds).and_then(|time| Instant::now().checked_add(time))
}

/// The shorter one of a time and what is left until a deadline.
pub(crate) fn sooner(timeout: Option<Duration>, deadline: Option<Instant>) -> Option<Duration> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    [timeout, left].into_iter().flatten().min()
}

pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}
