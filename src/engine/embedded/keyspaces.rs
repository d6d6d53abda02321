//! Keyspaces as a whole, in the engine's words: what there is, created, changed, dropped. What is told of them is on disk.

use std::time::Duration;

use standpipe_store::{KeyspaceError, Level};

use super::{Embedded, entries, pending};
use crate::engine::{
    Durability, Eviction, Failure, KeyspaceFacts, KeyspaceFailure, KeyspaceSet, Policy,
};

impl Embedded {
    pub(in crate::engine) async fn keyspaces(&self) -> Result<Vec<KeyspaceFacts>, Failure> {
        let keyspaces = self.store.keyspaces();
        let facts = keyspaces.iter().map(|keyspace| self.facts(keyspace));
        let facts = facts.collect();
        self.settled().await?;
        Ok(facts)
    }

    pub(in crate::engine) async fn keyspace_facts(
        &self,
        name: &str,
    ) -> Result<Option<KeyspaceFacts>, Failure> {
        let keyspace = self.store.keyspace(name);
        let facts = keyspace.map(|keyspace| self.facts(&keyspace));
        self.settled().await?;
        Ok(facts)
    }

    fn facts(&self, keyspace: &standpipe_store::Keyspace) -> KeyspaceFacts {
        let stats = self.store.keyspace_stats(keyspace);
        KeyspaceFacts {
            name: keyspace.name().to_owned(),
            policy: ours(&keyspace.policy()),
            keys: stats.entries,
            bytes: stats.bytes,
        }
    }

    pub(in crate::engine) async fn set_keyspace(
        &self,
        name: &str,
        policy: &Policy,
        limit: usize,
    ) -> Result<KeyspaceSet, KeyspaceFailure> {
        let set = self.store.set_keyspace(name, &theirs(policy), limit).await;
        let set = set.map_err(|error| failure(name, error))?;
        self.on_disk(set.own.unwrap_or(set.seen)).await?;
        Ok(if set.created {
            KeyspaceSet::Created
        } else {
            KeyspaceSet::Changed
        })
    }

    pub(in crate::engine) async fn drop_keyspace(
        &self,
        name: &str,
    ) -> Result<bool, KeyspaceFailure> {
        let Some(keyspace) = self.store.keyspace(name) else {
            self.settled().await?;
            return Ok(false);
        };
        let own = self.store.drop_keyspace(&keyspace, Level::Durable).await;
        let own = own.map_err(|error| failure(name, error))?;
        // Somebody else was faster where there is no revision: what they did has to be on disk as well.
        self.on_disk(own.unwrap_or_else(|| self.store.last_revision()))
            .await?;
        Ok(own.is_some())
    }

    pub(in crate::engine) async fn settled(&self) -> Result<(), Failure> {
        self.on_disk(self.store.last_revision()).await
    }

    async fn on_disk(&self, revision: u64) -> Result<(), Failure> {
        entries::reached(&self.store, self.read_wait, Durability::Synced, revision).await
    }
}

fn failure(name: &str, error: KeyspaceError) -> KeyspaceFailure {
    let name = name.to_owned();
    match error {
        KeyspaceError::Write(error) => KeyspaceFailure::Failed(error.into()),
        KeyspaceError::DurabilityFixed { stored, asked } => KeyspaceFailure::DurabilityFixed {
            name,
            stored: durability(stored),
            asked: durability(asked),
        },
        KeyspaceError::TooMany { limit } => KeyspaceFailure::TooMany { limit },
        KeyspaceError::SinkPending { pending, dead } => KeyspaceFailure::SinkPending {
            name,
            pending,
            dead,
        },
        KeyspaceError::NotLogged => KeyspaceFailure::NotLogged { name },
    }
}

fn ours(policy: &standpipe_store::Policy) -> Policy {
    Policy {
        durability: durability(policy.durability),
        ttl: policy.ttl_ms.map(Duration::from_millis),
        max_bytes: policy.max_bytes,
        eviction: match policy.eviction {
            standpipe_store::Eviction::Sieve => Eviction::Sieve,
            standpipe_store::Eviction::None => Eviction::None,
        },
        client_max_age: policy.client_max_age_ms.map(Duration::from_millis),
        pending: pending::ours(policy.pending),
    }
}

fn theirs(policy: &Policy) -> standpipe_store::Policy {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    standpipe_store::Policy {
        durability: match policy.durability {
            Durability::Memory => standpipe_store::Durability::Memory,
            Durability::Written => standpipe_store::Durability::Written,
            Durability::Synced => standpipe_store::Durability::Synced,
        },
        ttl_ms: policy.ttl.map(ms),
        max_bytes: policy.max_bytes,
        eviction: match policy.eviction {
            Eviction::Sieve => standpipe_store::Eviction::Sieve,
            Eviction::None => standpipe_store::Eviction::None,
        },
        client_max_age_ms: policy.client_max_age.map(ms),
        pending: pending::theirs(policy.pending),
    }
}

/// A durability of the store as the engine calls it.
pub(super) fn durability(durability: standpipe_store::Durability) -> Durability {
    match durability {
        standpipe_store::Durability::Synced => Durability::Synced,
        standpipe_store::Durability::Written => Durability::Written,
        standpipe_store::Durability::Memory => Durability::Memory,
    }
}
