//! Figures of keyspaces that read through, each under its name: as many as the configuration has ever named. It must not know
//! what a fetch is.

use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{Counter, Figure, Labels};

/// Figures of all keyspaces that read through.
#[derive(Clone, Debug, Default)]
pub struct ThroughMetrics {
    fetches: Family<Labels, Counter>,
    in_flight: Family<Labels, Figure>,
    waiters: Family<Labels, Figure>,
    stale: Family<Labels, Counter>,
    negative: Family<Labels, Counter>,
    breaker: Family<Labels, Figure>,
}

/// Figures of one of them: handles that are made once.
#[derive(Clone, Debug)]
pub struct ThroughFigures {
    keyspace: String,
    fetches: Family<Labels, Counter>,
    /// Fetches that are being made.
    pub in_flight: Figure,
    /// Requests that wait for a fetch.
    pub waiters: Figure,
    /// Answers with a value whose time was over.
    pub stale: Counter,
    /// Answers that a key is absent because the source has said so lately.
    pub negative: Counter,
    /// 0 while the source is asked, 1 while one fetch tries whether it has recovered, 2 while it is left alone.
    pub breaker: Figure,
}

impl ThroughMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "read_through_fetches",
            "Fetches from the source of a keyspace, by what came of them",
            self.fetches.clone(),
        );
        registry.register(
            "read_through_fetches_in_flight",
            "Fetches that are being made",
            self.in_flight.clone(),
        );
        registry.register(
            "read_through_waiters",
            "Requests that wait for a fetch",
            self.waiters.clone(),
        );
        registry.register(
            "read_through_stale_answers",
            "Answers with a value whose time was over",
            self.stale.clone(),
        );
        registry.register(
            "read_through_negative_hits",
            "Answers that a key is absent because the source has said so lately",
            self.negative.clone(),
        );
        registry.register(
            "read_through_breaker",
            "0 while the source is asked, 1 while one fetch tries whether it has recovered, 2 while it is left alone",
            self.breaker.clone(),
        );
    }

    /// Those of the keyspace of this name, each shown from now on.
    pub fn of(&self, keyspace: &str) -> ThroughFigures {
        let labels = vec![("keyspace", keyspace.to_owned())];
        ThroughFigures {
            keyspace: keyspace.to_owned(),
            fetches: self.fetches.clone(),
            in_flight: self.in_flight.get_or_create_owned(&labels),
            waiters: self.waiters.get_or_create_owned(&labels),
            stale: self.stale.get_or_create_owned(&labels),
            negative: self.negative.get_or_create_owned(&labels),
            breaker: self.breaker.get_or_create_owned(&labels),
        }
    }
}

impl ThroughFigures {
    /// Counts a fetch that came to `result`, one of a few words.
    pub fn fetched(&self, result: &'static str) {
        let labels = vec![
            ("keyspace", self.keyspace.clone()),
            ("result", result.to_owned()),
        ];
        self.fetches.get_or_create_owned(&labels).inc();
    }
}

/// One more of what `figure` shows, for as long as this lives.
#[derive(Debug)]
pub struct OneMore(Figure);

impl OneMore {
    /// Counts it.
    pub fn of(figure: &Figure) -> Self {
        figure.inc();
        Self(figure.clone())
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn figures_stand_under_the_name_of_their_keyspace() {
        let metrics = Metrics::new();
        let users = metrics.through.of("users");
        users.fetched("value");
        users.fetched("timeout");
        users.fetched("timeout");
        users.breaker.set(2);
        let waiting = OneMore::of(&users.waiters);
        let shown = |line: &str| {
            let text = metrics.text().unwrap();
            let line = format!("standpipe_read_through_{line}\n");
            assert!(text.contains(&line), "{line}: {text}");
        };
        shown(r#"fetches_total{keyspace="users",result="value"} 1"#);
        shown(r#"fetches_total{keyspace="users",result="timeout"} 2"#);
        shown(r#"breaker{keyspace="users"} 2"#);
        shown(r#"stale_answers_total{keyspace="users"} 0"#);
        shown(r#"waiters{keyspace="users"} 1"#);
        drop(waiting);
        shown(r#"waiters{keyspace="users"} 0"#);
    }
}
