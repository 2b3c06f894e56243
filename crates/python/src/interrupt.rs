//! How a running task is made to stop when the interpreter must end: an exception in a thread, a signal to a process.
#![expect(unsafe_code, reason = "PyO3 does not wrap PyThreadState_SetAsyncExc")]

use std::ffi::c_long;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::exceptions::PySystemExit;
use pyo3::ffi;
use pyo3::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

/// Where a worker can be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The Python thread of that identifier.
    Thread(c_long),
    /// The thread of that identifier inside a subinterpreter, which is named by its address, as the state of the thread is.
    #[cfg(own_gil)]
    Interpreter { interpreter: usize, state: usize, thread: c_long },
    /// The child process of that identifier.
    Process(i32),
}

/// Where one worker can be reached now. Written by the worker: set when it can be, cleared before the thread ends,
/// the interpreter is ended or the process is reaped, so that the identifier cannot have passed to somebody else.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<Option<Target>>);

impl Reach {
    pub(crate) fn set(&self, target: Option<Target>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Keeps the target from going away while the guard lives. `None` where somebody else does that just now.
    pub(crate) fn hold(&self) -> Option<MutexGuard<'_, Option<Target>>> {
        match self.0.try_lock() {
            Ok(target) => Some(target),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The process of the worker, where it has one.
    pub(crate) fn process(&self) -> Option<i32> {
        match self.hold().as_deref() {
            Some(Some(Target::Process(pid))) => Some(*pid),
            _ => None,
        }
    }

    /// Asks the worker to give up its task: `SystemExit` at its next bytecode, or SIGKILL.
    pub(crate) fn interrupt(self: &Arc<Self>, py: Python<'_>) {
        // Held, perhaps by a thread that waits for the interpreter.
        #[cfg(own_gil)]
        let Some(target) = self.hold() else { return self.interrupt_aside() };
        #[cfg(not(own_gil))]
        let target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *target {
            None => {}
            Some(Target::Thread(identifier)) => {
                let exception = py.get_type::<PySystemExit>();
                // SAFETY: the thread must be attached and the exception a class or instance, which holds by `py` and
                // the line above; the callee takes its own reference. An unknown identifier changes nothing.
                unsafe { ffi::PyThreadState_SetAsyncExc(identifier, exception.as_ptr()) };
            }
            #[cfg(own_gil)]
            Some(Target::Interpreter { .. }) => self.interrupt_aside(),
            Some(Target::Process(pid)) => kill(pid),
        }
    }

    /// Interrupts on a thread of its own, which waits for the interpreter: a long call of C may keep it.
    #[cfg(own_gil)]
    fn interrupt_aside(self: &Arc<Self>) {
        let reach = Arc::clone(self);
        drop(std::thread::Builder::new().spawn(move || reach.interrupt_detached()));
    }

    /// Raises `SystemExit` in the interpreter that is the target by now, or ends the process that is.
    #[cfg(own_gil)]
    fn interrupt_detached(&self) {
        let target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (interpreter, thread) = match *target {
            Some(Target::Interpreter { interpreter, thread, .. }) => (interpreter, thread),
            Some(Target::Process(pid)) => return kill(pid),
            // A thread here keeps it locked only as it begins and ends.
            Some(Target::Thread(_)) | None => return,
        };
        // SAFETY: the interpreter must live, which holds while `target` is locked: its owner takes the lock before it ends
        // it. The state is new, attached by this thread, which has no other, and deleted by it; null would mean that no
        // memory is left. The exception is one object for all interpreters. An unknown thread changes nothing.
        unsafe {
            let state = ffi::PyThreadState_New(interpreter as *mut ffi::PyInterpreterState);
            if state.is_null() {
                return;
            }
            ffi::PyEval_RestoreThread(state);
            ffi::PyThreadState_SetAsyncExc(thread, ffi::PyExc_SystemExit);
            ffi::PyThreadState_Clear(state);
            ffi::PyThreadState_DeleteCurrent();
        }
    }
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // An error means that the process has ended, which is what was wanted.
        let _ = kill_process(pid, Signal::KILL);
    }
}
