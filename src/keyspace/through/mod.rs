//! Keyspaces whose absent keys are asked of a source. It must not know HTTP, nor where a source is.

#[expect(
    dead_code,
    reason = "those who begin flights join with the next change"
)]
mod flights;

use std::sync::Arc;

use super::Entry;
use super::role::Changing;
use crate::source::ThroughOptions;
use flights::Flights;

/// How one keyspace reads through: its settings, and what is under way.
#[derive(Debug)]
pub struct Through {
    options: ThroughOptions,
    flights: Arc<Flights>,
}

impl Through {
    /// Reads through as `options` say.
    pub fn new(options: ThroughOptions) -> Self {
        Self {
            options,
            flights: Arc::default(),
        }
    }

    /// What it was told.
    pub fn options(&self) -> &ThroughOptions {
        &self.options
    }

    /// To be awaited before a client's change is made.
    pub(super) async fn overtake(&self, changing: Changing<'_>) {
        self.flights.overtake(changing).await;
    }

    /// Nothing that is fetched from now on, or is being fetched, is stored any more.
    pub async fn retire(&self) {
        self.flights.retire().await;
    }
}

/// What has become of a fetch.
#[expect(
    dead_code,
    reason = "those who begin flights join with the next change"
)]
#[derive(Clone, Debug)]
enum Landing {
    /// A value.
    Value(Entry),
    /// The source has none.
    Absent,
    /// Whoever fetched broke off.
    Lost,
}
