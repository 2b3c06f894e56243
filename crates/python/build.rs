//! Tells the compiler which CPython this is built for: `Py_3_13`, `Py_GIL_DISABLED` and the like, and `own_gil` where
//! subinterpreters with a GIL of their own are offered.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo::rustc-check-cfg=cfg(own_gil)");
    let config = pyo3_build_config::get();
    let (major, minor) = (config.version().major, config.version().minor);
    if (major, minor) >= (3, 13) && !config.is_free_threaded() {
        println!("cargo::rustc-cfg=own_gil");
    }
}
