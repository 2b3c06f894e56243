//! Finds the extension modules that make a free-threaded interpreter turn its GIL on.
#![expect(unsafe_code, reason = "module definitions are raw pointers")]

use pyo3::ffi;
use pyo3::prelude::*;

/// Tells whether `module` is an extension module of several phases that does not say that it runs without a GIL.
///
/// Always false where there is nothing to find out: on builds with a GIL, for Python modules, and for extension modules
/// of a single phase, which keep their answer in a private field.
#[pyfunction]
pub(crate) fn needs_gil(module: &Bound<'_, PyAny>) -> bool {
    if !cfg!(Py_GIL_DISABLED) {
        return false;
    }
    // SAFETY: the pointer must be an object, which holds because `module` is one; anything but a module gives null.
    let is_module = unsafe { ffi::PyModule_Check(module.as_ptr()) } != 0;
    if !is_module {
        return false;
    }
    // SAFETY: the pointer must be a module, which was just checked.
    let definition = unsafe { ffi::PyModule_GetDef(module.as_ptr()) };
    if definition.is_null() {
        return false;
    }
    // SAFETY: the definition must live, which holds because modules never free theirs.
    let mut slot = unsafe { (*definition).m_slots };
    if slot.is_null() {
        return false;
    }
    loop {
        // SAFETY: the slots must be an array that ends with a zero, which the C API demands of every definition.
        let (kind, value) = unsafe { ((*slot).slot, (*slot).value) };
        match kind {
            0 => return true,
            // The slot Py_mod_gil; its value is 0 for "used" and 1 for "not used".
            4 => return value.is_null(),
            // SAFETY: the terminator was not reached, so another slot follows.
            _ => slot = unsafe { slot.add(1) },
        }
    }
}
