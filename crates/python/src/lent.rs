//! Memory of the main interpreter as an object of a subinterpreter: shown where it lies, and held until nobody looks.
#![expect(unsafe_code, reason = "an object type of a subinterpreter is made and filled by hand")]

use std::ffi::{c_int, c_uint, c_void};
use std::mem::size_of;
use std::ptr;
use std::sync::Arc;

use pyo3::ffi;

use crate::buffer::{GivenBack, Held};

/// The type of the objects, made once in each interpreter. An owned reference.
#[derive(Debug)]
pub(crate) struct LentType(*mut ffi::PyObject);

/// One object.
#[repr(C)]
struct Object {
    base: ffi::PyObject,
    /// Written when the object is made, read out by `dealloc`.
    lent: Lent,
}

struct Lent {
    memory: Arc<Held>,
    given_back: Arc<GivenBack>,
}

impl LentType {
    /// Makes the type in the current interpreter; `None` with an exception set where that fails.
    ///
    /// # Safety
    /// The thread must be attached to the interpreter that the type is for.
    pub(crate) unsafe fn new() -> Option<Self> {
        let mut slots = [
            ffi::PyType_Slot { slot: ffi::Py_bf_getbuffer, pfunc: get_buffer as *mut c_void },
            ffi::PyType_Slot { slot: ffi::Py_tp_dealloc, pfunc: dealloc as *mut c_void },
            ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() },
        ];
        let mut spec = ffi::PyType_Spec {
            name: c"hypern.Lent".as_ptr(),
            basicsize: size_of::<Object>() as c_int,
            itemsize: 0,
            flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION) as c_uint,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the caller is attached, and the spec is complete; the interpreter copies what it keeps of it.
        let made = unsafe { ffi::PyType_FromSpec(&raw mut spec) };
        (!made.is_null()).then_some(Self(made))
    }

    /// Makes an object that shows `memory`; null with an exception set where that fails.
    ///
    /// # Safety
    /// The thread must be attached to the interpreter of the type.
    pub(crate) unsafe fn lend(&self, memory: &Arc<Held>, given_back: &Arc<GivenBack>) -> *mut ffi::PyObject {
        // SAFETY: the type is a type of this interpreter by the caller's word.
        let object = unsafe { ffi::PyType_GenericAlloc(self.0.cast(), 0) }.cast::<Object>();
        if !object.is_null() {
            let lent = Lent { memory: Arc::clone(memory), given_back: Arc::clone(given_back) };
            // SAFETY: the object was allocated with the size of `Object` and nobody else knows it yet; the place is not
            // initialised, so it is written and not assigned.
            unsafe { (&raw mut (*object).lent).write(lent) };
        }
        object.cast()
    }

    /// Lets go of the type.
    ///
    /// # Safety
    /// The thread must be attached to the interpreter of the type, and the type not be used any more.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: an owned reference must be given up once, which holds by the caller's word.
        unsafe { ffi::Py_DECREF(self.0) };
    }
}

/// Fills a view of the memory, which the view holds by its reference to the object.
unsafe extern "C" fn get_buffer(object: *mut ffi::PyObject, view: *mut ffi::Py_buffer, flags: c_int) -> c_int {
    // SAFETY: the interpreter calls this with an object of the type, whose `lent` was written when it was made.
    let lent = unsafe { &(*object.cast::<Object>()).lent };
    let memory = &lent.memory;
    let (start, length) = memory.range();
    // SAFETY: the view is the interpreter's to fill, and the memory outlives it: the view refers to the object.
    unsafe { ffi::PyBuffer_FillInfo(view, object, start, length, c_int::from(memory.is_readonly()), flags) }
}

/// Sends the memory home if nobody else holds it, and frees the object.
unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this once, at the end of an object of the type; what is read out is not used there again.
    let Lent { memory, given_back } = unsafe { (&raw const (*object.cast::<Object>()).lent).read() };
    // Not dropped here: that would release the buffer of an object of the main interpreter in this one.
    if let Some(memory) = Arc::into_inner(memory) {
        given_back.put(memory);
    }
    // SAFETY: `PyType_GenericAlloc` took the memory of an object without garbage collection from this allocator, and a
    // reference to the heap type, which is read before the object is freed.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}
