//! What becomes of what a source says: it is stored over what was met when its fetch began, unless a client has changed the
//! key since. It must not know how it was fetched.

use std::time::{Duration, Instant};

use super::flights::{Leader, Overtaken};
use super::{Landing, Through};
use crate::engine::{
    Conditions, Delete, Entry, Facts, Lifetime, MediaType, Put, Version, Versions, Writer,
};
use crate::keyspace::values::{Refusal, Values};
use crate::source::{self, Value};

impl Through {
    /// A value came. It is answered even where it cannot be stored: the disk may be full, or it may be larger than the keyspace
    /// takes.
    pub(super) async fn keep(
        &self,
        values: &Values,
        leader: &Leader,
        met: Option<Version>,
        value: Value,
    ) -> Landing {
        let now_ms = values.engine.now_ms();
        let lifetime = self.lifetime(values, value.lifetime, now_ms);
        let facts = Facts {
            media_type: MediaType::choose(value.media_type.as_deref(), &value.bytes),
            content_encoding: value.content_encoding.as_deref(),
            lifetime: lifetime.unwrap_or_default(),
            writer: Writer::Client,
        };
        let stored = match lifetime {
            None => None,
            Some(_) => self.store(values, leader, met, &value.bytes, &facts).await,
        };
        let entry = Entry {
            version: stored.unwrap_or_else(|| values.entries.unstored_version()),
            media_type: MediaType::named(facts.media_type),
            content_encoding: facts.content_encoding.map(Into::into),
            created_at_ms: now_ms,
            expires_at_ms: facts.lifetime.expires_at_ms,
            stale_at_ms: facts.lifetime.stale_at_ms,
            owner: None,
            value: value.bytes,
        };
        Landing::Value {
            entry,
            stored: stored.is_some(),
        }
    }

    /// Until when a value is fresh and until when it is there, from `now_ms` on; `None` where it is not to be stored at all.
    fn lifetime(&self, values: &Values, said: source::Lifetime, now_ms: u64) -> Option<Lifetime> {
        let said = if self.options.honour_source {
            said
        } else {
            source::Lifetime::Unsaid
        };
        let ttl = match said {
            source::Lifetime::Unsaid => values.entries.default_ttl(),
            source::Lifetime::For(ttl) => Some(ttl),
            source::Lifetime::NotToBeKept => return None,
        };
        let lifetime = ttl.map_or_else(Lifetime::default, |ttl| self.lasting(ttl, now_ms));
        (lifetime.expires_at_ms != Some(now_ms)).then_some(lifetime)
    }

    /// Fresh for `ttl` from `now_ms` on, and there for as long as it may be answered after that.
    pub(in crate::keyspace) fn lasting(&self, ttl: Duration, now_ms: u64) -> Lifetime {
        let after = |time: Duration| {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            Some(now_ms.saturating_add(millis))
        };
        Lifetime {
            stale_at_ms: after(ttl),
            expires_at_ms: after(ttl.saturating_add(self.grace())),
        }
    }

    /// Stores `bytes`, unless a client has been faster; their version where it did.
    async fn store(
        &self,
        values: &Values,
        leader: &Leader,
        met: Option<Version>,
        bytes: &[u8],
        facts: &Facts<'_>,
    ) -> Option<Version> {
        let overtaken = leader.overtaken().await;
        if *overtaken == Overtaken::Yes {
            return None;
        }
        let key = leader.key();
        let mut stored = put(values, key, met, bytes, facts).await;
        if met.is_some() && matches!(stored, Ok(Put::Refused(None))) {
            // No client took it away: its time was over, or others needed its room.
            stored = put(values, key, None, bytes, facts).await;
        }
        drop(overtaken);
        match stored {
            Ok(Put::Created(version) | Put::Replaced(version)) => Some(version),
            Ok(Put::Refused(_) | Put::Foreign(_)) => None,
            Err(error) => {
                tracing::debug!(
                    keyspace = self.keyspace,
                    key,
                    %error,
                    "what was fetched is answered and not stored"
                );
                None
            }
        }
    }

    /// There is no such value. What is stored goes, unless a client has put it there since.
    pub(super) async fn forget(
        &self,
        values: &Values,
        leader: &Leader,
        met: Option<Version>,
    ) -> Landing {
        let overtaken = leader.overtaken().await;
        if *overtaken == Overtaken::Yes {
            return Landing::Absent;
        }
        if met.is_some() {
            let (entries, key) = (&values.entries, leader.key());
            let when = only_over(met);
            let until = entries.durability();
            let deleted = entries.delete(key.as_bytes(), &when, Writer::Client, until);
            match deleted.await {
                Ok(Delete::Removed | Delete::Absent | Delete::Refused(None)) => {}
                Ok(Delete::Refused(Some(_)) | Delete::Foreign(_)) => return Landing::Absent,
                Err(error) => {
                    tracing::debug!(
                        keyspace = self.keyspace,
                        key,
                        %error,
                        "what its source has no longer is still stored"
                    );
                    return Landing::Absent;
                }
            }
        }
        if let Some(negatives) = &self.negatives {
            let now = Instant::now();
            negatives.lock().remember(leader.key(), now);
        }
        drop(overtaken);
        Landing::Absent
    }
}

async fn put(
    values: &Values,
    key: &str,
    met: Option<Version>,
    bytes: &[u8],
    facts: &Facts<'_>,
) -> Result<Put, Refusal> {
    values.check_value_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    let entries = &values.entries;
    let mut draft = entries.draft(key.as_bytes(), bytes.len(), facts)?;
    draft.write(0, bytes);
    let until = entries.durability();
    Ok(entries.put(draft, &only_over(met), until).await?)
}

/// Only where the key stands as it was met.
fn only_over(met: Option<Version>) -> Conditions {
    match met {
        Some(version) => Conditions {
            if_match: Some(Versions::OneOf(vec![version])),
            if_none_match: None,
        },
        None => Conditions {
            if_match: None,
            if_none_match: Some(Versions::Any),
        },
    }
}
