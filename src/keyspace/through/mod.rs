//! Keyspaces whose absent keys are asked of a source: what is stored is answered, what is not is fetched once, however many
//! ask for it. It must not know HTTP, nor where a source is.

mod batch;
mod breaker;
mod fetching;
mod flights;
mod keeping;
mod negatives;
mod reading;
mod served;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::role::Changing;
use crate::engine::Entry;
use crate::metrics::ThroughFigures;
use crate::source::{Source, Sources, ThroughOptions};
use breaker::Breaker;
use flights::Flights;
use negatives::Negatives;
use turns::Turns;

pub use served::{Accepts, Forwarded, Read, Served, SourceFailure, Stale};

/// How one keyspace reads through: its settings, and what is under way.
#[derive(Debug)]
pub struct Through {
    /// The keyspace's name.
    keyspace: String,
    options: ThroughOptions,
    sources: Sources,
    source: Source,
    flights: Arc<Flights>,
    turns: Turns,
    breaker: Option<Breaker>,
    /// `None` where absences are not remembered.
    negatives: Option<Mutex<Negatives>>,
    /// Whether the last fetch failed: only a change of that is worth a line in the log.
    failing: AtomicBool,
    /// Before this time nothing is fetched that nobody waits for.
    rests_until: Mutex<Option<Instant>>,
    /// Whether everything that is under way is to end.
    ended: watch::Sender<bool>,
    figures: ThroughFigures,
}

impl Through {
    /// Lets the keyspace called `keyspace` read through as `options` say.
    pub fn new(
        keyspace: &str,
        options: ThroughOptions,
        sources: Sources,
        figures: ThroughFigures,
    ) -> Self {
        let breaker = options
            .breaker
            .map(|options| Breaker::new(options, figures.breaker.clone()));
        let negatives = options
            .negative_ttl
            .map(|ttl| Mutex::new(Negatives::new(ttl, options.negative_keys)));
        Self {
            keyspace: keyspace.to_owned(),
            source: sources.through(&options),
            turns: Turns::new(options.max_concurrency, options.rate_limit),
            breaker,
            negatives,
            sources,
            options,
            flights: Arc::default(),
            failing: AtomicBool::new(false),
            rests_until: Mutex::new(None),
            ended: watch::Sender::new(false),
            figures,
        }
    }

    /// What it was told.
    pub fn options(&self) -> &ThroughOptions {
        &self.options
    }

    /// How long a value is kept whose time is over.
    pub(super) fn grace(&self) -> Duration {
        let graces = [
            self.options.stale_while_revalidate,
            self.options.stale_if_error,
        ];
        graces.into_iter().flatten().max().unwrap_or_default()
    }

    /// To be awaited before a client's change is made.
    pub(super) async fn overtake(&self, changing: Changing<'_>) {
        self.flights.overtake(changing).await;
        if let Some(negatives) = &self.negatives {
            negatives.lock().forget(changing);
        }
    }

    /// Nothing that is fetched from now on, or is being fetched, is stored any more.
    pub async fn retire(&self) {
        self.flights.retire().await;
    }

    /// Breaks off everything that is under way.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// What has become of a fetch.
#[derive(Clone, Debug)]
enum Landing {
    /// The source had this value.
    Value {
        /// As it is answered, stored or not.
        entry: Entry,
        /// Whether it is stored.
        stored: bool,
    },
    /// Somebody had stored this value before the fetch was made.
    Found(Entry),
    /// The source has none.
    Absent,
    /// Somebody had learnt that before the fetch was made.
    FoundAbsent,
    /// There is none to be had.
    Failed(SourceFailure),
    /// Whoever fetched broke off.
    Lost,
}
