//! Figures of what is fetched by the clock, one of each for every source of the configuration: as many as that has, whatever
//! clients do. It must not know when anything is fetched.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::write;

/// Figures of one source. Whoever runs it counts.
#[derive(Debug)]
pub struct SourceMetrics {
    name: Arc<str>,
    runs: AtomicU64,
    failures: AtomicU64,
    /// When a run last went well, in Unix seconds; 0 is never.
    last_success: AtomicU64,
    failing: AtomicBool,
    stale: AtomicBool,
}

impl SourceMetrics {
    /// Those of a source that has never run.
    pub fn new(name: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            name,
            runs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_success: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            stale: AtomicBool::new(false),
        })
    }

    /// A run ended well, at this time in Unix seconds.
    pub fn count_success(&self, at: u64) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.last_success.store(at, Ordering::Relaxed);
    }

    /// A run failed.
    pub fn count_failure(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs that have ended, and how many of them failed.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.runs.load(Ordering::Relaxed),
            self.failures.load(Ordering::Relaxed),
        )
    }

    /// Whether it does not work, and whether its value is older than it should be.
    pub fn set_state(&self, failing: bool, stale: bool) {
        self.failing.store(failing, Ordering::Relaxed);
        self.stale.store(stale, Ordering::Relaxed);
    }
}

/// Figures of all sources that there are.
#[derive(Clone, Debug, Default)]
pub struct AllSources(Arc<Mutex<Vec<Arc<SourceMetrics>>>>);

/// How the figures of each source are written.
struct Shown {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    of: fn(&SourceMetrics) -> u64,
}

const SHOWN: [Shown; 5] = [
    Shown {
        name: "source_runs",
        help: "Runs of a scheduled source that have ended, since the start",
        unit: None,
        kind: MetricType::Counter,
        of: |source| source.runs.load(Ordering::Relaxed),
    },
    Shown {
        name: "source_failures",
        help: "Runs of a scheduled source that failed, since the start",
        unit: None,
        kind: MetricType::Counter,
        of: |source| source.failures.load(Ordering::Relaxed),
    },
    Shown {
        name: "source_failing",
        help: "1 while a scheduled source does not work: its last run failed, or what is said of it cannot be done",
        unit: None,
        kind: MetricType::Gauge,
        of: |source| u64::from(source.failing.load(Ordering::Relaxed)),
    },
    Shown {
        name: "source_stale",
        help: "1 while the value of a scheduled source is older than it should be",
        unit: None,
        kind: MetricType::Gauge,
        of: |source| u64::from(source.stale.load(Ordering::Relaxed)),
    },
    Shown {
        name: "source_last_success_timestamp",
        help: "When a run of a scheduled source last went well, in Unix time; 0 is never",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        of: |source| source.last_success.load(Ordering::Relaxed),
    },
];

impl AllSources {
    /// Shows these from now on, and no others.
    pub fn set(&self, sources: Vec<Arc<SourceMetrics>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }
}

impl Collector for AllSources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sources = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for shown in &SHOWN {
            if sources.is_empty() {
                break;
            }
            let mut family = encoder.encode_descriptor(
                shown.name,
                shown.help,
                shown.unit.as_ref(),
                shown.kind,
            )?;
            for source in &sources {
                let labels = [("source", &*source.name)];
                let figure = family.encode_family(&labels)?;
                write(figure, shown.kind, (shown.of)(source))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn each_source_has_its_figures_for_as_long_as_there_is_such_a_source() {
        let metrics = Metrics::new();
        assert!(!metrics.text().unwrap().contains("source_"));
        let [one, other] = ["a", "b \"c\""].map(|name| SourceMetrics::new(name.into()));
        one.count_success(7);
        one.count_failure();
        one.set_state(true, false);
        metrics.sources.set(vec![Arc::clone(&one), other]);
        let text = metrics.text().unwrap();
        for line in [
            r#"runs_total{source="a"} 2"#,
            r#"failures_total{source="a"} 1"#,
            r#"failing{source="a"} 1"#,
            r#"stale{source="a"} 0"#,
            r#"last_success_timestamp_seconds{source="a"} 7"#,
            r#"runs_total{source="b \"c\""} 0"#,
        ] {
            assert!(
                text.contains(&format!("standpipe_source_{line}\n")),
                "{line}: {text}"
            );
        }
        metrics.sources.set(vec![one]);
        assert!(!metrics.text().unwrap().contains("b \\\"c"));
    }
}
