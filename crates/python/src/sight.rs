//! What a worker does, as others see it who look into a pool that hangs: its task, and where in its code it is.
//!
//! Nobody who looks waits for the worker, nor the worker for them longer than it takes to read its frames.
#![expect(unsafe_code, reason = "PyO3 does not wrap the frames of other threads")]

use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Instant;

use hypern_pool::Promise;
use pyo3::ffi;
use pyo3::prelude::*;

#[cfg(own_gil)]
use crate::interrupt::Inside;
use crate::interrupt::{Reach, Target};

/// What a worker runs.
#[derive(Debug)]
pub(crate) struct Job {
    began: Instant,
    /// `None`: what others have asked to be called when a future is done.
    callable: Option<Py<PyAny>>,
}

impl Job {
    /// One that begins now.
    pub(crate) fn new(callable: Option<Py<PyAny>>) -> Self {
        Self { began: Instant::now(), callable }
    }

    pub(crate) fn into_callable(self) -> Option<Py<PyAny>> {
        self.callable
    }
}

/// What can be seen of one worker.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// Written by the worker; locked by others for as long as it takes to copy it.
    job: Mutex<Option<Job>>,
    /// Its thread state in the main interpreter, by address, and the identifier of its thread. Set by the worker as it begins,
    /// cleared before the state is deleted.
    home: Mutex<Option<(usize, u64)>>,
}

impl Sight {
    /// Says what the worker does from now on; gives back what it did, to be dropped in the main interpreter.
    #[must_use]
    pub(crate) fn show(&self, job: Option<Job>) -> Option<Job> {
        std::mem::replace(&mut self.job.lock().unwrap_or_else(PoisonError::into_inner), job)
    }

    /// What the worker runs, and for how many seconds. `None`: nothing.
    pub(crate) fn job(&self, py: Python<'_>) -> Option<(Option<Py<PyAny>>, f64)> {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        job.as_ref().map(|job| {
            (job.callable.as_ref().map(|callable| callable.clone_ref(py)), job.began.elapsed().as_secs_f64())
        })
    }

    /// Lets others see the frames of this thread in the main interpreter until the guard is dropped.
    pub(crate) fn open<'py>(&self, py: Python<'py>) -> Opened<'_, 'py> {
        // SAFETY: the thread must be attached, which holds because `py` is here.
        let state = unsafe { ffi::PyThreadState_Get() } as usize;
        // SAFETY: it takes nothing and cannot fail.
        let thread = unsafe { ffi::PyThread_get_thread_ident() };
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some((state, thread));
        Opened(self, py)
    }

    /// The innermost frame of the worker in the main interpreter. `None` where it has none, or somebody else looks just now.
    #[cfg(not(Py_GIL_DISABLED))]
    pub(crate) fn frame<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let home = match self.home.try_lock() {
            Ok(home) => home,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let Some((state, _)) = *home else { return Ok(None) };
        // SAFETY: the state must live, which holds while `home` is locked, and its thread must not run, which holds because
        // this one has the GIL of its interpreter. The result is a new reference or null. Not `sys._current_frames`: it also
        // reads the frames of other interpreters, which run on meanwhile.
        Ok(unsafe {
            let frame = ffi::PyThreadState_GetFrame(state as *mut ffi::PyThreadState);
            Bound::from_owned_ptr_or_opt(py, frame.cast())
        })
    }

    /// The innermost frame of the worker. `None` where it has none.
    #[cfg(Py_GIL_DISABLED)]
    pub(crate) fn frame<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some((_, thread)) = *self.home.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(None) };
        // It stops the world, without which no frame of another thread can be read.
        py.import("sys")?
            .call_method0("_current_frames")?
            .call_method1("get", (thread,))
            .map(|frame| (!frame.is_none()).then_some(frame))
    }
}

/// See [`Sight::open`].
pub(crate) struct Opened<'a, 'py>(&'a Sight, Python<'py>);

impl Drop for Opened<'_, '_> {
    fn drop(&mut self) {
        // Detached: who looks may need the interpreter to finish.
        self.1.detach(|| *self.0.home.lock().unwrap_or_else(PoisonError::into_inner) = None);
    }
}

/// What a worker elsewhere answers to the question where it is: `None` where it cannot tell.
pub(crate) type Answer = Promise<Option<Vec<u8>>>;

/// Asks a worker elsewhere where it is. An interpreter answers, if it does, on a thread made for that, which waits for it; a process
/// that is on Linux writes the answer to a file of its own, see `hypern._child`.
pub(crate) fn ask(reach: &Arc<Reach>) -> Arc<Answer> {
    let answer = Arc::new(Answer::new());
    match reach.target() {
        #[cfg(own_gil)]
        Some(Target::Interpreter(_)) => {
            let (reach, place) = (Arc::clone(reach), Arc::clone(&answer));
            let asked = std::thread::Builder::new().spawn(move || place.settle(ask_interpreter(&reach)));
            if asked.is_err() {
                answer.settle(None);
            }
        }
        Some(Target::Process(_)) => {
            reach.ask_process();
            answer.settle(None);
        }
        _ => answer.settle(None),
    }
    answer
}

#[cfg(own_gil)]
fn ask_interpreter(reach: &Reach) -> Option<Vec<u8>> {
    let (_held, target) = reach.hold()?;
    let Some(Target::Interpreter(Inside { interpreter, state, .. })) = target else { return None };
    // SAFETY: both live while the target is held, as their owner lets go of it first; this thread has no other state.
    unsafe { crate::interpreter::stack(interpreter, state) }
}
