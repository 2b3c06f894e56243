//! `hypern._core`: the pool's face to CPython. Everything public is in the list at the end.
//!
//! Rules that hold in every file (reasons in ARCHITECTURE.md):
//! * nothing waits while attached to the interpreter: every wait is inside `Python::detach`;
//! * Python objects are dropped while attached;
//! * `unsafe` stands in `buffer.rs`, `context.rs`, `fork.rs`, `gathered.rs`, `gil.rs`, `home.rs`, `interpreter.rs`,
//!   `interrupt.rs`, `lent.rs`, `plain.rs`, `sight.rs` and `watch.rs` only;
//! * a thread that owns a subinterpreter uses PyO3 inside `Home::attach` only.
#![deny(unsafe_code)]

mod backend;
mod batch;
mod buffer;
mod channel;
mod child;
mod context;
mod core;
mod durations;
mod effort;
mod face;
mod fork;
mod gathered;
mod gil;
mod home;
#[cfg_attr(not(own_gil), path = "no_interpreter.rs")]
mod interpreter;
mod interrupt;
mod keeper;
mod known;
mod leash;
#[cfg(own_gil)]
mod lent;
mod letterbox;
mod lineage;
mod outcome;
#[cfg(not(Py_GIL_DISABLED))]
mod plain;
mod pool;
mod sight;
mod snapshot;
mod task;
mod waiting;
#[cfg(not(Py_GIL_DISABLED))]
mod watch;

/// The native part of hypern; use it through the package `hypern`.
#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::batch::Batch;
    #[pymodule_export]
    use crate::buffer::Buffer;
    #[pymodule_export]
    use crate::durations::Durations;
    #[pymodule_export]
    use crate::fork::{after_fork_in_child, after_fork_in_parent, before_fork};
    #[pymodule_export]
    use crate::gathered::gathered;
    #[pymodule_export]
    use crate::gil::needs_gil;
    #[pymodule_export]
    use crate::leash::Leash;
    #[pymodule_export]
    use crate::letterbox::Letterbox;
    #[pymodule_export]
    use crate::pool::{Pool, Ticket, Worker, cpu_limit, end_interpreters};
    #[pymodule_export]
    use crate::snapshot::Snapshot;
    #[pymodule_export]
    use crate::task::Shipment;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        #[cfg(not(Py_GIL_DISABLED))]
        module.add("plain", crate::plain::codec(module.py())?)?;
        #[cfg(Py_GIL_DISABLED)]
        module.add("plain", module.py().None())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
