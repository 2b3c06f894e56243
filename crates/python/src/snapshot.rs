//! The items of a list as they are now, handed out once each: their references are moved on and not counted anew, which costs as
//! much as reading each object once more.

use std::vec;

use pyo3::exceptions::PyMemoryError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;

/// What is left of a list; used by the thread that drives a call.
#[pyclass(module = "hypern._core")]
pub(crate) struct Snapshot {
    left: vec::IntoIter<Py<PyAny>>,
}

#[pymethods]
impl Snapshot {
    #[new]
    fn new(items: &Bound<'_, PyList>) -> PyResult<Self> {
        // Without the GIL, others change the list between two looks at it; a slice is one look.
        #[cfg(Py_GIL_DISABLED)]
        let items = &items.get_slice(0, usize::MAX);
        let mut left = Vec::new();
        left.try_reserve_exact(items.len()).map_err(|_| PyMemoryError::new_err(()))?;
        items.iter().for_each(|item| left.push(item.unbind()));
        Ok(Self { left: left.into_iter() })
    }

    /// Returns the next items, at most `count`.
    fn take<'py>(&mut self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.left.by_ref().take(count))
    }

    fn __len__(&self) -> usize {
        self.left.len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.left.as_slice().iter().try_for_each(|item| visit.call(item))
    }

    fn __clear__(&mut self) {
        self.left = Vec::new().into_iter();
    }
}
