//! How long answers take. It must not know what is answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{array, fmt};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// The most nanoseconds that an answer of each bucket took.
const BOUNDS_NANOS: [u64; 15] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
    500_000_000,
    2_500_000_000,
    10_000_000_000,
];

const NANOS_PER_SECOND: f64 = 1e9;

/// How long the answers of one thread took, by operation. Only that thread adds to it, so that adding needs no
/// instruction that other processors have to wait for.
#[derive(Debug)]
pub struct Durations(Vec<DurationsOf>);

/// How long the answers to one operation took.
#[derive(Debug)]
struct DurationsOf {
    operation: &'static str,
    buckets: [AtomicU64; BOUNDS_NANOS.len() + 1],
    sum_nanos: AtomicU64,
}

impl Durations {
    /// Adds one answer to the operation at `row` of the list that this was made with.
    #[inline]
    pub fn record(&self, row: usize, took: Duration) {
        let Some(of) = self.0.get(row) else { return };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.iter().position(|bound| nanos <= *bound);
        let bucket = of.buckets.get(bucket.unwrap_or(BOUNDS_NANOS.len()));
        for (place, more) in bucket
            .map(|place| (place, 1))
            .into_iter()
            .chain([(&of.sum_nanos, nanos)])
        {
            place.store(
                place.load(Ordering::Relaxed).wrapping_add(more),
                Ordering::Relaxed,
            );
        }
    }
}

/// Those of every thread, shown as one histogram.
#[derive(Debug, Default)]
pub(super) struct AllDurations(Mutex<Vec<Arc<Durations>>>);

impl AllDurations {
    /// Those of one more thread.
    pub(super) fn add(&self, operations: impl Iterator<Item = &'static str>) -> Arc<Durations> {
        let of = |operation| DurationsOf {
            operation,
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            sum_nanos: AtomicU64::new(0),
        };
        let durations = Arc::new(Durations(operations.map(of).collect()));
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(Arc::clone(&durations));
        durations
    }
}

impl Collector for AllDurations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut sums: BTreeMap<&str, (u64, [u64; BOUNDS_NANOS.len() + 1])> = BTreeMap::new();
        let threads = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for of in threads.iter().flat_map(|thread| &thread.0) {
            let (nanos, buckets) = sums.entry(of.operation).or_default();
            *nanos += of.sum_nanos.load(Ordering::Relaxed);
            for (sum, bucket) in buckets.iter_mut().zip(&of.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
        }
        let help = "Time from a request's head to its answer, by operation";
        let mut family = encoder.encode_descriptor(
            "http_request_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (operation, (nanos, counts)) in sums {
            let count = counts.iter().sum();
            if count == 0 {
                continue;
            }
            let bounds = BOUNDS_NANOS
                .iter()
                .map(|nanos| seconds(*nanos))
                .chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(counts).collect();
            family
                .encode_family(&[("operation", operation)])?
                .encode_histogram::<NoLabelSet>(seconds(nanos), count, &buckets, None)?;
        }
        Ok(())
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a figure to look at needs no 53rd bit"
)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn durations_of_all_threads_are_one_histogram() {
        let metrics = Metrics::new();
        let threads = [
            metrics.durations(["get_value", "flush", "flush"].into_iter()),
            metrics.durations(["get_value", "flush", "flush"].into_iter()),
        ];
        threads[0].record(0, Duration::from_micros(10));
        threads[1].record(0, Duration::from_micros(11));
        threads[1].record(0, Duration::from_mins(1));
        threads[0].record(1, Duration::from_millis(1));
        threads[1].record(2, Duration::from_millis(1));
        // A place outside the list is nobody's.
        threads[0].record(3, Duration::from_millis(1));
        let text = metrics.text().unwrap();
        let name = "standpipe_http_request_duration_seconds";
        for line in [
            r#"_bucket{le="0.00001",operation="get_value"} 1"#,
            r#"_bucket{le="0.000025",operation="get_value"} 2"#,
            r#"_bucket{le="10.0",operation="get_value"} 2"#,
            r#"_bucket{le="+Inf",operation="get_value"} 3"#,
            r#"_count{operation="get_value"} 3"#,
            r#"_sum{operation="get_value"} 60.000021"#,
            r#"_count{operation="flush"} 2"#,
        ] {
            assert!(text.contains(&format!("{name}{line}\n")), "{line}: {text}");
        }
    }
}
