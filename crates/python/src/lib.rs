//! `hypern._core`: the pool's face to CPython. Everything public is in the list at the end.
//!
//! Rules that hold in every file (reasons in ARCHITECTURE.md):
//! * nothing waits while attached to the interpreter: every wait is inside `Python::detach`;
//! * Python objects are dropped while attached;
//! * `unsafe` stands in `context.rs`, `interrupt.rs`, `buffer.rs`, `gil.rs` and `fork.rs` only.
#![deny(unsafe_code)]

mod backend;
mod batch;
mod buffer;
mod channel;
mod child;
mod context;
mod core;
mod face;
mod fork;
mod gil;
mod interrupt;
mod lineage;
mod outcome;
mod pool;
mod task;
mod waiting;

/// The native part of hypern; use it through the package `hypern`.
#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::batch::Batch;
    #[pymodule_export]
    use crate::buffer::Buffer;
    #[pymodule_export]
    use crate::fork::{after_fork_in_child, after_fork_in_parent, before_fork};
    #[pymodule_export]
    use crate::gil::needs_gil;
    #[pymodule_export]
    use crate::pool::{Pool, Ticket, cpu_limit};
    #[pymodule_export]
    use crate::task::Shipment;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
