//! What is counted, and its text. Handles are made once, so that counting is one atomic addition. It must not know what
//! is being counted for: whoever does the work counts it.

mod durations;
mod mirrors;
mod sinks;
mod sources;
mod through;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, fs};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use durations::AllDurations;

pub use durations::Durations;
pub use mirrors::{AllMirrors, MirrorFigures, MirrorMetrics};
/// A number of events, counted by whoever holds it.
pub use prometheus_client::metrics::counter::Counter;
pub use sinks::{SinkFigures, SinkMetrics};
pub use sources::{AllSources, SourceMetrics};
pub use through::{OneMore, ThroughFigures, ThroughMetrics};

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
    /// Figures of the keyspaces that follow somebody else.
    pub mirrors: AllMirrors,
    /// Figures of what is fetched by the clock.
    pub sources: AllSources,
    /// Figures of keyspaces that read through.
    pub through: ThroughMetrics,
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
        let mirrors = AllMirrors::default();
        registry.register_collector(Box::new(mirrors.clone()));
        let sources = AllSources::default();
        registry.register_collector(Box::new(sources.clone()));
        let through = ThroughMetrics::default();
        through.register(&mut registry);
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
            mirrors,
            sources,
            through,
            sinks,
        }
    }

    /// Where one thread adds how long its answers took, by the place of an operation in `operations`; the same name may
    /// stand there twice.
    pub fn durations(&self, operations: impl Iterator<Item = &'static str>) -> Arc<Durations> {
        self.durations.add(operations)
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

/// Writes a whole number as what it is: something that only grows, or a figure.
fn write(mut metric: MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    if matches!(kind, MetricType::Counter) {
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    } else {
        metric.encode_gauge(&value)
    }
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
    fn the_memory_of_this_process_is_told() {
        let text = Metrics::new().text().unwrap();
        let figure = text
            .lines()
            .find_map(|line| line.strip_prefix("standpipe_process_resident_memory_bytes "))
            .unwrap();
        assert!(figure.parse::<u64>().unwrap() > 100_000, "{figure}");
    }
}
