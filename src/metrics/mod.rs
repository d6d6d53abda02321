//! What is counted, and its text. Handles are made once, so that counting is one atomic addition. It must not know what
//! is being counted for: whoever does the work counts it.

mod sinks;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{array, fmt, fs};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use sinks::{SinkFigures, SinkMetrics};

/// A number of events, counted by whoever holds it.
pub use prometheus_client::metrics::counter::Counter;

/// Labels of an answered request.
type Labels = Vec<(&'static str, String)>;

/// A figure that can go up and down.
pub type Figure = Gauge<u64, AtomicU64>;

/// Everything that this process counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    durations: Arc<AllDurations>,
    resident: Figure,
    /// Figures of the HTTP side.
    pub http: HttpMetrics,
    /// Figures of the store, written when they are asked for.
    pub store: StoreMetrics,
    /// Figures of the configuration.
    pub config: ConfigMetrics,
    /// Figures of the sinks, written when they are asked for.
    pub sinks: Arc<SinkMetrics>,
}

/// Figures of the configuration.
#[derive(Debug, Default)]
pub struct ConfigMetrics {
    reloads: Family<Labels, Counter>,
    /// 1 while the files are other than what holds, because they were refused.
    pub stale: Figure,
    /// 1 while the certificates in use are other than those in the files, because these cannot be used.
    pub certificates_stale: Figure,
    /// Changed settings that wait for the next start.
    pub waiting: Figure,
    /// When it was last reloaded, in Unix seconds; 0 is never.
    pub last: Figure,
}

/// How a reload of the configuration ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reloaded {
    /// What was read is what holds.
    Done,
    /// Nothing has changed.
    Refused,
}

impl ConfigMetrics {
    fn register(&self, registry: &mut Registry) {
        for ended in [Reloaded::Done, Reloaded::Refused] {
            // Both are shown from the start, so that an alert can be written before anything has failed.
            drop(self.handle(ended));
        }
        registry.register(
            "config_reloads",
            "Times that the configuration was read again, by how it ended",
            self.reloads.clone(),
        );
        registry.register(
            "config_stale",
            "1 when a changed configuration was refused and the one before it holds",
            self.stale.clone(),
        );
        registry.register(
            "certificates_stale",
            "1 when changed certificates cannot be used and the ones before are",
            self.certificates_stale.clone(),
        );
        registry.register(
            "config_waiting_settings",
            "Changed settings that take effect only at the next start",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "config_last_reload_timestamp",
            "When the configuration was last reloaded, in Unix time",
            Unit::Seconds,
            self.last.clone(),
        );
    }

    /// Counts a reload.
    pub fn count(&self, ended: Reloaded) {
        self.handle(ended).inc();
    }

    fn handle(&self, ended: Reloaded) -> Counter {
        let result = match ended {
            Reloaded::Done => "done",
            Reloaded::Refused => "refused",
        };
        self.reloads
            .get_or_create_owned(&vec![("result", result.to_owned())])
    }
}

/// Figures of the HTTP side.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    /// Bytes of request bodies that are held now.
    pub inflight_bytes: Figure,
    /// Watches that are open.
    pub watchers: Figure,
    /// 1 when requests are served as usual.
    pub ready: Figure,
    /// Connections that were closed because their address had as many as it may.
    pub connections_refused: Counter,
}

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
struct AllDurations(Mutex<Vec<Arc<Durations>>>);

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

/// A number that only grows. Whoever counts keeps the count; it is only shown here.
#[derive(Clone, Debug, Default)]
pub struct Total(Counter);

impl Total {
    /// Shows `count`.
    pub fn set(&self, count: u64) {
        self.0.inner().store(count, Ordering::Relaxed);
    }
}

/// A time that only grows.
#[derive(Clone, Debug, Default)]
pub struct TotalTime(Counter<f64, AtomicU64>);

impl TotalTime {
    /// Shows `time`.
    pub fn set(&self, time: Duration) {
        self.0
            .inner()
            .store(time.as_secs_f64().to_bits(), Ordering::Relaxed);
    }
}

macro_rules! store_metrics {
    (figures { $($figure:ident $figure_text:literal;)* } totals { $($total:ident $total_text:literal;)* }) => {
        /// Figures of the store.
        #[derive(Debug, Default)]
        pub struct StoreMetrics {
            $(#[doc = $figure_text] pub $figure: Figure,)*
            $(#[doc = $total_text] pub $total: Total,)*
            /// Time spent in syncs of the log since the start
            pub log_sync: TotalTime,
        }

        impl StoreMetrics {
            fn register(&self, registry: &mut Registry) {
                $(registry.register(concat!("store_", stringify!($figure)), $figure_text, self.$figure.clone());)*
                $(registry.register(concat!("store_", stringify!($total)), $total_text, self.$total.0.clone());)*
                let help = "Time spent in syncs of the log since the start";
                registry.register_with_unit("store_log_sync", help, Unit::Seconds, self.log_sync.0.clone());
            }
        }
    };
}

store_metrics! {
    figures {
        entries "Entries that can be read";
        expiring_entries "Entries that expire some time";
        pending_keys "Keys that wait to be passed on by a sink, once for each generation";
        dead_keys "Keys that a sink could not pass on";
        entry_bytes "Bytes of memory that entries take";
        overhead_bytes "Bytes of memory that the tables around the entries take";
        counted_bytes "Bytes of memory that entries count for where there is a bound";
        revision "The newest revision";
        written_revision "The newest revision handed to the operating system";
        durable_revision "The newest revision on disk";
        log_segments "Files of the log";
        log_replay_bytes "Bytes of log since the newest snapshot: a start has to replay them";
        log_room_bytes "Bytes that can be logged before another segment is needed";
        snapshot_bytes "Bytes of the newest snapshot";
        failed "1 when durability is lost and writes are refused for good";
        disk_full "1 when there is no room for writes";
        quarantined "1 when recovery set damaged bytes aside";
    }
    totals {
        expired_entries "Entries removed because their time was over, since the start";
        evicted_entries "Entries that left a bounded keyspace so that others fit, since the start";
        log_records "Records written to the log since the start";
        log_batches "Writes to the log since the start, each of one or more records";
        log_written_bytes "Bytes written to the log since the start";
        log_syncs "Syncs of the log since the start";
        snapshots "Snapshots made since the start";
        failed_snapshots "Snapshots that failed since the start";
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Every figure at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("standpipe");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", version);
        let requests = Family::default();
        registry.register(
            "http_requests",
            "Requests answered, by operation and status",
            requests.clone(),
        );
        let durations = Arc::new(AllDurations::default());
        registry.register_collector(Box::new(Arc::clone(&durations)));
        let resident = Figure::default();
        let help = "Memory of this process that is in RAM";
        registry.register_with_unit(
            "process_resident_memory",
            help,
            Unit::Bytes,
            resident.clone(),
        );
        let http = HttpMetrics::default();
        let inflight = http.inflight_bytes.clone();
        registry.register_with_unit(
            "http_inflight",
            "Bytes of request bodies held now",
            Unit::Bytes,
            inflight,
        );
        registry.register("watchers", "Watches that are open", http.watchers.clone());
        registry.register(
            "http_connections_refused",
            "Connections closed because their address had limits.connections_per_address",
            http.connections_refused.clone(),
        );
        registry.register(
            "ready",
            "1 when requests are served as usual",
            http.ready.clone(),
        );
        let store = StoreMetrics::default();
        store.register(&mut registry);
        let config = ConfigMetrics::default();
        config.register(&mut registry);
        let sinks = Arc::new(SinkMetrics::default());
        registry.register_collector(Box::new(Arc::clone(&sinks)));
        Self {
            registry,
            requests,
            durations,
            resident,
            http,
            store,
            config,
            sinks,
        }
    }

    /// Where one thread adds how long its answers took, by the place of an operation in `operations`; the same name may
    /// stand there twice.
    pub fn durations(&self, operations: impl Iterator<Item = &'static str>) -> Arc<Durations> {
        let of = |operation| DurationsOf {
            operation,
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            sum_nanos: AtomicU64::new(0),
        };
        let durations = Arc::new(Durations(operations.map(of).collect()));
        let mut threads = self
            .durations
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        threads.push(Arc::clone(&durations));
        durations
    }

    /// The counter of answers to `operation` with `status`: to be asked for once and kept.
    pub fn requests(&self, operation: &str, status: u16) -> Counter {
        let labels = vec![
            ("operation", operation.to_owned()),
            ("status", status.to_string()),
        ];
        self.requests.get_or_create_owned(&labels)
    }

    /// The figures as `OpenMetrics` text, which Prometheus reads.
    pub fn text(&self) -> Result<String, fmt::Error> {
        // Where the system does not tell, the figure stays 0.
        self.resident.set(resident_bytes().unwrap_or_default());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// What Linux says of this process, in bytes.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_appear_in_the_text_with_their_labels() {
        let metrics = Metrics::new();
        metrics.requests("get_value", 200).inc();
        metrics.requests("get_value", 200).inc();
        metrics.store.entries.set(7);
        metrics.store.log_syncs.set(3);
        metrics.store.log_sync.set(Duration::from_millis(1500));
        let text = metrics.text().unwrap();
        assert!(
            text.contains(r#"standpipe_http_requests_total{operation="get_value",status="200"} 2"#),
            "{text}"
        );
        assert!(text.contains("standpipe_store_entries 7\n"), "{text}");
        assert!(
            text.contains("standpipe_store_log_syncs_total 3\n"),
            "{text}"
        );
        assert!(
            text.contains("standpipe_store_log_sync_seconds_total 1.5\n"),
            "{text}"
        );
        assert!(text.contains("standpipe_build_info{version="), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

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

    #[test]
    fn the_memory_of_this_process_is_told() {
        let text = Metrics::new().text().unwrap();
        let figure = text
            .lines()
            .find_map(|line| line.strip_prefix("standpipe_process_resident_memory_bytes "))
            .unwrap();
        assert!(figure.parse::<u64>().unwrap() > 100_000, "{figure}");
    }
}
