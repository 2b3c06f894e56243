//! One subinterpreter with its own GIL: made, used and ended by one thread.
//!
//! Only the raw C API is used inside it: PyO3's objects, interned strings and exceptions belong to the main interpreter,
//! and attaching by PyO3 would give back objects of that one in this one. Bytes go in, bytes come out.
//!
//! A thread has at most one, in [`OWN`], so that a fork on the same thread (by the callback of a future) can end it.
#![expect(unsafe_code, reason = "PyO3 does not wrap subinterpreters")]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_long};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(not(Py_3_14))]
use std::{thread, time::Duration};

use hypern_pool::{Alive, Lifecycle};
use hypern_wire::{Frame, Kind};
use pyo3::ffi;

use crate::buffer::GivenBack;
use crate::fork;
use crate::home::{Attached, Home};
use crate::interrupt::{Inside, Reach, Target};
use crate::known::Known;
use crate::lent::LentType;
use crate::plain;
use crate::task::Encoded;

/// Interpreters of this process. Raised under [`fork::hold_off`] before one is made, lowered after it has ended.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Held while an interpreter is made or ended: CPython does neither well in two threads at once. No child inherits it
/// locked: whoever holds it is counted in `LIVE`.
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

/// In a forked child: those of the parent do not exist here.
pub(crate) fn forget_all() {
    LIVE.store(0, Ordering::SeqCst);
}

/// Tells whether this thread has an interpreter.
pub(crate) fn is_there() -> bool {
    OWN.with_borrow(Option::is_some)
}

/// Makes the interpreter of this thread, counted in `counter` and reached by `reach`. The thread is detached before and
/// after.
pub(crate) fn make(recipe: &Recipe, home: Home, counter: &Arc<Lifecycle>, reach: &Arc<Reach>) -> Result<(), Failure> {
    // There is one where a panic has kept it from being ended.
    end();
    let counted = Counted::new(counter);
    let state = create(home).map_err(Failure::Told)?;
    let begun = {
        // SAFETY: the state was made on this thread just now, lives until `end_state`, and nothing is attached.
        let attached = unsafe { Attached::enter(state) };
        begin(recipe, &attached)
    };
    match begun {
        Ok(guest) => {
            let live = Live { state, guest, known: Known::default(), reach: Arc::clone(reach), _counted: counted };
            live.reach.set(Some(live.target()));
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
pub(crate) fn exchange(task: &Encoded, given_back: &Arc<GivenBack>) -> Result<Frame, String> {
    OWN.with_borrow_mut(|own| match own {
        Some(live) => live.exchange(task, given_back),
        None => Err("the interpreter of this worker is gone".to_owned()),
    })
}

/// Ends the interpreter of this thread, if there is one. The thread is detached before and after.
pub(crate) fn end() {
    drop(OWN.take());
}

/// Tells where the thread of an interpreter is, as `stack` of `hypern._guest` puts it; called by another thread, which waits for
/// the interpreter: a long call of C may keep it.
///
/// # Safety
/// The interpreter and the state, which is one of its own, must live until this returns, and the current thread be detached.
pub(crate) unsafe fn stack(interpreter: usize, state: usize) -> Option<Vec<u8>> {
    // SAFETY: the interpreter lives by the caller's word; null would mean that no memory is left.
    let own = unsafe { ffi::PyThreadState_New(interpreter as *mut ffi::PyInterpreterState) };
    if own.is_null() {
        return None;
    }
    // SAFETY: the state is new, belongs to this thread, and is deleted below.
    let attached = unsafe { Attached::enter(own) };
    let told = {
        // SAFETY: the state that is looked at lives by the caller's word, and its thread does not run, because this one has the
        // GIL of their interpreter. The result is a new reference, or null where it runs no Python code.
        let frame = unsafe { ffi::PyThreadState_GetFrame(state as *mut ffi::PyThreadState) };
        Owned::new(&attached, frame.cast()).ok().and_then(|frame| describe(&attached, &frame))
    };
    // SAFETY: the state is attached, and nothing of it is used any more. It takes the guard's place in detaching.
    unsafe {
        ffi::PyErr_Clear();
        ffi::PyThreadState_Clear(own);
        attached.replaced();
        ffi::PyThreadState_DeleteCurrent();
    }
    told
}

/// Puts a frame and those that called it in words.
fn describe(attached: &Attached, frame: &Owned<'_>) -> Option<Vec<u8>> {
    // SAFETY: the thread must be attached to the interpreter of the frame, which `attached` says; the module is there.
    unsafe {
        let module = Owned::new(attached, ffi::PyImport_ImportModule(c"hypern._guest".as_ptr())).ok()?;
        let stack = ffi::PyObject_CallMethod(module.0, c"stack".as_ptr(), c"(O)".as_ptr(), frame.0);
        let stack = Owned::new(attached, stack).ok()?;
        (ffi::PyBytes_Check(stack.0) != 0).then(|| copy_bytes(stack.0))
    }
}

/// Counts an interpreter while it lives, for its pool and for forks.
struct Counted {
    _of_pool: Alive,
}

impl Counted {
    fn new(counter: &Arc<Lifecycle>) -> Self {
        // A fork either comes first or sees the count.
        let _no_fork = fork::hold_off();
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self { _of_pool: counter.count() }
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
    guest: Guest,
    known: Known,
    reach: Arc<Reach>,
    /// Dropped last, when the interpreter is gone.
    _counted: Counted,
}

/// What is used of the Python side, `hypern._guest`. References that belong to the interpreter and end with it.
struct Guest {
    /// `take(kind, number, payload, buffers)`: does what one frame says.
    take: *mut ffi::PyObject,
    /// `leave()`: called before the end.
    leave: *mut ffi::PyObject,
    /// The identifier of this thread.
    thread: c_long,
    /// The guest itself, and the class of what is raised in it where its task is to stop.
    object: *mut ffi::PyObject,
    stop: *mut ffi::PyObject,
    lent: LentType,
}

impl Live {
    fn target(&self) -> Target {
        // SAFETY: the state must live, which holds until `drop` has ended it.
        let interpreter = unsafe { ffi::PyThreadState_GetInterpreter(self.state) } as usize;
        let Guest { thread, object, stop, .. } = self.guest;
        let (state, guest, stop) = (self.state as usize, object as usize, stop as usize);
        Target::Interpreter(Inside { interpreter, state, thread, guest, stop })
    }

    fn exchange(&mut self, task: &Encoded, given_back: &Arc<GivenBack>) -> Result<Frame, String> {
        // SAFETY: the state belongs to this thread, as `OWN` is its own, lives as long as `self`, and nothing is attached.
        let attached = unsafe { Attached::enter(self.state) };
        let mut failed = None;
        let number = self.known.prepare(task, |kind, number, bytes| {
            if let Err(error) = self.guest.tell(&attached, kind, number, bytes) {
                failed = Some(error);
            }
        });
        if let Some(error) = failed {
            // What the guest knows is uncertain now: it is told everything anew.
            self.known = Known::default();
            return Err(error);
        }
        self.guest.ask(&attached, task, number, given_back)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Waits for an interrupt that is under way.
        self.reach.set(None);
        {
            // SAFETY: as in `exchange`.
            let attached = unsafe { Attached::enter(self.state) };
            self.guest.part(&attached);
        }
        end_state(self.state);
    }
}

/// An owned reference of the interpreter that the thread is attached to; given up when dropped. May be null.
struct Owned<'a>(*mut ffi::PyObject, PhantomData<&'a Attached>);

impl<'a> Owned<'a> {
    /// Takes what a call returned: a new reference, or null with an exception set, which is told in words.
    fn new(attached: &'a Attached, returned: *mut ffi::PyObject) -> Result<Self, String> {
        match returned.is_null() {
            true => Err(told(attached)),
            false => Ok(Self(returned, PhantomData)),
        }
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: the thread must be attached to the interpreter of the object, which the lifetime says, and the reference
        // be owned and not used again, which holds since `new`.
        unsafe { ffi::Py_DECREF(self.0) };
    }
}

/// Makes an interpreter and returns its thread state, detached.
fn create(home: Home) -> Result<*mut ffi::PyThreadState, String> {
    let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    let attached = home.enter();
    let mut state = ptr::null_mut();
    let isolated = ffi::_PyInterpreterConfig_INIT;
    // SAFETY: a state of the main interpreter must be attached, which `attached` says; the configuration is the one that
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
    attached.replaced();
    // SAFETY: a state must be attached, which the new one is.
    unsafe { ffi::PyEval_SaveThread() };
    Ok(state)
}

/// Waits until no thread but that of `state`, which is detached, has a state in its interpreter: CPython 3.13 ends the process
/// where one is left. `threading._shutdown` does not know those that `_thread` has started, and `_thread._count` not those that
/// have yet to begin.
#[cfg(not(Py_3_14))]
fn wait_for_threads(state: *mut ffi::PyThreadState) {
    loop {
        {
            // SAFETY: as in `end_state`.
            let _attached = unsafe { Attached::enter(state) };
            // SAFETY: the interpreter lives, and its states are made and deleted by threads that have its GIL, as this one has.
            unsafe {
                let first = ffi::PyInterpreterState_ThreadHead(ffi::PyThreadState_GetInterpreter(state));
                if first == state && ffi::PyThreadState_Next(first).is_null() {
                    return;
                }
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the interpreter of a state; the thread is detached before and after.
fn end_state(state: *mut ffi::PyThreadState) {
    #[cfg(not(Py_3_14))]
    wait_for_threads(state);
    let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the state must be the one that was made with the interpreter, attached, on the thread that made it, with no
    // other thread inside: interrupts have ended (`Reach`), and the call waits for threads that tasks have started.
    unsafe {
        ffi::PyEval_RestoreThread(state);
        ffi::Py_EndInterpreter(state);
    }
}

/// Loads the guest and lets it take over what the pool says.
fn begin(recipe: &Recipe, attached: &Attached) -> Result<Guest, Failure> {
    let own = |returned| Owned::new(attached, returned).map_err(Failure::Told);
    // SAFETY: the thread must be attached, which `attached` says; arguments are live objects of this interpreter or C
    // strings. The path is borrowed from `sys`, which keeps it meanwhile. What the function returns is `bytes` or a tuple of
    // two callables, a number and two more objects, by its definition.
    unsafe {
        let path = ffi::PySys_GetObject(c"path".as_ptr());
        let folder = own(ffi::PyUnicode_DecodeFSDefault(recipe.folder.as_ptr()))?;
        if path.is_null() || ffi::PyList_Append(path, folder.0) < 0 {
            return Err(Failure::Told(told(attached)));
        }
        let module = own(ffi::PyImport_ImportModule(c"hypern._guest".as_ptr()))?;
        let setup = own(bytes(&recipe.setup))?;
        let begin = c"begin_in_interpreter".as_ptr();
        let plain = own(plain::functions())?;
        let begun = own(ffi::PyObject_CallMethod(module.0, begin, c"(OO)".as_ptr(), setup.0, plain.0))?;
        if ffi::PyBytes_Check(begun.0) != 0 {
            let payload = copy_bytes(begun.0);
            return Err(Failure::Raised(Frame { kind: Kind::Raised, function: 0, payload, buffers: Vec::new() }));
        }
        let thread = ffi::PyLong_AsLong(ffi::PyTuple_GetItem(begun.0, 2));
        let lent = LentType::new().ok_or_else(|| Failure::Told(told(attached)))?;
        let take = ffi::Py_NewRef(ffi::PyTuple_GetItem(begun.0, 0));
        let leave = ffi::Py_NewRef(ffi::PyTuple_GetItem(begun.0, 1));
        let object = ffi::Py_NewRef(ffi::PyTuple_GetItem(begun.0, 3));
        let stop = ffi::Py_NewRef(ffi::PyTuple_GetItem(begun.0, 4));
        Ok(Guest { take, leave, thread, object, stop, lent })
    }
}

impl Guest {
    /// Tells the guest something that has no reply.
    fn tell(&self, attached: &Attached, kind: Kind, number: u64, data: &[u8]) -> Result<(), String> {
        // SAFETY: the thread must be attached, which `attached` says.
        let nothing = Owned::new(attached, unsafe { ffi::PyList_New(0) })?;
        self.call(attached, kind, number, data, &nothing).map(drop)
    }

    /// Gives the guest a task and copies its reply.
    fn ask(&self, attached: &Attached, task: &Encoded, number: u64, back: &Arc<GivenBack>) -> Result<Frame, String> {
        // SAFETY: the thread must be attached, which `attached` says.
        let buffers = Owned::new(attached, unsafe { ffi::PyList_New(0) })?;
        for memory in &task.buffers {
            // SAFETY: the thread must be attached to the interpreter of the type, which is that of this guest.
            let lent = Owned::new(attached, unsafe { self.lent.lend(memory, back) })?;
            // SAFETY: both must be objects of this interpreter, the first one a list, which holds by the lines above.
            if unsafe { ffi::PyList_Append(buffers.0, lent.0) } < 0 {
                return Err(told(attached));
            }
        }
        let reply = self.call(attached, task.kind, number, &task.payload, &buffers)?;
        // SAFETY: the thread must be attached, which `attached` says.
        unsafe { copy_reply(reply.0) }.ok_or_else(|| told(attached))
    }

    /// Calls `take`.
    fn call<'a>(
        &self,
        attached: &'a Attached,
        kind: Kind,
        number: u64,
        data: &[u8],
        buffers: &Owned<'a>,
    ) -> Result<Owned<'a>, String> {
        // SAFETY: the thread must be attached, which `attached` says; the callable lives as long as the guest, and the
        // arguments until the call is over.
        unsafe {
            let kind = Owned::new(attached, ffi::PyLong_FromLong(c_long::from(kind as u8)))?;
            let number = Owned::new(attached, ffi::PyLong_FromUnsignedLongLong(number))?;
            let data = Owned::new(attached, bytes(data))?;
            let args = [kind.0, number.0, data.0, buffers.0];
            Owned::new(attached, ffi::PyObject_Vectorcall(self.take, args.as_ptr(), args.len(), ptr::null_mut()))
        }
    }

    /// Lets go of the interpreter, which ends next.
    fn part(&self, _: &Attached) {
        // SAFETY: the thread is attached to the interpreter of the guest; each reference is given up once, as `part` is
        // called once, by `Live::drop`. What `leave` raises is of no use to anybody.
        unsafe {
            ffi::Py_XDECREF(ffi::PyObject_CallNoArgs(self.leave));
            ffi::PyErr_Clear();
            ffi::Py_DECREF(self.leave);
            ffi::Py_DECREF(self.take);
            ffi::Py_DECREF(self.object);
            ffi::Py_DECREF(self.stop);
            self.lent.release();
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
    // SAFETY: the types must be as they are used: tuple, `bytes` and list are looked at, and the kind gives -1 where it is
    // no number; the parts live as long as the reply.
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
    // SAFETY: the thread must be attached, which the argument says; names of types are C strings that live as long as they.
    unsafe {
        let Some(exception) = ptr::NonNull::new(ffi::PyErr_GetRaisedException()) else {
            return "the guest answered something unasked".to_owned();
        };
        let exception = Owned(exception.as_ptr(), PhantomData::<&Attached>);
        let mut words = CStr::from_ptr((*ffi::Py_TYPE(exception.0)).tp_name).to_string_lossy().into_owned();
        let text = ffi::PyObject_Str(exception.0);
        if !text.is_null() {
            let text = Owned(text, PhantomData::<&Attached>);
            let mut length = 0;
            let start = ffi::PyUnicode_AsUTF8AndSize(text.0, &raw mut length);
            if !start.is_null() {
                let text = std::slice::from_raw_parts(start.cast::<u8>(), length.cast_unsigned());
                words = format!("{words}: {}", String::from_utf8_lossy(text));
            }
        }
        ffi::PyErr_Clear();
        words
    }
}
