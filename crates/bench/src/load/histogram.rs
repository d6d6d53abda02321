//! A histogram of latencies with a bounded error: 64 buckets for each power of two, so at most 1.6 % off.
//! The idea is that of the HDR histogram (hdrhistogram.org). It knows nothing of what is measured.

use std::time::Duration;

use crate::number::{float, narrow};

/// Buckets for each power of two.
const PARTS: u64 = 64;
const PART_BITS: u32 = 6;
/// Values of 64 bits need this many buckets.
const BUCKETS: u64 = (64 - 5) * PARTS;

/// Counts of values in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    most: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; narrow(BUCKETS)].into(),
            count: 0,
            most: 0,
        }
    }

    /// Counts one value.
    #[inline]
    pub(crate) fn add(&mut self, nanos: u64) {
        if let Some(bucket) = self.buckets.get_mut(narrow(bucket_of(nanos))) {
            *bucket += 1;
        }
        self.count += 1;
        self.most = self.most.max(nanos);
    }

    /// The largest value.
    pub(crate) fn most(&self) -> Duration {
        Duration::from_nanos(self.most)
    }

    /// The value that the part `share` (0 to 1) of all values does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = float(self.count) * share;
        let mut seen = 0;
        for (n, count) in (0_u64..).zip(&self.buckets) {
            seen += count;
            if *count > 0 && float(seen) >= wanted {
                return Duration::from_nanos(last_of(n).min(self.most));
            }
        }
        self.most()
    }
}

/// The bucket of a value: small values have one each, others share by their seven leading bits.
fn bucket_of(value: u64) -> u64 {
    let top = value.max(1).ilog2();
    if top < PART_BITS {
        return value;
    }
    let shift = top - PART_BITS;
    u64::from(shift) * PARTS + (value >> shift)
}

/// The largest value of a bucket.
fn last_of(bucket: u64) -> u64 {
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let first = (bucket - shift * PARTS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_a_64th_wide_and_holds_its_value() {
        for value in
            (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) | (1 << bit >> 3), u64::MAX >> bit])
        {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS, "{value}");
            let last = last_of(bucket);
            assert!(last >= value, "{value} is not above {last}");
            assert!(last - value <= value / 64, "{value} and {last}");
        }
    }

    #[test]
    fn quantiles_are_where_they_should_be() {
        let mut histogram = Histogram::new();
        for value in 1..=10_000_u64 {
            histogram.add(value * 1_000);
        }
        let median = histogram.quantile(0.5).as_nanos();
        assert!((5_000_000..=5_100_000).contains(&median), "{median}");
        assert_eq!(histogram.quantile(1.0), histogram.most());
        assert_eq!(histogram.count, 10_000);
    }
}
