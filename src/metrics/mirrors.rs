//! Figures of keyspaces that follow somebody else, one of each for every mirror of the configuration: as many as that has,
//! whatever clients do. It must not know what is followed.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::write;

/// Stands for an age that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Figures of one mirror. Whoever follows counts; the rest is written when it is asked for.
#[derive(Debug)]
pub struct MirrorMetrics {
    keyspace: Arc<str>,
    events: AtomicU64,
    failures: AtomicU64,
    stale: AtomicU64,
    age_seconds: AtomicU64,
    unstored: AtomicU64,
    unstored_bytes: AtomicU64,
}

/// How a mirror fares, in numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MirrorFigures {
    /// Whether what is here may not be what is there.
    pub stale: bool,
    /// How long ago that was known for the last time; `None` where it never was.
    pub age: Option<Duration>,
    /// How many keys stand for something that is not stored yet.
    pub unstored: u64,
    /// How many bytes of memory that takes.
    pub unstored_bytes: u64,
}

impl MirrorMetrics {
    /// Those of a mirror that has heard nothing yet.
    pub fn new(keyspace: &str) -> Arc<Self> {
        Arc::new(Self {
            keyspace: keyspace.into(),
            events: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            stale: AtomicU64::new(1),
            age_seconds: AtomicU64::new(UNKNOWN),
            unstored: AtomicU64::new(0),
            unstored_bytes: AtomicU64::new(0),
        })
    }

    /// Something came.
    pub fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt failed, or a stream ended.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows how it fares.
    pub fn set(&self, figures: MirrorFigures) {
        let age = figures.age.map_or(UNKNOWN, |age| age.as_secs());
        for (place, value) in [
            (&self.stale, u64::from(figures.stale)),
            (&self.age_seconds, age),
            (&self.unstored, figures.unstored),
            (&self.unstored_bytes, figures.unstored_bytes),
        ] {
            place.store(value, Ordering::Relaxed);
        }
    }
}

/// Figures of all mirrors that there are.
#[derive(Clone, Debug, Default)]
pub struct AllMirrors(Arc<Mutex<Vec<Arc<MirrorMetrics>>>>);

/// How the figures of each mirror are written.
struct Shown {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    of: fn(&MirrorMetrics) -> &AtomicU64,
}

const SHOWN: [Shown; 6] = [
    Shown {
        name: "mirror_events",
        help: "Times that something came from the upstream of a mirror, since the start",
        unit: None,
        kind: MetricType::Counter,
        of: |mirror| &mirror.events,
    },
    Shown {
        name: "mirror_failures",
        help: "Attempts to follow the upstream of a mirror that failed or ended, since the start",
        unit: None,
        kind: MetricType::Counter,
        of: |mirror| &mirror.failures,
    },
    Shown {
        name: "mirror_stale",
        help: "1 while what a mirror serves may not be what its upstream has",
        unit: None,
        kind: MetricType::Gauge,
        of: |mirror| &mirror.stale,
    },
    Shown {
        name: "mirror_age",
        help: "How long ago it was known that a mirror serves what its upstream has; absent where that never was",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        of: |mirror| &mirror.age_seconds,
    },
    Shown {
        name: "mirror_unstored_keys",
        help: "Keys that a mirror serves from memory because they cannot be stored",
        unit: None,
        kind: MetricType::Gauge,
        of: |mirror| &mirror.unstored,
    },
    Shown {
        name: "mirror_unstored",
        help: "Memory that those take",
        unit: Some(Unit::Bytes),
        kind: MetricType::Gauge,
        of: |mirror| &mirror.unstored_bytes,
    },
];

impl AllMirrors {
    /// Shows these from now on, and no others.
    pub fn set(&self, mirrors: Vec<Arc<MirrorMetrics>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mirrors;
    }
}

impl Collector for AllMirrors {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mirrors = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for shown in &SHOWN {
            if mirrors.is_empty() {
                break;
            }
            let unit = shown.unit.as_ref();
            let mut family = encoder.encode_descriptor(shown.name, shown.help, unit, shown.kind)?;
            for mirror in &mirrors {
                let value = (shown.of)(mirror).load(Ordering::Relaxed);
                if value == UNKNOWN {
                    continue;
                }
                let labels = [("keyspace", &*mirror.keyspace)];
                let figure = family.encode_family(&labels)?;
                write(figure, shown.kind, value)?;
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
    fn each_mirror_has_its_figures_for_as_long_as_there_is_such_a_mirror() {
        let metrics = Metrics::new();
        assert!(!metrics.text().unwrap().contains("mirror_"));
        let [one, other] = ["plant", "users"].map(MirrorMetrics::new);
        one.count_event();
        one.count_failure();
        one.set(MirrorFigures {
            stale: false,
            age: Some(Duration::from_secs(7)),
            unstored: 2,
            unstored_bytes: 512,
        });
        metrics.mirrors.set(vec![Arc::clone(&one), other]);
        let text = metrics.text().unwrap();
        for line in [
            r#"events_total{keyspace="plant"} 1"#,
            r#"failures_total{keyspace="plant"} 1"#,
            r#"stale{keyspace="plant"} 0"#,
            r#"stale{keyspace="users"} 1"#,
            r#"age_seconds{keyspace="plant"} 7"#,
            r#"unstored_keys{keyspace="plant"} 2"#,
            r#"unstored_bytes{keyspace="plant"} 512"#,
        ] {
            let line = format!("standpipe_mirror_{line}\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert!(!text.contains(r#"age_seconds{keyspace="users"}"#), "{text}");
        metrics.mirrors.set(vec![one]);
        assert!(!metrics.text().unwrap().contains("users"));
    }
}
