//! How long things took: counted in buckets of a logarithmic scale, always the same ones, so that counting is one addition.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each power of two has `1 << BITS` buckets: the middle of one is within 1/16 of every value in it.
const BITS: u32 = 3;
const STEPS: u64 = 1 << BITS;
/// For every number of nanoseconds that 64 bits hold.
const BUCKETS: usize = ((u64::BITS - BITS + 1) << BITS) as usize;

/// Times that were counted. Written by the threads that counted them; read by anybody, without order between the fields.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    /// Nanoseconds.
    sum: AtomicU64,
}

/// What a histogram says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many times were counted.
    pub count: u64,
    /// All together.
    pub sum: Duration,
    /// Half of them are not longer, give or take 1/16 of it.
    pub p50: Duration,
    /// 99 of 100 are not longer, give or take 1/16 of it.
    pub p99: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one time.
    pub fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Tells how many times were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Tells what was counted.
    pub fn times(&self) -> Times {
        // One copy, so that the parts of the answer fit together.
        let counts: [u64; BUCKETS] = array::from_fn(|index| self.counts[index].load(Ordering::Relaxed));
        let count: u64 = counts.iter().sum();
        let least = |percent: u64| {
            let mut left = (count * percent).div_ceil(100);
            let found = counts.iter().position(|&each| {
                left = left.saturating_sub(each);
                left == 0
            });
            Duration::from_nanos(found.filter(|_| count > 0).map_or(0, middle))
        };
        let sum = Duration::from_nanos(self.sum.load(Ordering::Relaxed));
        Times { count, sum, p50: least(50), p99: least(99) }
    }
}

/// The bucket of a value: below `STEPS` each has its own, above the highest bits choose.
fn bucket(value: u64) -> usize {
    let shift = value.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
    usize::try_from(u64::from(shift) * STEPS + (value >> shift)).unwrap_or(BUCKETS - 1)
}

/// The value in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    let low = (bucket - shift * STEPS) << shift;
    low + (1_u64 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_a_sixteenth_of_the_middle_of_its_bucket() {
        for exponent in 0..u64::BITS {
            for value in [1_u64 << exponent, (1 << exponent) | (1 << exponent >> 1), u64::MAX >> exponent] {
                let found = middle(bucket(value));
                assert!(found.abs_diff(value) <= value / 16, "{value} was counted as {found}");
            }
        }
        assert_eq!(middle(bucket(0)), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let histogram = Histogram::default();
        assert_eq!(histogram.times(), Times::default());
        (1..=1000).for_each(|milliseconds| histogram.add(Duration::from_millis(milliseconds)));
        let Times { count, sum, p50, p99 } = histogram.times();
        assert_eq!((count, histogram.count()), (1000, 1000));
        assert_eq!(sum, Duration::from_millis(500_500));
        assert!(p50.abs_diff(Duration::from_millis(500)) <= Duration::from_millis(500 / 16), "{p50:?}");
        assert!(p99.abs_diff(Duration::from_millis(990)) <= Duration::from_millis(990 / 16), "{p99:?}");
    }
}
