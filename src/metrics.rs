//! What is counted, and its text. Handles are made once, so that counting is one atomic addition. It must not know what
//! is being counted for: whoever does the work counts it.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Labels of an answered request.
type Labels = Vec<(&'static str, String)>;

/// A figure that can go up and down.
pub type Figure = Gauge<u64, AtomicU64>;

/// Everything that this process counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    /// Figures of the HTTP side.
    pub http: HttpMetrics,
    /// Figures of the store, written when they are asked for.
    pub store: StoreMetrics,
}

/// Figures of the HTTP side.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    /// Bytes of request bodies that are held now.
    pub inflight_bytes: Figure,
    /// 1 when requests are served as usual.
    pub ready: Figure,
}

macro_rules! store_metrics {
    ($($name:ident $text:literal, $help:literal;)*) => {
        /// Figures of the store. Those that only grow are still set, not added to: the store keeps count itself.
        #[derive(Debug, Default)]
        pub struct StoreMetrics {
            $(#[doc = $help] pub $name: Figure,)*
        }

        impl StoreMetrics {
            fn register(&self, registry: &mut Registry) {
                $(registry.register($text, $help, self.$name.clone());)*
            }
        }
    };
}

store_metrics! {
    entries "store_entries", "Entries that can be read";
    expiring "store_expiring_entries", "Entries that expire some time";
    expired "store_expired_entries", "Entries removed because their time was over, since the start";
    entry_bytes "store_entry_bytes", "Bytes of memory that entries take";
    overhead_bytes "store_overhead_bytes", "Bytes of memory that the tables around the entries take";
    revision "store_revision", "The newest revision";
    written_revision "store_written_revision", "The newest revision handed to the operating system";
    durable_revision "store_durable_revision", "The newest revision on disk";
    records "store_log_records", "Records written to the log since the start";
    batches "store_log_batches", "Writes to the log since the start, each of one or more records";
    log_written_bytes "store_log_written_bytes", "Bytes written to the log since the start";
    syncs "store_log_syncs", "Syncs of the log since the start";
    sync_micros "store_log_sync_microseconds", "Time spent in syncs of the log since the start";
    segments "store_log_segments", "Files of the log";
    log_bytes "store_log_bytes", "Bytes of log since the newest snapshot: a start has to replay them";
    room_bytes "store_log_room_bytes", "Bytes that can be logged before another segment is needed";
    snapshots "store_compactions", "Snapshots made since the start";
    failed_snapshots "store_failed_compactions", "Snapshots that failed since the start";
    snapshot_bytes "store_snapshot_bytes", "Bytes of the newest snapshot";
    failed "store_failed", "1 when durability is lost and writes are refused for good";
    disk_full "store_disk_full", "1 when there is no room for writes";
    quarantined "store_quarantined", "1 when recovery set damaged bytes aside";
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
        let requests = Family::default();
        registry.register(
            "http_requests",
            "Requests answered, by operation and status",
            requests.clone(),
        );
        let http = HttpMetrics::default();
        let inflight = http.inflight_bytes.clone();
        registry.register_with_unit(
            "http_inflight",
            "Bytes of request bodies held now",
            Unit::Bytes,
            inflight,
        );
        registry.register(
            "ready",
            "1 when requests are served as usual",
            http.ready.clone(),
        );
        let store = StoreMetrics::default();
        store.register(&mut registry);
        Self {
            registry,
            requests,
            http,
            store,
        }
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
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
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
        let text = metrics.text().unwrap();
        assert!(
            text.contains(r#"standpipe_http_requests_total{operation="get_value",status="200"} 2"#),
            "{text}"
        );
        assert!(text.contains("standpipe_store_entries 7\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
