//! Stands in for `interpreter.rs` where CPython offers no subinterpreter with a GIL of its own: there is none.

/// Tells whether no interpreter of hypern lives in this process.
pub(crate) fn none_lives() -> bool {
    true
}

/// In a forked child: there is nothing to forget.
pub(crate) fn forget_all() {}

/// Tells whether this thread has an interpreter.
pub(crate) fn is_there() -> bool {
    false
}

/// Ends the interpreter of this thread, if there is one.
pub(crate) fn end() {}
