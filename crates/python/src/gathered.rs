//! The results of many chunks as one list: their references are moved and not counted anew, which costs as much as reading each
//! object once more.
#![expect(unsafe_code, reason = "no API moves references out of a list")]

use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// Returns one list of what `parts`, a list of lists, hold; those that nobody else refers to are empty afterwards.
#[pyfunction]
pub(crate) fn gathered<'py>(py: Python<'py>, parts: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let mut total = 0;
    for index in 0..parts.len() {
        let part = parts.get_item(index)?;
        total += part.cast_exact::<PyList>().map_err(|_| PyTypeError::new_err("a part is no list"))?.len();
    }
    // SAFETY: the thread is attached, as `py` says; a list is the result, or null with an exception set.
    let whole = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyList_New(total.cast_signed()))?.cast_into_unchecked::<PyList>()
    };
    let target: *mut ffi::PyListObject = whole.as_ptr().cast();
    let mut place = 0;
    for index in 0..parts.len() {
        // SAFETY: the list is borrowed by the caller, the index is within it, and nothing in this loop runs Python code, so its
        // items are the lists that were counted above, of the same lengths. An item's slots are its own references: they are
        // moved into slots that are empty, and the item, which only `parts` refers to, is told that it has none before anybody
        // can look; where others refer to it, the references are counted. Slots that are still empty are allowed in a list
        // that nobody but this function knows; the collector passes over them.
        unsafe {
            let part = ffi::PyList_GET_ITEM(parts.as_ptr(), index.cast_signed());
            let source: *mut ffi::PyListObject = part.cast();
            let length = ffi::Py_SIZE(part).cast_unsigned();
            assert!(place + length <= total, "a part has grown");
            if length == 0 {
                continue;
            }
            let slots = (*target).ob_item.add(place);
            if ffi::Py_REFCNT(part) == 1 {
                ptr::copy_nonoverlapping((*source).ob_item, slots, length);
                (*source).ob_base.ob_size = 0;
            } else {
                for slot in 0..length {
                    *slots.add(slot) = ffi::Py_NewRef(*(*source).ob_item.add(slot));
                }
            }
            place += length;
        }
    }
    Ok(whole)
}
