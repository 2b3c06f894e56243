//! The histogram of the pools, for the one of a cluster, which counts in Python.

use std::time::Duration;

use hypern_pool::Histogram;
use pyo3::prelude::*;

/// How long things took. May be used from any thread.
#[pyclass(module = "hypern._core", frozen)]
#[derive(Debug, Default)]
pub(crate) struct Durations(Histogram);

#[pymethods]
impl Durations {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Counts one.
    fn add(&self, seconds: f64) {
        self.0.add(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }

    /// Returns their sum, and what half and 99 of 100 of them are not longer than, in seconds.
    fn times(&self) -> (f64, f64, f64) {
        let times = self.0.times();
        (times.sum.as_secs_f64(), times.p50.as_secs_f64(), times.p99.as_secs_f64())
    }
}
