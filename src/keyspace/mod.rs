//! What a keyspace does, in its own words: limits, the default ttl, what a condition means, how durable an answer is.
//! It must not know HTTP: requests arrive here parsed and typed.

mod administration;
mod batch;
mod condition;
mod counter;
mod defined;
mod expiry;
mod listing;
mod pending;
mod values;
mod watching;

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::metrics::StoreMetrics;

pub use crate::engine::{
    Backlog, Begin, CloseError, Compacted, Conditions, Dead, DeadPage, Deletes, Draft, Durability,
    End, Engine, Entry, Event, Eviction, Failure, Filter, Frozen, FrozenRow, Health, Identity,
    Keyed, KeyspaceFacts, KeyspaceSet, MediaType, Opening, Passed, Pending, PendingFailure,
    PendingPage, PendingRow, Place, Policy, Progress, Redriven, TextKind, Told, Total, Version,
    Versions, Watch, Watching, What,
};
pub use administration::{DefinedBy, Described, is_name};
pub use batch::{Action, Atomic, Done, Operation};
pub use condition::Verdict;
pub use counter::{Count, Counted, Counter};
pub use defined::NotDefined;
pub use listing::{Listed, Listing};
pub use pending::Waiting;
pub use values::{Acknowledged, Change, Options, Outcome, Refusal, Stored, Ttl, Value, Values};

/// Every keyspace of this service.
#[derive(Clone, Debug)]
pub struct Keyspaces {
    engine: Engine,
    /// Replaced as a whole while requests run.
    options: Arc<ArcSwap<Options>>,
    /// Held while keyspaces are made, changed or dropped.
    administration: Arc<Mutex<()>>,
    /// The names of those that the configuration file defines.
    defined: Arc<ArcSwap<BTreeSet<String>>>,
    /// Kept, because most requests are for it and it cannot be dropped.
    default: Values,
}

impl Keyspaces {
    /// Puts the rules of `options` over the data of `engine`.
    pub fn new(engine: Engine, options: Options) -> Self {
        let options = Arc::new(ArcSwap::from_pointee(options));
        let entries = engine.default_entries();
        let default = Values::new(engine.clone(), entries, Arc::clone(&options));
        Self {
            engine,
            options,
            administration: Arc::default(),
            defined: Arc::default(),
            default,
        }
    }

    /// Replaces the rules for requests from now on.
    pub fn set_options(&self, options: Options) {
        self.options.store(Arc::new(options));
    }

    /// The values of the keyspace `default`, which always exists.
    pub fn default_values(&self) -> &Values {
        &self.default
    }

    /// The values of the keyspace called `name`.
    pub fn values(&self, name: &str) -> Result<Values, Refusal> {
        let entries = self
            .engine
            .keyspace(name)
            .ok_or_else(|| Refusal::KeyspaceNotFound {
                name: name.to_owned(),
            })?;
        Ok(Values::new(
            self.engine.clone(),
            entries,
            Arc::clone(&self.options),
        ))
    }

    /// Wall time in Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.engine.now_ms()
    }

    /// How the data fares.
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// Resolves with the reason when durability is lost.
    pub async fn lost(&self) -> String {
        self.engine.lost().await
    }

    /// Makes a snapshot of everything now and waits for it.
    pub async fn compact(&self) -> Result<Compacted, Refusal> {
        self.engine.compact().await.map_err(Refusal::from)
    }

    /// Changes how many events, and how many bytes of them, are kept for watchers that come back.
    pub fn set_history(&self, events: usize, bytes: u64) {
        self.engine.set_history(events, bytes);
    }

    /// Writes the current figures into `metrics`.
    pub fn observe(&self, metrics: &StoreMetrics) {
        self.engine.observe(metrics);
    }

    /// Ends all watches; those that are begun later end at once.
    pub fn end_watches(&self) {
        self.engine.end_watches();
    }

    /// Makes everything durable and ends. Blocks.
    pub fn close(&self) -> Result<(), CloseError> {
        self.engine.close()
    }
}
