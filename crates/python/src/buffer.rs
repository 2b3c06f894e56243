//! Bytes that cross between Python and the wire without being copied on the way.
#![expect(unsafe_code, reason = "the buffer protocol is made of raw pointers")]

use std::ffi::{c_int, c_void};
use std::ptr;

use hypern_pool::Mailbox;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyOverflowError};
use pyo3::ffi;
use pyo3::prelude::*;

/// Bytes that came from a worker, as an object with the buffer protocol (writable, one dimension).
#[pyclass(module = "hypern._core", frozen)]
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: std::cell::UnsafeCell<Vec<u8>>,
}

// SAFETY: shared access must not race in Rust, which holds because no Rust code reads or writes the bytes after `new`;
// what Python does through the buffer protocol is Python's to order, as with bytearray.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: std::cell::UnsafeCell::new(bytes) }
    }
}

#[pymethods]
impl Buffer {
    fn __len__(&self) -> usize {
        // SAFETY: no `&mut` may exist, which holds because none is ever made.
        unsafe { &*self.bytes.get() }.len()
    }

    /// Exports the bytes.
    ///
    /// # Safety
    /// `view` must be a valid `Py_buffer` to fill, as the interpreter guarantees for this slot.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill"));
        }
        let bytes = slf.get().bytes.get();
        // SAFETY: the vector must not be referenced elsewhere mutably, which holds because only its pointer and length
        // are read, and it never grows after `new`.
        let (start, length) = unsafe { ((*bytes).as_mut_ptr(), (*bytes).len()) };
        let length = ffi::Py_ssize_t::try_from(length)
            .map_err(|_| PyOverflowError::new_err("the buffer is larger than an object can be"))?;
        // SAFETY: `view` must be valid and the memory outlive it, which holds by this function's contract and because
        // the view keeps a reference to `slf`, which owns the memory.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast::<c_void>(), length, 0, flags) };
        if filled < 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

/// Memory that nobody in a subinterpreter looks at any more: to be dropped by a thread of the main interpreter.
pub(crate) type GivenBack = Mailbox<Held>;

/// The memory of an object that a task refers to, held until the task has been sent, or nobody in a subinterpreter looks
/// at it any more.
#[derive(Debug)]
pub(crate) struct Held(PyBuffer<u8>);

impl Held {
    /// Takes hold of the memory of `object`, which must be contiguous bytes (`pickle.PickleBuffer.raw()` is).
    pub(crate) fn get(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the memory is not contiguous"));
        }
        Ok(Self(buffer))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len_bytes()
    }

    /// Where the bytes lie and how many they are.
    #[cfg(own_gil)]
    pub(crate) fn range(&self) -> (*mut c_void, ffi::Py_ssize_t) {
        (self.0.buf_ptr(), self.len() as ffi::Py_ssize_t)
    }

    #[cfg(own_gil)]
    pub(crate) fn is_readonly(&self) -> bool {
        self.0.readonly()
    }

    /// The bytes, to be handed to the operating system and not looked at: their owner may write to them meanwhile.
    pub(crate) fn as_system_bytes(&self) -> &[u8] {
        let start = self.0.buf_ptr().cast::<u8>().cast_const();
        if start.is_null() || self.len() == 0 {
            return &[];
        }
        // SAFETY: the range must be readable and live for the slice, which holds because the exporter keeps it in place
        // until `self.0` is released, which outlives `&self`. It must not be written to while the slice is used: only
        // the kernel reads it, and what it copies of bytes that another thread is writing is whatever is there, as
        // with any system call on a shared bytearray; no Rust code reads the bytes.
        unsafe { std::slice::from_raw_parts(ptr::NonNull::new_unchecked(start.cast_mut()).as_ptr(), self.len()) }
    }
}
