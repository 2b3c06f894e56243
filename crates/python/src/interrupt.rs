//! How a running task is made to stop: an exception in a thread, a signal to a process.
#![expect(unsafe_code, reason = "PyO3 does not wrap PyThreadState_SetAsyncExc")]

use std::ffi::c_long;
#[cfg(own_gil)]
use std::sync::TryLockError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PySystemExit;
use pyo3::ffi;
use pyo3::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::fork;

/// Where a worker can be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The Python thread of that identifier.
    Thread(c_long),
    /// A thread inside a subinterpreter.
    #[cfg(own_gil)]
    Interpreter(Inside),
    /// The child process of that identifier.
    Process(i32),
}

impl Target {
    /// The current thread, which is attached to the main interpreter.
    pub(crate) fn this_thread(_: Python<'_>) -> Self {
        Self::Thread(this_thread())
    }
}

/// The thread of that identifier inside a subinterpreter, and what is known of its guest: addresses of what lives as long as
/// the interpreter.
#[cfg(own_gil)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside {
    pub(crate) interpreter: usize,
    /// The state of the thread.
    pub(crate) state: usize,
    pub(crate) thread: c_long,
    /// The object `hypern._guest.Guest`.
    pub(crate) guest: usize,
    /// The class `StopTask`.
    pub(crate) stop: usize,
}

/// Where one worker can be reached now. Written by the worker: set when it can be, cleared before the thread ends,
/// the interpreter is ended or the process is reaped, so that the identifier cannot have passed to somebody else.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    target: Mutex<Option<Target>>,
    /// Held by whoever is inside the interpreter of the target, or waits for it; taken before it is cleared. Apart from
    /// `target`, so that others need not wait for a long call of C that keeps the interpreter.
    inside: Mutex<()>,
}

impl Reach {
    /// Where the worker is reached just now.
    pub(crate) fn target(&self) -> Option<Target> {
        *locked(&self.target)
    }

    /// The process of the worker, where it has one.
    pub(crate) fn process(&self) -> Option<i32> {
        match self.target() {
            Some(Target::Process(pid)) => Some(pid),
            _ => None,
        }
    }

    /// The target as it is now, which stays as long as the guard is held. `None` where somebody else is inside, or waits for it.
    #[cfg(own_gil)]
    pub(crate) fn hold(&self) -> Option<(MutexGuard<'_, ()>, Option<Target>)> {
        let inside = match self.inside.try_lock() {
            Ok(inside) => inside,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let target = self.target();
        Some((inside, target))
    }

    /// Has a process write where it is; a process that does not listen passes over this signal, as it is its default.
    pub(crate) fn ask_process(&self) {
        let target = locked(&self.target);
        if let Some(Target::Process(pid)) = *target {
            send(pid, Signal::WINCH);
        }
    }

    /// A place that is reached as the current thread, which is attached to the main interpreter.
    pub(crate) fn here(py: Python<'_>) -> Self {
        let reach = Self::default();
        reach.set(Some(Target::this_thread(py)));
        reach
    }

    pub(crate) fn set(&self, target: Option<Target>) {
        let _nobody = locked(&self.inside);
        *locked(&self.target) = target;
    }

    /// Asks the worker to give up its task and to end: `SystemExit` at its next bytecode, or SIGKILL.
    pub(crate) fn interrupt(self: &Arc<Self>, py: Python<'_>) {
        let target = locked(&self.target);
        match *target {
            None => {}
            Some(Target::Thread(thread)) => raise_in(py, thread, py.get_type::<PySystemExit>().as_any()),
            #[cfg(own_gil)]
            Some(Target::Interpreter(_)) => {
                let reach = Arc::clone(self);
                // On a thread of its own: it waits for the interpreter, which a long call of C may keep.
                drop(std::thread::Builder::new().spawn(move || {
                    reach.enter(|inside| {
                        // SAFETY: the thread must be attached to the interpreter, which `enter` says; the exception is one
                        // object for all interpreters. An unknown thread changes nothing.
                        unsafe { ffi::PyThreadState_SetAsyncExc(inside.thread, ffi::PyExc_SystemExit) };
                    });
                }));
            }
            Some(Target::Process(pid)) => send(pid, Signal::KILL),
        }
    }

    /// Raises `StopTask` in the task that runs there, if `still()` finds that it is the one that was meant, and keeps it from
    /// ending as long as what it returns is held.
    ///
    /// The thread is detached, and may wait for a long call of C. In a process a signal has the guest raise it.
    pub(crate) fn stop<G>(&self, stop: &Py<PyAny>, still: impl FnOnce() -> Option<G>) {
        match self.target() {
            None => {}
            Some(Target::Thread(thread)) => {
                // A free-threaded interpreter stops the world to make a thread state, which a fork must not see.
                let _no_fork = fork::hold_off();
                let _: Option<()> = Python::try_attach(|py| {
                    if let Some(_held) = still() {
                        raise_in(py, thread, stop.bind(py));
                    }
                });
            }
            #[cfg(own_gil)]
            Some(Target::Interpreter(_)) => self.enter(|inside| {
                if let Some(_held) = still() {
                    // SAFETY: the thread must be attached to the interpreter that the objects belong to and live in, which
                    // `enter` says. An unknown thread changes nothing; the callee takes its own reference.
                    unsafe { stop_guest(inside) };
                }
            }),
            Some(Target::Process(_)) => {
                // The worker clears the target before it reaps the process.
                let target = locked(&self.target);
                if let Some(Target::Process(pid)) = *target
                    && let Some(_held) = still()
                {
                    send(pid, Signal::URG);
                }
            }
        }
    }

    /// Kills the target where it is a process, if `still()` finds that it is the one that was meant; tells whether it is a process.
    pub(crate) fn kill<G>(&self, still: impl FnOnce() -> Option<G>) -> bool {
        let target = locked(&self.target);
        let Some(Target::Process(pid)) = *target else { return false };
        if let Some(_held) = still() {
            send(pid, Signal::KILL);
        }
        true
    }

    /// Runs `work` in the interpreter that is the target, on a thread state of its own, if it still is.
    #[cfg(own_gil)]
    fn enter(&self, work: impl FnOnce(Inside)) {
        let _inside = locked(&self.inside);
        let Some(Target::Interpreter(inside)) = self.target() else { return };
        // SAFETY: the interpreter must live, which holds while `inside` is locked: its owner takes that lock before it ends
        // it. The state is new, attached by this thread, which has no other, and deleted by it; null would mean that no
        // memory is left.
        unsafe {
            let state = ffi::PyThreadState_New(inside.interpreter as *mut ffi::PyInterpreterState);
            if state.is_null() {
                return;
            }
            ffi::PyEval_RestoreThread(state);
            work(inside);
            ffi::PyThreadState_Clear(state);
            ffi::PyThreadState_DeleteCurrent();
        }
    }
}

fn raise_in(_: Python<'_>, thread: c_long, exception: &Bound<'_, PyAny>) {
    // SAFETY: the thread must be attached and the exception a class, which holds by the first argument and by every caller;
    // the callee takes its own reference. An unknown identifier changes nothing.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread, exception.as_ptr()) };
}

/// The identifier of the current thread, as Python knows it.
fn this_thread() -> c_long {
    // SAFETY: the callee asks nothing of its caller.
    unsafe { ffi::PyThread_get_thread_ident() }.cast_signed()
}

/// Raises `StopTask` where the guest is in a task, and otherwise has it do so as soon as it is.
///
/// # Safety
/// The thread must be attached to the interpreter of `inside`, and nobody have ended it.
#[cfg(own_gil)]
unsafe fn stop_guest(inside: Inside) {
    let guest = inside.guest as *mut ffi::PyObject;
    // SAFETY: as the caller says; the name is a C string, and the attributes are plain ones, so no Python code runs and the
    // guest's thread gets no turn between the look and what follows from it.
    unsafe {
        let running = ffi::PyObject_GetAttrString(guest, c"running".as_ptr());
        match running == ffi::Py_True() {
            true => drop(ffi::PyThreadState_SetAsyncExc(inside.thread, inside.stop as *mut ffi::PyObject)),
            false => drop(ffi::PyObject_SetAttrString(guest, c"stopped".as_ptr(), ffi::Py_True())),
        }
        ffi::Py_XDECREF(running);
        ffi::PyErr_Clear();
    }
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // An error means that the process has ended, which is what was wanted.
        let _ = kill_process(pid, signal);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
