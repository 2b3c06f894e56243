//! Whether a call has changed its mutable arguments, or kept them: what they held and who referred to them, before and after.
//! Instances of the program's classes are among them, whose types are told.
//!
//! Written with the raw C API, like `plain.rs`, for the same places.
#![expect(unsafe_code, reason = "PyO3 cannot be used inside a subinterpreter")]

use std::collections::HashMap;
use std::ptr;

use pyo3::ffi::{self, Py_ssize_t, PyObject};
use rustc_hash::FxBuildHasher;

use crate::plain::{DEEPEST, each_item};

/// `watch(data)`: None where there is nothing to watch, or a list of three objects for each mutable container inside `data`,
/// and for each tuple that holds one: the container, a copy of what it holds, and the number of references to it. The outermost container is not watched: it is
/// hypern's own.
pub(crate) unsafe extern "C" fn watch(_: *mut PyObject, data: *mut PyObject) -> *mut PyObject {
    // SAFETY: the interpreter calls this attached, with a live object.
    unsafe { watch_of(data, ptr::null_mut()) }
}

/// `watch_instances((data, kinds))`: like `watch`; `kinds` is a dict of the classes whose instances are watched too, each
/// with a tuple of its descriptors of slots. Raises ValueError where an instance with fields is a key.
pub(crate) unsafe extern "C" fn watch_instances(_: *mut PyObject, both: *mut PyObject) -> *mut PyObject {
    // SAFETY: the interpreter calls this attached, with a live object; the type and the size of the tuple are looked at before
    // its items, and the tuple keeps these.
    unsafe {
        if ffi::PyTuple_Check(both) == 0
            || ffi::PyTuple_GET_SIZE(both) != 2
            || ffi::PyDict_Check(ffi::PyTuple_GET_ITEM(both, 1)) == 0
        {
            ffi::PyErr_SetString(ffi::PyExc_TypeError, c"data and a dict of classes are expected".as_ptr());
            return ptr::null_mut();
        }
        watch_of(ffi::PyTuple_GET_ITEM(both, 0), ffi::PyTuple_GET_ITEM(both, 1))
    }
}

/// # Safety
/// The thread must be attached and the data live; `kinds` is null or a live dict.
unsafe fn watch_of(data: *mut PyObject, kinds: *mut PyObject) -> *mut PyObject {
    // SAFETY: by the caller's word; what is made here is given up where it is not returned.
    unsafe {
        let list = ffi::PyList_New(0);
        if list.is_null() {
            return list;
        }
        let mut walk = Walk { list, kinds, seen: HashMap::default() };
        if walk.inside(data, 0).is_err() {
            ffi::Py_DECREF(list);
            return ptr::null_mut();
        }
        let size = ffi::PyList_GET_SIZE(list);
        if size == 0 {
            ffi::Py_DECREF(list);
            return ffi::Py_NewRef(ffi::Py_None());
        }
        // Counted when all copies are made, which refer to containers too.
        for index in (0..size).step_by(3) {
            let count = ffi::PyLong_FromSsize_t(ffi::Py_REFCNT(ffi::PyList_GET_ITEM(list, index)));
            if count.is_null() || ffi::PyList_SetItem(list, index + 2, count) < 0 {
                ffi::Py_DECREF(list);
                return ptr::null_mut();
            }
        }
        list
    }
}

/// `look(watched)`: what has become of it.
pub(crate) unsafe extern "C" fn look(_: *mut PyObject, watched: *mut PyObject) -> *mut PyObject {
    // SAFETY: the interpreter calls this attached; the list is one that `watch` made and nobody else knows.
    unsafe {
        let mut word = c"";
        if ffi::PyList_Check(watched) != 0 {
            for index in (0..ffi::PyList_GET_SIZE(watched)).step_by(3) {
                let item = |offset| ffi::PyList_GET_ITEM(watched, index + offset);
                if !holds(item(0), item(1)) {
                    word = c"changed";
                    break;
                }
                if ffi::Py_REFCNT(item(0)) != ffi::PyLong_AsSsize_t(item(2)) {
                    word = c"kept";
                }
            }
        }
        ffi::PyUnicode_FromString(word.as_ptr())
    }
}

struct Walk {
    /// Borrowed; what `watch` returns.
    list: *mut PyObject,
    /// Borrowed: the classes whose instances are watched, with their descriptors of slots; null for none.
    kinds: *mut PyObject,
    /// Addresses of the containers that were met, and whether one is mutable or holds one that is. They live as long as the
    /// data.
    seen: HashMap<usize, bool, FxBuildHasher>,
}

/// An exception is set.
struct Failed;

impl Walk {
    /// Takes note of what is inside an object; tells whether something mutable is.
    ///
    /// # Safety
    /// The thread must be attached and the object live, for this and the other functions.
    unsafe fn inside(&mut self, object: *mut PyObject, depth: usize) -> Result<bool, Failed> {
        let mut found = Ok(false);
        // Keys are hashable, so of plain data nothing mutable is in them.
        let in_keys = !self.kinds.is_null();
        // SAFETY: by the caller's word.
        if in_keys && unsafe { ffi::Py_TYPE(object) } == &raw mut ffi::PyDict_Type {
            // SAFETY: as above.
            unsafe { self.check_keys(object) }?;
        }
        let mut meet = |item| {
            // SAFETY: the object holds the item. Nothing is called that could change a container while it is walked through.
            match unsafe { self.meet(item, depth) } {
                Ok(mutable) => found = found.as_ref().map(|before| *before || mutable).map_err(|_| Failed),
                Err(Failed) => found = Err(Failed),
            }
            found.is_ok()
        };
        // SAFETY: by the caller's word.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyList_Type {
                (0..ffi::PyList_GET_SIZE(object)).all(|index| meet(ffi::PyList_GET_ITEM(object, index)));
            } else if kind == &raw mut ffi::PyTuple_Type {
                (0..ffi::PyTuple_GET_SIZE(object)).all(|index| meet(ffi::PyTuple_GET_ITEM(object, index)));
            } else if kind == &raw mut ffi::PyDict_Type {
                each_entry(object, |_, key, value| (!in_keys || meet(key)) && meet(value));
            }
        }
        found
    }

    /// Raises ValueError where an instance with fields is a key of a dict, or in one: its hash may be another one than it was
    /// when it became a key.
    unsafe fn check_keys(&self, dict: *mut PyObject) -> Result<(), Failed> {
        // SAFETY: by the caller's word; the dict keeps its keys.
        unsafe {
            if each_entry(dict, |_, key, _| self.is_fit_for_a_key(key, 0)) {
                return Ok(());
            }
            ffi::PyErr_SetString(ffi::PyExc_ValueError, c"an instance is a key of a dict".as_ptr());
            Err(Failed)
        }
    }

    unsafe fn is_fit_for_a_key(&self, key: *mut PyObject, depth: usize) -> bool {
        // SAFETY: by the caller's word; a tuple keeps its items.
        unsafe {
            if ffi::PyTuple_Check(key) == 0 {
                return self.slots_of(ffi::Py_TYPE(key)).is_none();
            }
            depth <= DEEPEST
                && (0..ffi::PyTuple_GET_SIZE(key))
                    .all(|index| self.is_fit_for_a_key(ffi::PyTuple_GET_ITEM(key, index), depth + 1))
        }
    }

    /// The descriptors of slots of a class whose instances are watched, borrowed.
    unsafe fn slots_of(&self, kind: *mut ffi::PyTypeObject) -> Option<*mut PyObject> {
        // SAFETY: by the caller's word; the flags of a type may be asked for at any time. The dict keeps the tuple.
        unsafe {
            if self.kinds.is_null() || ffi::PyType_HasFeature(kind, ffi::Py_TPFLAGS_HEAPTYPE) == 0 {
                return None;
            }
            let slots = ffi::PyDict_GetItemWithError(self.kinds, kind.cast());
            if slots.is_null() {
                ffi::PyErr_Clear();
            }
            (!slots.is_null() && ffi::PyTuple_Check(slots) != 0).then_some(slots)
        }
    }

    /// Takes note of an instance and of what is in it.
    unsafe fn meet_instance(
        &mut self,
        object: *mut PyObject,
        slots: *mut PyObject,
        depth: usize,
    ) -> Result<(), Failed> {
        // SAFETY: by the caller's word. A tuple keeps its items, and the list keeps a copy, and with it the values in it.
        unsafe {
            if ffi::PyTuple_Check(object) != 0 {
                // It cannot change but in its class, yet who keeps it keeps itself.
                self.note(object, ffi::Py_NewRef(ffi::Py_TYPE(object).cast()))?;
                for index in 0..ffi::PyTuple_GET_SIZE(object) {
                    self.meet(ffi::PyTuple_GET_ITEM(object, index), depth)?;
                }
                return Ok(());
            }
            let copy = copy_slots(object, slots);
            self.note(object, copy)?;
            for index in 0..ffi::PyTuple_GET_SIZE(copy) / 2 {
                self.meet(ffi::PyTuple_GET_ITEM(copy, 2 * index + 1), depth)?;
            }
            let dict = ffi::PyObject_GenericGetDict(object, ptr::null_mut());
            if dict.is_null() {
                // It has slots alone.
                ffi::PyErr_Clear();
                return Ok(());
            }
            // The instance keeps it; another one in its place shows in the number of references to this one.
            let met = self.meet(dict, depth);
            ffi::Py_DECREF(dict);
            met.map(|_| ())
        }
    }

    /// Takes note of an object if it is mutable, or a tuple with something mutable in it; tells whether it is.
    #[inline]
    unsafe fn meet(&mut self, object: *mut PyObject, depth: usize) -> Result<bool, Failed> {
        // SAFETY: by the caller's word.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            let mutable = kind == &raw mut ffi::PyList_Type
                || kind == &raw mut ffi::PyDict_Type
                || kind == &raw mut ffi::PySet_Type
                || kind == &raw mut ffi::PyByteArray_Type;
            let slots = if mutable || kind == &raw mut ffi::PyTuple_Type { None } else { self.slots_of(kind) };
            if !mutable && kind != &raw mut ffi::PyTuple_Type && slots.is_none() {
                return Ok(false);
            }
            if let Some(known) = self.seen.get(&(object as usize)) {
                return Ok(*known);
            }
            self.seen.insert(object as usize, mutable || slots.is_some());
            if depth > DEEPEST {
                ffi::PyErr_SetString(ffi::PyExc_RecursionError, c"the data is nested too deep".as_ptr());
                return Err(Failed);
            }
            if let Some(slots) = slots {
                self.meet_instance(object, slots, depth + 1)?;
                return Ok(true);
            }
            if mutable {
                self.note(object, copy(object))?;
                self.inside(object, depth + 1)?;
            } else if self.inside(object, depth + 1)? {
                // It cannot change, but who keeps it keeps what is in it.
                self.seen.insert(object as usize, true);
                self.note(object, ffi::Py_NewRef(ffi::Py_None()))?;
                return Ok(true);
            }
            Ok(mutable)
        }
    }

    /// Appends a container and the copy of what it holds, which it takes over.
    unsafe fn note(&self, container: *mut PyObject, copy: *mut PyObject) -> Result<(), Failed> {
        // SAFETY: by the caller's word; the list takes references of its own.
        unsafe {
            let noted = !copy.is_null()
                && ffi::PyList_Append(self.list, container) == 0
                && ffi::PyList_Append(self.list, copy) == 0
                && ffi::PyList_Append(self.list, ffi::Py_None()) == 0;
            ffi::Py_XDECREF(copy);
            if noted { Ok(()) } else { Err(Failed) }
        }
    }
}

/// Copies what a container holds: `bytes` of a bytearray, a tuple of everything else, a key before its value.
///
/// # Safety
/// The thread must be attached, and the object be of one of the four types.
unsafe fn copy(container: *mut PyObject) -> *mut PyObject {
    // SAFETY: by the caller's word; the tuple has room for all entries, as the dict does not change meanwhile.
    unsafe {
        let kind = ffi::Py_TYPE(container);
        if kind == &raw mut ffi::PyByteArray_Type {
            return ffi::PyBytes_FromObject(container);
        }
        if kind != &raw mut ffi::PyDict_Type {
            return ffi::PySequence_Tuple(container);
        }
        let tuple = ffi::PyTuple_New(2 * ffi::PyDict_Size(container));
        if !tuple.is_null() {
            each_entry(container, |index, key, value| {
                ffi::PyTuple_SET_ITEM(tuple, 2 * index, ffi::Py_NewRef(key));
                ffi::PyTuple_SET_ITEM(tuple, 2 * index + 1, ffi::Py_NewRef(value));
                true
            });
        }
        tuple
    }
}

/// Copies what the slots of an instance hold: a tuple with each descriptor before its value, which is the descriptor itself
/// where there is none, and the class at the end.
///
/// # Safety
/// The thread must be attached, the object live, and `slots` a tuple of descriptors of its class.
unsafe fn copy_slots(object: *mut PyObject, slots: *mut PyObject) -> *mut PyObject {
    // SAFETY: by the caller's word; the tuple has room for all, and takes over what it is given.
    unsafe {
        let size = ffi::PyTuple_GET_SIZE(slots);
        let tuple = ffi::PyTuple_New(2 * size + 1);
        if !tuple.is_null() {
            ffi::PyTuple_SET_ITEM(tuple, 2 * size, ffi::Py_NewRef(ffi::Py_TYPE(object).cast()));
            for index in 0..size {
                let slot = ffi::PyTuple_GET_ITEM(slots, index);
                ffi::PyTuple_SET_ITEM(tuple, 2 * index, ffi::Py_NewRef(slot));
                ffi::PyTuple_SET_ITEM(tuple, 2 * index + 1, in_slot(object, slot));
            }
        }
        tuple
    }
}

/// What a slot of an instance holds, or the descriptor where it is empty: an owned reference.
///
/// # Safety
/// The thread must be attached and the objects live.
unsafe fn in_slot(object: *mut PyObject, slot: *mut PyObject) -> *mut PyObject {
    // SAFETY: by the caller's word; a type lives as long as its instances. The descriptor looks whether it fits the object.
    unsafe {
        let value = match (*ffi::Py_TYPE(slot)).tp_descr_get {
            Some(get) => get(slot, object, ffi::Py_TYPE(object).cast()),
            None => ptr::null_mut(),
        };
        if value.is_null() {
            ffi::PyErr_Clear();
            return ffi::Py_NewRef(slot);
        }
        value
    }
}

/// Tells whether a container still holds what was copied, the same objects in the same order.
///
/// # Safety
/// The thread must be attached, and the objects be a container and what `copy` or `copy_slots` made of it; a tuple and None, or
/// its class.
unsafe fn holds(container: *mut PyObject, copy: *mut PyObject) -> bool {
    // SAFETY: by the caller's word; sizes are compared before items are read.
    unsafe {
        let kind = ffi::Py_TYPE(container);
        if ffi::PyTuple_Check(container) != 0 {
            return copy == ffi::Py_None() || copy == kind.cast();
        }
        if kind == &raw mut ffi::PyByteArray_Type {
            return ffi::PyObject_RichCompareBool(container, copy, ffi::Py_EQ) == 1;
        }
        let size = ffi::PyTuple_GET_SIZE(copy);
        let is = |index: Py_ssize_t, object| ffi::PyTuple_GET_ITEM(copy, index) == object;
        if kind == &raw mut ffi::PyDict_Type {
            2 * ffi::PyDict_Size(container) == size
                && each_entry(container, |index, key, value| is(2 * index, key) && is(2 * index + 1, value))
        } else if kind == &raw mut ffi::PySet_Type {
            ffi::PySet_Size(container) == size && each_item(container, |index, item| is(index.cast_signed(), item))
        } else if kind != &raw mut ffi::PyList_Type {
            is(size - 1, kind.cast())
                && (0..size / 2).all(|index| {
                    let value = in_slot(container, ffi::PyTuple_GET_ITEM(copy, 2 * index));
                    let same = is(2 * index + 1, value);
                    ffi::Py_DECREF(value);
                    same
                })
        } else {
            ffi::PyList_GET_SIZE(container) == size
                && (0..size).all(|index| is(index, ffi::PyList_GET_ITEM(container, index)))
        }
    }
}

/// Gives each entry of a dict with its place to `check`; tells whether that said yes to all.
///
/// # Safety
/// The thread must be attached, the object a live dict, and `check` not change it.
unsafe fn each_entry(
    dict: *mut PyObject,
    mut check: impl FnMut(Py_ssize_t, *mut PyObject, *mut PyObject) -> bool,
) -> bool {
    let (mut place, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
    let mut index = 0;
    // SAFETY: by the caller's word.
    while unsafe { ffi::PyDict_Next(dict, &raw mut place, &raw mut key, &raw mut value) } != 0 {
        if !check(index, key, value) {
            return false;
        }
        index += 1;
    }
    true
}
