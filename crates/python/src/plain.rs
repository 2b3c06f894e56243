//! Plain data of Python to bytes and back, the same in the main interpreter, in a worker's and in a worker's process.
//!
//! Written with the raw C API, because PyO3's objects and exceptions belong to the main interpreter. Not offered on
//! free-threaded builds, where other threads may change a container while it is read.
#![expect(unsafe_code, reason = "PyO3 cannot be used inside a subinterpreter")]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{CStr, CString, c_int};
use std::ptr;

use hypern_wire::plain::{Malformed, Reader, Token, Width, Writer};
use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;
use rustc_hash::FxBuildHasher;

use crate::watch;

/// Containers inside each other at most; what is nested deeper is pickle's, which can tell how deep is too deep.
pub(crate) const DEEPEST: usize = 100;
/// `bytes` and `bytearray` from this size on are pickle's, which leaves them where they lie. `LARGE` of `_pickled.py`.
const LARGE: usize = 64 * 1024;

/// What a function is made from.
struct Definition(ffi::PyMethodDef);

// SAFETY: a definition must not change while it is shared, and nobody writes to these.
unsafe impl Sync for Definition {}

impl Definition {
    const fn new(name: &'static CStr, function: ffi::PyCFunction, says: &'static CStr) -> Self {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
            ml_flags: ffi::METH_O,
            ml_doc: says.as_ptr(),
        })
    }
}

/// What `functions` makes, in its order.
static DEFINITIONS: [Definition; 7] = [
    Definition::new(
        c"encode",
        encode,
        c"Return plain data as bytes; None for anything else, and for what pickle does better.",
    ),
    Definition::new(
        c"decode",
        decode,
        c"Return the data that encode made bytes of; NotImplemented where they are a pickle.",
    ),
    Definition::new(
        c"decode_exactly",
        decode_exactly,
        c"Like decode; raise ValueError where a set would be iterated in another order than at the other end.",
    ),
    Definition::new(
        c"encode_exactly",
        encode_exactly,
        c"Like encode; raise ValueError for what is not the same as its copy: a NaN, which is found by identity alone.",
    ),
    Definition::new(
        c"watch",
        watch::watch,
        c"Take note of what the lists, dicts, sets and bytearrays inside plain data hold and of who refers to them.",
    ),
    Definition::new(
        c"look",
        watch::look,
        c"Return what has become of what is watched: '' nothing, 'changed', or 'kept' by somebody else.",
    ),
    Definition::new(
        c"watch_instances",
        watch::watch_instances,
        c"Like watch, given data and a dict of classes, with their slots, whose instances are watched too.",
    ),
];

/// Makes a tuple of functions of the current interpreter, see [`DEFINITIONS`]; null with an exception set where that fails.
///
/// # Safety
/// The thread must be attached.
pub(crate) unsafe fn functions() -> *mut PyObject {
    // SAFETY: the thread is attached by the caller's word; a definition lives for ever, and CPython does not write to it; the
    // tuple takes over what it is given, and is given up where it is not full.
    unsafe {
        let all = ffi::PyTuple_New(DEFINITIONS.len().cast_signed());
        for (index, definition) in DEFINITIONS.iter().enumerate() {
            let function =
                ffi::PyCFunction_NewEx((&raw const definition.0).cast_mut(), ptr::null_mut(), ptr::null_mut());
            if all.is_null() || function.is_null() {
                ffi::Py_XDECREF(function);
                ffi::Py_XDECREF(all);
                return ptr::null_mut();
            }
            ffi::PyTuple_SET_ITEM(all, index.cast_signed(), function);
        }
        all
    }
}

/// The functions for the main interpreter.
pub(crate) fn codec(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the thread must be attached, which `py` says; the reference is owned.
    unsafe { Bound::from_owned_ptr_or_err(py, functions()) }
}

unsafe extern "C" fn encode(_: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the interpreter calls this attached, with a live object.
    unsafe { encode_as(object, false) }
}

unsafe extern "C" fn encode_exactly(_: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the interpreter calls this attached, with a live object.
    unsafe { encode_as(object, true) }
}

/// # Safety
/// The thread must be attached and the object live.
unsafe fn encode_as(object: *mut PyObject, exactly: bool) -> *mut PyObject {
    let mut encoder = Encoder::new(exactly);
    // SAFETY: by the caller's word; the bytes are those of a slice.
    unsafe {
        match encoder.put(object, 0) {
            Ok(()) => {
                let bytes = encoder.writer.bytes();
                ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as Py_ssize_t)
            }
            Err(Refused) if encoder.met_nan => fail(Malformed("a NaN is not the same as its copy")),
            Err(Refused) => ffi::Py_NewRef(ffi::Py_None()),
        }
    }
}

unsafe extern "C" fn decode(_: *mut PyObject, data: *mut PyObject) -> *mut PyObject {
    // SAFETY: the interpreter calls this attached, with a live object.
    unsafe { decode_as(data, false) }
}

unsafe extern "C" fn decode_exactly(_: *mut PyObject, data: *mut PyObject) -> *mut PyObject {
    // SAFETY: the interpreter calls this attached, with a live object.
    unsafe { decode_as(data, true) }
}

/// # Safety
/// The thread must be attached and the object live.
unsafe fn decode_as(data: *mut PyObject, exactly: bool) -> *mut PyObject {
    let mut view = ffi::Py_buffer::new();
    // SAFETY: by the caller's word. The view is filled before it is read and released once. Its memory stays as it is
    // meanwhile: it is a payload, which nobody but the caller knows.
    unsafe {
        if ffi::PyObject_GetBuffer(data, &raw mut view, ffi::PyBUF_SIMPLE) < 0 {
            return ptr::null_mut();
        }
        let bytes = match view.len {
            0 => &[],
            length => std::slice::from_raw_parts(view.buf.cast::<u8>(), length.cast_unsigned()),
        };
        let decoded = match Reader::new(bytes) {
            Ok(reader) => Decoder { reader, exactly, remembered: Vec::new() }.whole(),
            Err(_) => ffi::Py_NewRef(ffi::Py_NotImplemented()),
        };
        ffi::PyBuffer_Release(&raw mut view);
        decoded
    }
}

/// It is not plain data, or pickle does it better.
struct Refused;

/// Writes one object.
struct Encoder {
    writer: Writer,
    /// Whether a NaN is refused, and whether one was.
    exactly: bool,
    met_nan: bool,
    /// The objects that may be met again, by their address, with their numbers. Owned references: an address must not become
    /// that of another object meanwhile.
    numbers: HashMap<usize, usize, FxBuildHasher>,
    /// Tuples and frozen sets that are being written, and are among `numbers`.
    open: Vec<*mut PyObject>,
}

impl Drop for Encoder {
    fn drop(&mut self) {
        for &address in self.numbers.keys() {
            // SAFETY: the reference was taken by `begin`; the encoder lives inside of one call, attached.
            unsafe { ffi::Py_DECREF(address as *mut PyObject) };
        }
    }
}

impl Encoder {
    fn new(exactly: bool) -> Self {
        Self { writer: Writer::default(), exactly, met_nan: false, numbers: HashMap::default(), open: Vec::new() }
    }
}

/// What to do with an object that is met.
enum Met {
    /// Write it, remembered where it may be met again.
    First(bool),
    /// It is written already.
    Again,
}

impl Encoder {
    /// Writes an object of any type.
    ///
    /// # Safety
    /// The thread must be attached and the object live until this returns.
    #[inline]
    unsafe fn put(&mut self, object: *mut PyObject, depth: usize) -> Result<(), Refused> {
        // SAFETY: the object is live by the caller's word, and each function is given the type that it is for.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyUnicode_Type {
                self.put_text(object)
            } else if kind == &raw mut ffi::PyLong_Type {
                self.put_int(object)
            } else if kind == &raw mut ffi::PyFloat_Type {
                let value = ffi::PyFloat_AS_DOUBLE(object);
                self.put_float(object, Token::Float(value), value.is_nan(), depth)
            } else if object == ffi::Py_None() {
                self.writer.put(Token::None, false);
                Ok(())
            } else if kind == &raw mut ffi::PyBool_Type {
                self.writer.put(Token::Bool(object == ffi::Py_True()), false);
                Ok(())
            } else {
                self.put_larger(object, kind, depth)
            }
        }
    }

    /// Writes an object of a type that is not among the commonest.
    ///
    /// # Safety
    /// As `put`; `kind` is the type of the object.
    unsafe fn put_larger(
        &mut self,
        object: *mut PyObject,
        kind: *mut ffi::PyTypeObject,
        depth: usize,
    ) -> Result<(), Refused> {
        if depth > DEEPEST {
            return Err(Refused);
        }
        let larger = if kind == &raw mut ffi::PyDict_Type {
            Self::put_dict
        } else if kind == &raw mut ffi::PyList_Type {
            Self::put_list
        } else if kind == &raw mut ffi::PyTuple_Type {
            Self::put_tuple
        } else if kind == &raw mut ffi::PyBytes_Type {
            Self::put_bytes
        } else if kind == &raw mut ffi::PyByteArray_Type {
            Self::put_bytearray
        } else if kind == &raw mut ffi::PySet_Type || kind == &raw mut ffi::PyFrozenSet_Type {
            Self::put_set
        } else if kind == &raw mut ffi::PyComplex_Type {
            // SAFETY: the object is a complex number and live by the caller's word.
            let (real, imaginary) =
                unsafe { (ffi::PyComplex_RealAsDouble(object), ffi::PyComplex_ImagAsDouble(object)) };
            let nan = real.is_nan() || imaginary.is_nan();
            // SAFETY: as above.
            return unsafe { self.put_float(object, Token::Complex(real, imaginary), nan, depth) };
        } else {
            return Err(Refused);
        };
        // SAFETY: by the caller's word; the type is the one that the function is for.
        match unsafe { self.meet(object) }? {
            Met::Again => Ok(()),
            // SAFETY: as above. What is referred to by one container alone is kept by another reference while it is read.
            Met::First(remembered) => unsafe {
                ffi::Py_INCREF(object);
                let written = larger(self, object, remembered, depth + 1);
                ffi::Py_DECREF(object);
                written
            },
        }
    }

    /// Writes a number, refused where it is a NaN that may be met again: as two it would not be found by its identity.
    ///
    /// # Safety
    /// As `put`.
    #[inline]
    unsafe fn put_float(
        &mut self,
        object: *mut PyObject,
        token: Token<'_>,
        nan: bool,
        depth: usize,
    ) -> Result<(), Refused> {
        self.met_nan |= nan && self.exactly;
        // SAFETY: the object is live by the caller's word.
        if self.met_nan || (nan && depth > 0 && unsafe { ffi::Py_REFCNT(object) } > 1) {
            return Err(Refused);
        }
        self.writer.put(token, false);
        Ok(())
    }

    /// Looks whether an object was written already. One that is referred to once only cannot be met again.
    ///
    /// # Safety
    /// As `put`.
    #[inline]
    unsafe fn meet(&mut self, object: *mut PyObject) -> Result<Met, Refused> {
        // SAFETY: the object is live by the caller's word.
        if unsafe { ffi::Py_REFCNT(object) } == 1 {
            return Ok(Met::First(false));
        }
        let number = self.numbers.len();
        match self.numbers.entry(object as usize) {
            Entry::Occupied(known) => {
                if self.open.contains(&object) {
                    // It contains itself, and cannot be made before what is in it.
                    return Err(Refused);
                }
                self.writer.put(Token::Again(*known.get()), false);
                Ok(Met::Again)
            }
            Entry::Vacant(place) => {
                // SAFETY: the object is live by the caller's word.
                unsafe { ffi::Py_INCREF(object) };
                place.insert(number);
                Ok(Met::First(true))
            }
        }
    }

    /// # Safety
    /// As `put`; the object is a `str`.
    #[inline]
    unsafe fn put_text(&mut self, text: *mut PyObject) -> Result<(), Refused> {
        // SAFETY: the text is live and does not change. Where it is not in its final form, which is so before 3.12 only, that
        // is made first. `length * width` is the size of its memory.
        unsafe {
            #[cfg(not(Py_3_12))]
            if ffi::PyUnicode_READY(text) < 0 {
                ffi::PyErr_Clear();
                return Err(Refused);
            }
            let length = ffi::PyUnicode_GET_LENGTH(text).cast_unsigned();
            let (width, size) = match ffi::PyUnicode_KIND(text) {
                ffi::PyUnicode_1BYTE_KIND => (Width::One, length),
                ffi::PyUnicode_2BYTE_KIND => (Width::Two, length * 2),
                _ => (Width::Four, length * 4),
            };
            let remembered = match size {
                // There is one object of each anyway.
                0 | 1 => false,
                _ => match self.meet(text)? {
                    Met::First(remembered) => remembered,
                    Met::Again => return Ok(()),
                },
            };
            let data = std::slice::from_raw_parts(ffi::PyUnicode_DATA(text).cast::<u8>(), size);
            self.writer.put(Token::Text(width, data), remembered);
        }
        Ok(())
    }

    /// # Safety
    /// As `put`; the object is an `int`.
    #[inline]
    unsafe fn put_int(&mut self, int: *mut PyObject) -> Result<(), Refused> {
        let mut overflow: c_int = 0;
        // SAFETY: the object is a live int; the text is owned by this block, and its bytes live as long as it.
        unsafe {
            let value = ffi::PyLong_AsLongLongAndOverflow(int, &raw mut overflow);
            if overflow == 0 {
                self.writer.put(Token::Int(value), false);
                return Ok(());
            }
            let digits = ffi::PyNumber_ToBase(int, 16);
            if digits.is_null() {
                ffi::PyErr_Clear();
                return Err(Refused);
            }
            let length = ffi::PyUnicode_GET_LENGTH(digits).cast_unsigned();
            let data = std::slice::from_raw_parts(ffi::PyUnicode_DATA(digits).cast::<u8>(), length);
            self.writer.put(Token::Big(data), false);
            ffi::Py_DECREF(digits);
        }
        Ok(())
    }

    /// # Safety
    /// As `put`; the object is `bytes`.
    unsafe fn put_bytes(&mut self, bytes: *mut PyObject, remembered: bool, _: usize) -> Result<(), Refused> {
        // SAFETY: the object is live and does not change.
        let data = unsafe {
            let size = ffi::PyBytes_Size(bytes).cast_unsigned();
            std::slice::from_raw_parts(ffi::PyBytes_AS_STRING(bytes).cast::<u8>(), size)
        };
        self.put_run(Token::Bytes, data, remembered)
    }

    /// Writes bytes that are small enough to be copied.
    fn put_run<'d>(
        &mut self,
        token: fn(&'d [u8]) -> Token<'d>,
        data: &'d [u8],
        remembered: bool,
    ) -> Result<(), Refused> {
        if data.len() >= LARGE {
            return Err(Refused);
        }
        self.writer.put(token(data), remembered);
        Ok(())
    }

    /// # Safety
    /// As `put`; the object is a `bytearray`.
    unsafe fn put_bytearray(&mut self, bytes: *mut PyObject, remembered: bool, _: usize) -> Result<(), Refused> {
        // SAFETY: the object is live, and nobody changes it before the bytes are copied: this thread holds the GIL and calls
        // nothing meanwhile.
        let data = unsafe {
            let size = ffi::PyByteArray_Size(bytes).cast_unsigned();
            std::slice::from_raw_parts(ffi::PyByteArray_AsString(bytes).cast::<u8>(), size)
        };
        self.put_run(Token::Bytearray, data, remembered)
    }

    /// # Safety
    /// As `put`; the object is a `list`.
    unsafe fn put_list(&mut self, list: *mut PyObject, remembered: bool, depth: usize) -> Result<(), Refused> {
        // SAFETY: the list is live. The collector may run code that changes it, while an item is written that is a container
        // itself: that one is kept by `put_larger`, and the next is read only where the list has one by its size then.
        // `put_items` calls nothing that could.
        unsafe {
            let count = ffi::PyList_GET_SIZE(list);
            if count > 1 {
                let first = ffi::Py_TYPE(ffi::PyList_GET_ITEM(list, 0));
                let exactly = self.exactly;
                let number = |index: usize| {
                    let item = ffi::PyList_GET_ITEM(list, index.cast_signed());
                    number_bytes(item, first, exactly)
                };
                let ints = first == &raw mut ffi::PyLong_Type;
                if (ints || first == &raw mut ffi::PyFloat_Type)
                    && self.writer.put_items(ints, count.cast_unsigned(), remembered, number)
                {
                    return Ok(());
                }
            }
            self.writer.put(Token::List(count.cast_unsigned()), remembered);
            for index in 0..count {
                if index >= ffi::PyList_GET_SIZE(list) {
                    return Err(Refused);
                }
                self.put(ffi::PyList_GET_ITEM(list, index), depth)?;
            }
            if count == ffi::PyList_GET_SIZE(list) { Ok(()) } else { Err(Refused) }
        }
    }

    /// # Safety
    /// As `put`; the object is a `tuple`.
    unsafe fn put_tuple(&mut self, tuple: *mut PyObject, remembered: bool, depth: usize) -> Result<(), Refused> {
        if remembered {
            self.open.push(tuple);
        }
        // SAFETY: the tuple is live, and keeps its items.
        unsafe {
            let count = ffi::PyTuple_GET_SIZE(tuple);
            self.writer.put(Token::Tuple(count.cast_unsigned()), remembered);
            for index in 0..count {
                self.put(ffi::PyTuple_GET_ITEM(tuple, index), depth)?;
            }
        }
        if remembered {
            self.open.pop();
        }
        Ok(())
    }

    /// # Safety
    /// As `put`; the object is a `dict`.
    unsafe fn put_dict(&mut self, dict: *mut PyObject, remembered: bool, depth: usize) -> Result<(), Refused> {
        let (mut place, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: the dict is live, and key and value are live when they are found; the value is kept while a key is
        // written that may be a container. `PyDict_Next` bears that the dict changes; such a dict is looked at no further
        // where that shows in its size.
        unsafe {
            let count = ffi::PyDict_Size(dict);
            self.writer.put(Token::Dict(count.cast_unsigned()), remembered);
            let mut found = 0;
            while ffi::PyDict_Next(dict, &raw mut place, &raw mut key, &raw mut value) != 0 {
                found += 1;
                if ffi::Py_TYPE(key) == &raw mut ffi::PyUnicode_Type {
                    self.put_text(key)?;
                    self.put(value, depth)?;
                } else {
                    ffi::Py_INCREF(value);
                    let written = self.put(key, depth).and_then(|()| self.put(value, depth));
                    ffi::Py_DECREF(value);
                    written?;
                }
                if ffi::PyDict_Size(dict) != count {
                    return Err(Refused);
                }
            }
            if found == count { Ok(()) } else { Err(Refused) }
        }
    }

    /// # Safety
    /// As `put`; the object is a `set` or a `frozenset`.
    unsafe fn put_set(&mut self, set: *mut PyObject, remembered: bool, depth: usize) -> Result<(), Refused> {
        // SAFETY: the set is live, and its items while they are visited.
        unsafe {
            if !is_untouched(set) {
                return Err(Refused);
            }
            let count = ffi::PySet_Size(set);
            let frozen = ffi::Py_TYPE(set) == &raw mut ffi::PyFrozenSet_Type;
            let token = if frozen { Token::FrozenSet } else { Token::Set };
            if remembered && frozen {
                self.open.push(set);
            }
            self.writer.put(token(count.cast_unsigned()), remembered);
            let mut found = 0;
            let written = each_item(set, |_, item| {
                found += 1;
                self.put(item, depth).is_ok()
            });
            if remembered && frozen {
                self.open.pop();
            }
            if written && found == count { Ok(()) } else { Err(Refused) }
        }
    }
}

/// Tells whether nothing was taken out of a set. Where something was, others fill its place or not, and what `pop` gives next
/// depends on what it gave before, which its copy cannot know.
///
/// # Safety
/// The thread must be attached and the object a live `set` or `frozenset`.
unsafe fn is_untouched(set: *mut PyObject) -> bool {
    // SAFETY: by the caller's word.
    let set = unsafe { &*set.cast::<ffi::PySetObject>() };
    set.fill == set.used && set.finger == 0
}

/// The 8 bytes of a float, or of an int of at most 64 bits; `None` where the object is of another type, or a NaN where none
/// is wanted, or one that may be met again.
///
/// # Safety
/// The thread must be attached and the object live.
#[inline]
unsafe fn number_bytes(object: *mut PyObject, kind: *mut ffi::PyTypeObject, no_nan: bool) -> Option<[u8; 8]> {
    // SAFETY: by the caller's word; the functions are those of the type.
    unsafe {
        if ffi::Py_TYPE(object) != kind {
            return None;
        }
        if kind == &raw mut ffi::PyFloat_Type {
            let value = ffi::PyFloat_AS_DOUBLE(object);
            let refused = value.is_nan() && (no_nan || ffi::Py_REFCNT(object) > 1);
            return (!refused).then(|| value.to_le_bytes());
        }
        let mut overflow: c_int = 0;
        let value = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
        (overflow == 0).then_some(value.to_le_bytes())
    }
}

/// Reads one object. Functions that return objects return owned references, or null with an exception set.
struct Decoder<'a> {
    reader: Reader<'a>,
    /// Whether a set must come out in the order in which it was written.
    exactly: bool,
    /// The objects that are referred to again, by their numbers: owned references, null while one is made.
    remembered: Vec<*mut PyObject>,
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        for &object in &self.remembered {
            // SAFETY: the reference was taken by `remember`; the decoder lives inside of one call, attached.
            unsafe { ffi::Py_XDECREF(object) };
        }
    }
}

impl<'a> Decoder<'a> {
    /// Reads all there is.
    ///
    /// # Safety
    /// The thread must be attached, for this and all other functions.
    unsafe fn whole(mut self) -> *mut PyObject {
        // SAFETY: by the caller's word; what is not returned is given up.
        unsafe {
            let object = self.get(0);
            if !object.is_null()
                && let Err(reason) = self.reader.finish()
            {
                ffi::Py_DECREF(object);
                return fail(reason);
            }
            object
        }
    }

    unsafe fn get(&mut self, depth: usize) -> *mut PyObject {
        let (token, remembered) = match self.reader.read() {
            Ok(read) => read,
            // SAFETY: by the caller's word.
            Err(reason) => return unsafe { fail(reason) },
        };
        // SAFETY: by the caller's word; sizes are those of slices.
        unsafe {
            let object = match token {
                Token::None => ffi::Py_NewRef(ffi::Py_None()),
                Token::Bool(value) => ffi::PyBool_FromLong(value.into()),
                Token::Int(value) => ffi::PyLong_FromLongLong(value),
                Token::Float(value) => ffi::PyFloat_FromDouble(value),
                Token::Complex(real, imaginary) => ffi::PyComplex_FromDoubles(real, imaginary),
                Token::Text(width, data) => text(width, data),
                Token::Bytes(data) => ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), size(data)),
                Token::Bytearray(data) => ffi::PyByteArray_FromStringAndSize(data.as_ptr().cast(), size(data)),
                Token::Floats(items) => numbers(items, |item| ffi::PyFloat_FromDouble(f64::from_le_bytes(item))),
                Token::Ints(items) => numbers(items, |item| ffi::PyLong_FromLongLong(i64::from_le_bytes(item))),
                Token::Big(digits) => big(digits),
                Token::Again(number) => match self.remembered.get(number) {
                    Some(object) if !object.is_null() => return ffi::Py_NewRef(*object),
                    _ => return fail(Malformed("a number stands for no object")),
                },
                Token::Tuple(_) | Token::List(_) | Token::Dict(_) | Token::Set(_) | Token::FrozenSet(_) => {
                    return self.get_container(token, remembered, depth);
                }
            };
            if remembered && !object.is_null() {
                self.remembered.push(ffi::Py_NewRef(object));
            }
            object
        }
    }

    unsafe fn get_container(&mut self, token: Token<'a>, remembered: bool, depth: usize) -> *mut PyObject {
        // SAFETY: by the caller's word. A container that fails is given up, with what is in it.
        unsafe {
            if depth > DEEPEST {
                return fail(Malformed("it is nested too deep"));
            }
            let container = match token {
                Token::List(count) => ffi::PyList_New(count.cast_signed()),
                Token::Tuple(count) => ffi::PyTuple_New(count.cast_signed()),
                Token::Dict(_) => ffi::PyDict_New(),
                Token::Set(_) => ffi::PySet_New(ptr::null_mut()),
                _ => ffi::PyFrozenSet_New(ptr::null_mut()),
            };
            if container.is_null() {
                return ptr::null_mut();
            }
            // A tuple or frozen set can be referred to when it is complete only, but has its number already.
            let complete_first = matches!(token, Token::Tuple(_) | Token::FrozenSet(_));
            let number = self.remembered.len();
            if remembered {
                self.remembered.push(if complete_first { ptr::null_mut() } else { ffi::Py_NewRef(container) });
            }
            let filled = match token {
                Token::List(count) => self.fill(count, depth, |index, item| {
                    ffi::PyList_SET_ITEM(container, index.cast_signed(), item);
                    true
                }),
                Token::Tuple(count) => self.fill(count, depth, |index, item| {
                    ffi::PyTuple_SET_ITEM(container, index.cast_signed(), item);
                    true
                }),
                Token::Dict(count) => self.fill_dict(container, count, depth),
                Token::Set(count) | Token::FrozenSet(count) => self.fill_set(container, count, depth),
                _ => false,
            };
            if !filled {
                ffi::Py_DECREF(container);
                return ptr::null_mut();
            }
            if remembered && complete_first {
                self.remembered[number] = ffi::Py_NewRef(container);
            }
            container
        }
    }

    /// Gives `count` objects to `place`, which takes each over and tells whether it could.
    #[inline]
    unsafe fn fill(&mut self, count: usize, depth: usize, mut place: impl FnMut(usize, *mut PyObject) -> bool) -> bool {
        (0..count).all(|index| {
            // SAFETY: by the caller's word.
            let item = unsafe { self.get(depth + 1) };
            !item.is_null() && place(index, item)
        })
    }

    unsafe fn fill_set(&mut self, set: *mut PyObject, count: usize, depth: usize) -> bool {
        let exactly = self.exactly;
        let mut order = Vec::new();
        // SAFETY: by the caller's word; the set takes references of its own, and keeps what is in `order`.
        unsafe {
            let filled = self.fill(count, depth, |_, item| {
                if exactly {
                    order.push(item);
                }
                let added = ffi::PySet_Add(set, item);
                ffi::Py_DECREF(item);
                added == 0
            });
            if filled && exactly && !each_item(set, |index, item| order.get(index) == Some(&item)) {
                fail(Malformed("a set would be iterated in another order"));
                return false;
            }
            filled
        }
    }

    unsafe fn fill_dict(&mut self, dict: *mut PyObject, count: usize, depth: usize) -> bool {
        (0..count).all(|_| {
            // SAFETY: by the caller's word; the dict takes references of its own.
            unsafe {
                let key = self.get(depth + 1);
                if key.is_null() {
                    return false;
                }
                let value = self.get(depth + 1);
                let placed = !value.is_null() && ffi::PyDict_SetItem(dict, key, value) == 0;
                ffi::Py_DECREF(key);
                ffi::Py_XDECREF(value);
                placed
            }
        })
    }
}

/// Gives each item of a set with its place to `check`; tells whether that said yes to all.
///
/// # Safety
/// The thread must be attached, and the object a live set or frozen set.
pub(crate) unsafe fn each_item(set: *mut PyObject, mut check: impl FnMut(usize, *mut PyObject) -> bool) -> bool {
    // SAFETY: by the caller's word; the iterator and what it gives are owned by this block.
    unsafe {
        let iterator = ffi::PyObject_GetIter(set);
        let mut passed = !iterator.is_null();
        let mut index = 0;
        while passed {
            let item = ffi::PyIter_Next(iterator);
            if item.is_null() {
                break;
            }
            passed = check(index, item);
            index += 1;
            ffi::Py_DECREF(item);
        }
        ffi::Py_XDECREF(iterator);
        // There was no memory, or the set has changed meanwhile.
        let failed = !ffi::PyErr_Occurred().is_null();
        ffi::PyErr_Clear();
        passed && !failed
    }
}

fn size(data: &[u8]) -> Py_ssize_t {
    data.len().cast_signed()
}

/// # Safety
/// The thread must be attached.
unsafe fn text(width: Width, data: &[u8]) -> *mut PyObject {
    let units = size(data) / (width as isize);
    let make = |start: *const u8| {
        // SAFETY: the thread is attached by the caller's word, and the memory holds so many code points, aligned as they must
        // be. CPython looks for the largest of them and refuses one that is none.
        unsafe { ffi::PyUnicode_FromKindAndData(width as c_int, start.cast(), units) }
    };
    match width {
        Width::One => make(data.as_ptr()),
        Width::Two => make(aligned(data, u16::from_ne_bytes).as_ptr().cast()),
        Width::Four => make(aligned(data, u32::from_ne_bytes).as_ptr().cast()),
    }
}

fn aligned<const N: usize, T>(data: &[u8], unit: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|bytes| unit(*bytes)).collect()
}

/// # Safety
/// The thread must be attached.
unsafe fn big(digits: &[u8]) -> *mut PyObject {
    // SAFETY: the thread is attached by the caller's word; the text ends with a null character.
    unsafe {
        match CString::new(digits) {
            Ok(digits) => ffi::PyLong_FromString(digits.as_ptr(), ptr::null_mut(), 16),
            Err(_) => fail(Malformed("a number holds a null character")),
        }
    }
}

/// Makes a list of numbers.
///
/// # Safety
/// The thread must be attached, and `make` return an owned reference or null with an exception set.
#[inline]
unsafe fn numbers(items: &[[u8; 8]], make: impl Fn([u8; 8]) -> *mut PyObject) -> *mut PyObject {
    // SAFETY: by the caller's word; a list that fails is given up, with the places that are still empty.
    unsafe {
        let list = ffi::PyList_New(items.len().cast_signed());
        if list.is_null() {
            return list;
        }
        for (index, item) in items.iter().enumerate() {
            let number = make(*item);
            if number.is_null() {
                ffi::Py_DECREF(list);
                return number;
            }
            ffi::PyList_SET_ITEM(list, index.cast_signed(), number);
        }
        list
    }
}

/// Sets ValueError and returns null.
///
/// # Safety
/// The thread must be attached.
unsafe fn fail(reason: Malformed) -> *mut PyObject {
    if let Ok(message) = CString::new(format!("these bytes are no plain data: {reason}")) {
        // SAFETY: the thread is attached by the caller's word.
        unsafe { ffi::PyErr_SetString(ffi::PyExc_ValueError, message.as_ptr()) };
    }
    ptr::null_mut()
}
