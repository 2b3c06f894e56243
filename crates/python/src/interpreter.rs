//! One subinterpreter with its own GIL: made, used and ended by one thread.
//!
//! Only the raw C API is used inside it: PyO3's objects, interned strings and exceptions belong to the main interpreter,
//! and attaching by PyO3 would give back objects of that one in this one. Bytes go in, bytes come out.
//!
//! A thread has at most one, in [`OWN`], so that a fork on the same thread (by the callback of a future) can end it.
#![expect(unsafe_code, reason = "PyO3 does not wrap subinterpreters")]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_long};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hypern_pool::{Alive, Lifecycle};
use hypern_wire::{Frame, Kind};
use pyo3::ffi;

use crate::fork;
use crate::home::Home;
use crate::interrupt::{Reach, Target};
use crate::known::Known;
use crate::lent::{LentType, Returned};
use crate::task::Encoded;

/// Interpreters of this process. Raised under [`fork::hold_off`] before one is made, lowered after it has ended.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Held while an interpreter is made or ended: CPython does neither well in two threads at once.
static SERIAL: Mutex<()> = Mutex::new(());

thread_local! {
    /// The interpreter of this thread.
    static OWN: RefCell<Option<Live>> = const { RefCell::new(None) };
}

/// How interpreters of one pool are made.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The folder that holds the package.
    pub(crate) folder: CString,
    /// What the interpreter is told first; see `begin` of `hypern._guest`.
    pub(crate) setup: Vec<u8>,
}

/// What an interpreter shares with its pool.
pub(crate) struct Surroundings<'a> {
    pub(crate) home: Home,
    pub(crate) guests: &'a Arc<Lifecycle>,
    pub(crate) reach: &'a Arc<Reach>,
}

/// Why there is no interpreter.
pub(crate) enum Failure {
    /// What its setup raised, for an initializer that failed.
    Raised(Frame),
    /// What is known otherwise.
    Told(String),
}

/// Tells whether no interpreter of hypern lives in this process.
pub(crate) fn none_lives() -> bool {
    LIVE.load(Ordering::SeqCst) == 0
}

/// Tells whether this thread has an interpreter.
pub(crate) fn is_there() -> bool {
    OWN.with_borrow(Option::is_some)
}

/// Makes the interpreter of this thread. The thread is detached before and after.
pub(crate) fn make(recipe: &Recipe, around: &Surroundings<'_>) -> Result<(), Failure> {
    let counted = Counted::new(around.guests);
    let state = create(around.home).map_err(Failure::Told)?;
    // SAFETY: the state was made on this thread just now, and nothing is attached.
    let attached = unsafe { Attached::enter(state) };
    let begun = begin(recipe, &attached);
    drop(attached);
    match begun {
        Ok((guest, thread)) => {
            let reach = Arc::clone(around.reach);
            let live = Live { state, guest: Some(guest), known: Known::default(), reach, _counted: counted };
            live.reach.set(Some(live.target(thread)));
            OWN.set(Some(live));
            Ok(())
        }
        Err(failure) => {
            end_state(state);
            Err(failure)
        }
    }
}

/// Gives the interpreter of this thread one task and returns its reply. The thread is detached before and after.
///
/// # Errors
/// What is known where the guest did not even tell what went wrong; the interpreter can be used again.
pub(crate) fn exchange(task: &Encoded, returned: &Arc<Returned>) -> Result<Frame, String> {
    OWN.with_borrow_mut(|own| match own {
        Some(live) => live.exchange(task, returned),
        None => Err("the interpreter of this worker is gone".to_owned()),
    })
}

/// Ends the interpreter of this thread, if there is one. The thread is detached before and after.
pub(crate) fn end() {
    drop(OWN.take());
}

/// Counts an interpreter while it lives, for its pool and for forks.
struct Counted {
    _of_pool: Alive,
}

impl Counted {
    fn new(guests: &Arc<Lifecycle>) -> Self {
        // A fork either comes first or sees the count.
        let _no_fork = fork::hold_off();
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self { _of_pool: guests.count() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A live interpreter, detached. Dropping it ends it.
struct Live {
    /// The state that was made with the interpreter, on this thread.
    state: *mut ffi::PyThreadState,
    /// Taken when the interpreter is ended.
    guest: Option<Guest>,
    known: Known,
    reach: Arc<Reach>,
    /// Dropped last, when the interpreter is gone.
    _counted: Counted,
}

/// What is used of the Python side, `hypern._guest`. Owned references of the interpreter.
struct Guest {
    /// `take(kind, number, payload, buffers)`: does what one frame says.
    take: *mut ffi::PyObject,
    /// `leave()`: called before the end.
    leave: *mut ffi::PyObject,
    lent: LentType,
}

impl Live {
    fn target(&self, thread: c_long) -> Target {
        // SAFETY: the state lives.
        let interpreter = unsafe { ffi::PyThreadState_GetInterpreter(self.state) };
        Target::Interpreter { interpreter: interpreter as usize, thread }
    }

    fn exchange(&mut self, task: &Encoded, returned: &Arc<Returned>) -> Result<Frame, String> {
        let Some(guest) = &self.guest else { return Err("the interpreter of this worker is gone".to_owned()) };
        // SAFETY: the state belongs to this thread, as `OWN` is its own, and nothing is attached.
        let attached = unsafe { Attached::enter(self.state) };
        let mut failed = None;
        let number = self.known.prepare(task, |kind, number, bytes| {
            if let Err(error) = guest.tell(&attached, kind, number, bytes) {
                failed = Some(error);
            }
        });
        if let Some(error) = failed {
            // What the guest knows is uncertain now: it is told everything anew.
            self.known = Known::default();
            return Err(error);
        }
        guest.ask(&attached, task, number, returned)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Waits for an interrupt that is under way.
        self.reach.set(None);
        if let Some(Guest { take, leave, lent }) = self.guest.take() {
            // SAFETY: the state belongs to this thread and nothing is attached; all are references of this interpreter. What
            // `leave` raises is of no use to anybody.
            unsafe {
                let _attached = Attached::enter(self.state);
                ffi::Py_XDECREF(ffi::PyObject_CallNoArgs(leave));
                ffi::PyErr_Clear();
                ffi::Py_DECREF(leave);
                ffi::Py_DECREF(take);
                lent.release();
            }
        }
        end_state(self.state);
    }
}

/// Attached to an interpreter until dropped.
struct Attached(());

impl Attached {
    /// # Safety
    /// The state must have been made on this thread and live, and no state may be attached.
    unsafe fn enter(state: *mut ffi::PyThreadState) -> Self {
        // SAFETY: by the caller's word.
        unsafe { ffi::PyEval_RestoreThread(state) };
        Self(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: the state is attached since `enter`: all that runs in between gives back what it takes.
        unsafe { ffi::PyEval_SaveThread() };
    }
}

/// Makes an interpreter and returns its thread state, detached.
fn create(home: Home) -> Result<*mut ffi::PyThreadState, String> {
    let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    let inside = home.enter();
    let mut state = ptr::null_mut();
    let isolated = ffi::_PyInterpreterConfig_INIT;
    // SAFETY: a state of the main interpreter must be attached, which `inside` says; the configuration is the one that
    // CPython documents for an isolated interpreter.
    let status = unsafe { ffi::Py_NewInterpreterFromConfig(&raw mut state, &raw const isolated) };
    // SAFETY: a status is plain data.
    if unsafe { ffi::PyStatus_Exception(status) } != 0 || state.is_null() {
        let message = match status.err_msg.is_null() {
            true => "no reason given".into(),
            // SAFETY: messages of a status are constants of CPython.
            false => unsafe { CStr::from_ptr(status.err_msg) }.to_string_lossy().into_owned(),
        };
        return Err(format!("CPython made no interpreter: {message}"));
    }
    // The new state is attached instead of the one of the main interpreter, whose GIL is free.
    inside.replaced();
    // SAFETY: the new state is attached.
    unsafe { ffi::PyEval_SaveThread() };
    Ok(state)
}

/// Ends the interpreter of a state; the thread is detached before and after.
fn end_state(state: *mut ffi::PyThreadState) {
    let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the state must be the one that was made with the interpreter, attached, on the thread that made it, with no
    // other thread inside: interrupts have ended (`Reach`), and the call waits for threads that tasks have started.
    unsafe {
        ffi::PyEval_RestoreThread(state);
        ffi::Py_EndInterpreter(state);
    }
}

/// Loads the guest and lets it take over what the pool says; returns it and the identifier of this thread.
fn begin(recipe: &Recipe, attached: &Attached) -> Result<(Guest, c_long), Failure> {
    // SAFETY: the thread is attached, as `attached` says; every reference that is taken is given back.
    unsafe {
        let path = ffi::PySys_GetObject(c"path".as_ptr());
        let folder = ffi::PyUnicode_DecodeFSDefault(recipe.folder.as_ptr());
        if path.is_null() || folder.is_null() || ffi::PyList_Append(path, folder) < 0 {
            return Err(Failure::Told(told(attached)));
        }
        ffi::Py_DECREF(folder);
        let module = ffi::PyImport_ImportModule(c"hypern._guest".as_ptr());
        if module.is_null() {
            return Err(Failure::Told(told(attached)));
        }
        let Some(lent) = LentType::new() else { return Err(Failure::Told(told(attached))) };
        let setup = bytes(&recipe.setup);
        let begun = ffi::PyObject_CallMethod(module, c"begin_in_interpreter".as_ptr(), c"(N)".as_ptr(), setup);
        ffi::Py_DECREF(module);
        if begun.is_null() {
            lent.release();
            return Err(Failure::Told(told(attached)));
        }
        if ffi::PyBytes_Check(begun) != 0 {
            let payload = copy_bytes(begun);
            ffi::Py_DECREF(begun);
            lent.release();
            return Err(Failure::Raised(Frame { kind: Kind::Raised, function: 0, payload, buffers: Vec::new() }));
        }
        let take = ffi::Py_NewRef(ffi::PyTuple_GetItem(begun, 0));
        let leave = ffi::Py_NewRef(ffi::PyTuple_GetItem(begun, 1));
        let thread = ffi::PyLong_AsLong(ffi::PyTuple_GetItem(begun, 2));
        ffi::Py_DECREF(begun);
        Ok((Guest { take, leave, lent }, thread))
    }
}

impl Guest {
    /// Tells the guest something that has no reply.
    fn tell(&self, attached: &Attached, kind: Kind, number: u64, data: &[u8]) -> Result<(), String> {
        // SAFETY: the thread is attached; the list is new.
        let reply = unsafe { self.call(kind, number, data, ffi::PyList_New(0)) };
        if reply.is_null() {
            return Err(told(attached));
        }
        // SAFETY: an owned reference.
        unsafe { ffi::Py_DECREF(reply) };
        Ok(())
    }

    /// Gives the guest a task and copies its reply.
    fn ask(&self, attached: &Attached, task: &Encoded, number: u64, returned: &Arc<Returned>) -> Result<Frame, String> {
        // SAFETY: the thread is attached to the interpreter of `self.lent`; every reference is given back or handed over.
        unsafe {
            let buffers = ffi::PyList_New(0);
            for memory in &task.buffers {
                let lent = self.lent.lend(memory, returned);
                if buffers.is_null() || lent.is_null() || ffi::PyList_Append(buffers, lent) < 0 {
                    ffi::Py_XDECREF(lent);
                    ffi::Py_XDECREF(buffers);
                    return Err(told(attached));
                }
                ffi::Py_DECREF(lent);
            }
            let reply = self.call(task.kind, number, &task.payload, buffers);
            if reply.is_null() {
                return Err(told(attached));
            }
            let frame = copy_reply(reply);
            ffi::Py_DECREF(reply);
            frame.ok_or_else(|| told(attached))
        }
    }

    /// Calls `take` and returns an owned reference, or null with an exception set. Takes over `buffers`.
    ///
    /// # Safety
    /// The thread must be attached to the interpreter of `self.take` and `buffers` be null or an owned reference.
    unsafe fn call(&self, kind: Kind, number: u64, data: &[u8], buffers: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: the arguments are new references, given back after the call; a null among them means that an exception
        // is set already.
        unsafe {
            let args = [
                ffi::PyLong_FromLong(c_long::from(kind as u8)),
                ffi::PyLong_FromUnsignedLongLong(number),
                bytes(data),
                buffers,
            ];
            let reply = match args.iter().any(|argument| argument.is_null()) {
                true => ptr::null_mut(),
                false => ffi::PyObject_Vectorcall(self.take, args.as_ptr(), args.len(), ptr::null_mut()),
            };
            args.into_iter().for_each(|argument| ffi::Py_XDECREF(argument));
            reply
        }
    }
}

/// A new `bytes` object with a copy of `data`.
///
/// # Safety
/// The thread must be attached.
unsafe fn bytes(data: &[u8]) -> *mut ffi::PyObject {
    // SAFETY: the range is that of a slice.
    unsafe { ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), data.len() as ffi::Py_ssize_t) }
}

/// A copy of what a `bytes` object holds.
///
/// # Safety
/// The thread must be attached and the object be `bytes`.
unsafe fn copy_bytes(object: *mut ffi::PyObject) -> Vec<u8> {
    // SAFETY: the range is that of the object, which does not change.
    unsafe {
        let start = ffi::PyBytes_AsString(object).cast::<u8>();
        std::slice::from_raw_parts(start, ffi::PyBytes_Size(object).cast_unsigned()).to_vec()
    }
}

/// A copy of a reply `(kind, payload, buffers)`; `None` where it is something else or a buffer cannot be read.
///
/// # Safety
/// The thread must be attached.
unsafe fn copy_reply(reply: *mut ffi::PyObject) -> Option<Frame> {
    // SAFETY: the types are looked at before the parts are used, and the parts live as long as the reply.
    unsafe {
        if ffi::PyTuple_Check(reply) == 0 || ffi::PyTuple_Size(reply) != 3 {
            return None;
        }
        let kind = u8::try_from(ffi::PyLong_AsLong(ffi::PyTuple_GetItem(reply, 0))).ok().and_then(Kind::from_number)?;
        let payload = ffi::PyTuple_GetItem(reply, 1);
        let list = ffi::PyTuple_GetItem(reply, 2);
        if ffi::PyBytes_Check(payload) == 0 || ffi::PyList_Check(list) == 0 {
            return None;
        }
        let mut buffers = Vec::new();
        for index in 0..ffi::PyList_Size(list) {
            buffers.push(copy_buffer(ffi::PyList_GetItem(list, index))?);
        }
        Some(Frame { kind, function: 0, payload: copy_bytes(payload), buffers })
    }
}

/// A copy of what an object with the buffer protocol shows.
///
/// # Safety
/// The thread must be attached.
unsafe fn copy_buffer(object: *mut ffi::PyObject) -> Option<Vec<u8>> {
    let mut view = ffi::Py_buffer::new();
    // SAFETY: the view is filled before it is read, and released once; its memory stays until then.
    unsafe {
        if ffi::PyObject_GetBuffer(object, &raw mut view, ffi::PyBUF_SIMPLE) < 0 {
            return None;
        }
        let copy = match view.len {
            0 => Vec::new(),
            length => std::slice::from_raw_parts(view.buf.cast::<u8>(), length.cast_unsigned()).to_vec(),
        };
        ffi::PyBuffer_Release(&raw mut view);
        Some(copy)
    }
}

/// Takes the exception that is set and tells it in words.
fn told(_: &Attached) -> String {
    // SAFETY: the thread is attached; the references are owned and given back, and the text is copied while its object
    // lives.
    unsafe {
        let exception = ffi::PyErr_GetRaisedException();
        if exception.is_null() {
            return "the guest answered something unasked".to_owned();
        }
        let mut words = CStr::from_ptr((*ffi::Py_TYPE(exception)).tp_name).to_string_lossy().into_owned();
        let text = ffi::PyObject_Str(exception);
        if !text.is_null() {
            let mut length = 0;
            let start = ffi::PyUnicode_AsUTF8AndSize(text, &raw mut length);
            if !start.is_null() {
                let text = std::slice::from_raw_parts(start.cast::<u8>(), length.cast_unsigned());
                words = format!("{words}: {}", String::from_utf8_lossy(text));
            }
            ffi::Py_DECREF(text);
        }
        ffi::PyErr_Clear();
        ffi::Py_DECREF(exception);
        words
    }
}
