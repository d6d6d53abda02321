//! Figures of the sinks, shown for each keyspace that has one. Whoever counts keeps the counts: they are handed over as a whole
//! when they are asked for, so that a sink which is gone leaves no figures behind.

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::write;

/// What one sink has to show.
#[derive(Clone, Debug, Default)]
pub struct SinkFigures {
    /// The keyspace.
    pub keyspace: String,
    /// What it is doing: one of [`SinkFigures::states`].
    pub state: &'static str,
    /// Every state that there is.
    pub states: &'static [&'static str],
    /// Keys that wait.
    pub pending: u64,
    /// Keys that the target has refused for good.
    pub dead: u64,
    /// How long the oldest has waited.
    pub lag: Duration,
    /// Keys that were passed on.
    pub passed_on: u64,
    /// Keys that were set aside.
    pub set_aside: u64,
    /// Attempts that passed something on.
    pub successes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// When an attempt last succeeded, in Unix seconds; 0 is never.
    pub last_success_seconds: u64,
}

/// Those of every sink, as they were last handed over.
#[derive(Debug, Default)]
pub struct SinkMetrics(Mutex<Vec<SinkFigures>>);

impl SinkMetrics {
    /// Shows these from now on, and no others.
    pub fn set(&self, figures: Vec<SinkFigures>) {
        *self.0.lock() = figures;
    }
}

impl Collector for SinkMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = self.0.lock().clone();
        let mut gauge = |name, help, value: fn(&SinkFigures) -> Value| {
            encode(
                &mut encoder,
                &figures,
                (name, help),
                MetricType::Gauge,
                value,
            )
        };
        gauge(
            "sink_pending_keys",
            "Keys that wait to be passed on",
            |one| Value::Whole(one.pending),
        )?;
        gauge(
            "sink_dead_keys",
            "Keys that the target has refused for good",
            |one| Value::Whole(one.dead),
        )?;
        gauge(
            "sink_lag_seconds",
            "How long the oldest key has waited",
            |one| Value::Part(one.lag.as_secs_f64()),
        )?;
        let help = "When an attempt last succeeded, in Unix time; 0 is never";
        gauge("sink_last_success_timestamp_seconds", help, |one| {
            Value::Whole(one.last_success_seconds)
        })?;
        let mut counter = |name, help, value: fn(&SinkFigures) -> Value| {
            encode(
                &mut encoder,
                &figures,
                (name, help),
                MetricType::Counter,
                value,
            )
        };
        counter(
            "sink_passed_on_keys",
            "Keys passed on since the start",
            |one| Value::Whole(one.passed_on),
        )?;
        let help = "Keys that the target refused for good since the start";
        counter("sink_set_aside_keys", help, |one| {
            Value::Whole(one.set_aside)
        })?;
        let help = "Attempts that passed something on since the start";
        counter("sink_successes", help, |one| Value::Whole(one.successes))?;
        counter(
            "sink_failures",
            "Attempts that failed since the start",
            |one| Value::Whole(one.failures),
        )?;
        states(&mut encoder, &figures)
    }
}

/// A figure, whole or not.
#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    Part(f64),
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    figures: &[SinkFigures],
    (name, help): (&str, &str),
    kind: MetricType,
    value: fn(&SinkFigures) -> Value,
) -> Result<(), fmt::Error> {
    if figures.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for one in figures {
        let labels = [("keyspace", one.keyspace.as_str())];
        let mut metric = family.encode_family(&labels)?;
        match value(one) {
            Value::Whole(count) => write(metric, kind, count)?,
            Value::Part(part) => metric.encode_gauge(&part)?,
        }
    }
    Ok(())
}

/// 1 for the state that a sink is in, 0 for the others.
fn states(encoder: &mut DescriptorEncoder<'_>, figures: &[SinkFigures]) -> Result<(), fmt::Error> {
    if figures.is_empty() {
        return Ok(());
    }
    let help = "1 for the state that the sink is in";
    let mut family = encoder.encode_descriptor("sink_state", help, None, MetricType::Gauge)?;
    for one in figures {
        for state in one.states {
            let labels = [("keyspace", one.keyspace.as_str()), ("state", state)];
            let is = u64::from(*state == one.state);
            family.encode_family(&labels)?.encode_gauge(&is)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn every_sink_is_shown_and_leaves_with_its_figures() {
        let metrics = Metrics::new();
        let figures = SinkFigures {
            keyspace: "views".to_owned(),
            state: "idle",
            states: &["idle", "retrying"],
            pending: 3,
            lag: Duration::from_millis(1500),
            passed_on: 7,
            ..SinkFigures::default()
        };
        metrics.sinks.set(vec![figures]);
        let text = metrics.text().unwrap();
        for line in [
            r#"standpipe_sink_pending_keys{keyspace="views"} 3"#,
            r#"standpipe_sink_lag_seconds{keyspace="views"} 1.5"#,
            r#"standpipe_sink_passed_on_keys_total{keyspace="views"} 7"#,
            r#"standpipe_sink_state{keyspace="views",state="idle"} 1"#,
            r#"standpipe_sink_state{keyspace="views",state="retrying"} 0"#,
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
        }
        metrics.sinks.set(Vec::new());
        assert!(!metrics.text().unwrap().contains("_sink_"));
    }
}
