//! What a keyspace does, in its own words: limits, the default ttl, what a condition means, how durable an answer is.
//! It must not know HTTP: requests arrive here parsed and typed.

mod administration;
mod batch;
mod condition;
mod counter;
mod defined;
mod expiry;
mod listing;
mod mirrored;
mod news;
mod pending;
mod role;
mod sources;
mod through;
mod values;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::metrics::StoreMetrics;

pub use crate::engine::{
    Backlog, Begin, CloseError, Compacted, Conditions, Dead, DeadPage, Deletes, Draft, Durability,
    End, Engine, Entry, Event, Eviction, Failure, Filter, Frozen, FrozenRow, Health, Identity,
    Keyed, KeyspaceFacts, KeyspaceSet, MediaType, Opening, Owned, Passed, Pending, PendingFailure,
    PendingPage, PendingRow, Place, Policy, Progress, Redriven, TextKind, Told, Total, Version,
    Versions, Watching, What,
};
pub use administration::{DefinedBy, Described, is_name};
pub use batch::{Action, Atomic, Done, Operation};
pub use condition::Verdict;
pub use counter::{Count, Counted, Counter};
pub use defined::NotDefined;
pub use listing::{Listed, Listing};
pub use mirrored::{
    Contact, Content, Fares, Feed, Freshness, Mirrored, Received, Remarkable, Untaken, Watch, Whom,
    Why,
};
pub use news::News;
pub use pending::Waiting;
pub use role::Role;
pub use through::{Accepts, Forwarded, Read, Served, SourceFailure, Stale, Through};
pub use values::{Acknowledged, Change, Options, Outcome, Refusal, Stored, Ttl, Value, Values};

use news::Teller;
use role::Roles;

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
    /// What keyspaces do beside keeping values. Replaced as a whole while requests run.
    roles: Arc<Roles>,
    /// Who wants to know of what happens to keyspaces as a whole.
    news: Teller,
    /// Kept, because most requests are for it and it cannot be dropped.
    default: Values,
}

impl Keyspaces {
    /// Puts the rules of `options` over the data of `engine`.
    pub fn new(engine: Engine, options: Options) -> Self {
        let options = Arc::new(ArcSwap::from_pointee(options));
        let entries = engine.default_entries();
        let roles = Arc::<Roles>::default();
        let news = Teller::default();
        let default = Values::new(
            engine.clone(),
            entries,
            Arc::clone(&options),
            Arc::clone(&roles),
            news.clone(),
        );
        Self {
            engine,
            options,
            administration: Arc::default(),
            defined: Arc::default(),
            roles,
            news,
            default,
        }
    }

    /// Replaces the rules for requests from now on.
    pub fn set_options(&self, options: Options) {
        self.options.store(Arc::new(options));
    }

    /// Replaces what keyspaces do beside keeping values, by their names: for requests from now on, the others keep values and
    /// nothing else.
    pub async fn set_roles(&self, roles: BTreeMap<String, Role>) {
        self.roles.set(roles).await;
    }

    /// The right to write into the keyspace `name`, which follows somebody else; an earlier one is worth nothing from then on.
    /// What cannot be stored takes at most `unstored_bytes` of memory.
    pub async fn feed(&self, name: &str, unstored_bytes: usize) -> Result<Feed, Refusal> {
        let values = self.values(name)?;
        let Role::Mirrored(mirrored) = self.role(name) else {
            return Err(Refusal::KeyspaceNotFound {
                name: name.to_owned(),
            });
        };
        Ok(Feed::open(values, mirrored, unstored_bytes).await)
    }

    /// What the keyspace called `name` does beside keeping values.
    pub fn role(&self, name: &str) -> Role {
        self.roles.of(name)
    }

    /// Breaks off everything that is being fetched: whoever waits for it is told so.
    pub fn end_fetches(&self) {
        self.roles.end_fetches();
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
            Arc::clone(&self.roles),
            self.news.clone(),
        ))
    }

    /// Hears from now on of what happens to keyspaces as a whole.
    pub fn news(&self) -> News {
        self.news.listen()
    }

    /// Wall time in Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.engine.now_ms()
    }

    /// What the machine's clock shows, in Unix milliseconds; it can be set, forward and back.
    pub fn wall_ms(&self) -> u64 {
        self.engine.wall_ms()
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
