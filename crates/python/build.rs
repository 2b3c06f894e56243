//! Tells the compiler which CPython this is built for: `Py_3_13`, `Py_GIL_DISABLED` and the like.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
