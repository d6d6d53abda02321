//! What sources write: entries that carry the name of their source, which no client changes. It must not know where their
//! values come from.

use super::role::Changing;
use super::values::{Acknowledged, Outcome};
use super::{Keyspaces, Refusal, Stored, Value, Values};
use crate::engine::{Conditions, Delete, Durability, Facts, Lifetime, Owned, Put, Writer};

impl Values {
    /// Sets a key for the source `name`, as durably as the keyspace promises: one that is absent, or its own.
    pub async fn put_for_source(
        &self,
        name: &str,
        value: &Value<'_>,
        bytes: &[u8],
    ) -> Result<Stored, Refusal> {
        self.check_key(value.key)?;
        self.check_value_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        let facts = Facts {
            media_type: value.media_type,
            content_encoding: value.content_encoding,
            lifetime: Lifetime::until(self.expiry(value.ttl)),
            writer: Writer::Source(name),
        };
        let mut draft = self.entries.draft(value.key, bytes.len(), &facts)?;
        draft.write(0, bytes);
        // Where the keyspace has come to follow somebody else meanwhile, nobody else writes.
        let _held = self.before(Changing::Key(value.key)).await?;
        let (when, until) = (Conditions::default(), self.entries.durability());
        let (version, outcome) = match self.entries.put(draft, &when, until).await? {
            Put::Created(version) => (version, Outcome::Created),
            Put::Replaced(version) => (version, Outcome::Replaced),
            Put::Refused(current) => return Err(Refusal::ConditionFailed { current }),
            Put::Foreign(holder) => return Err(holder.into()),
        };
        Ok(Stored {
            version,
            outcome,
            acknowledged: Acknowledged::AsPromised,
        })
    }

    /// Removes a key that the source `name` wrote. What others wrote stays, and that is no failure. It is not waited for the
    /// disk: whoever finds the key again after a crash has it removed again.
    pub async fn delete_for_source(&self, name: &str, key: &[u8]) -> Result<(), Refusal> {
        let when = Conditions::default();
        let until = self.entries.durability().min(Durability::Written);
        let deleted = self.entries.delete(key, &when, Writer::Source(name), until);
        match deleted.await? {
            Delete::Removed | Delete::Absent | Delete::Foreign(_) => Ok(()),
            Delete::Refused(current) => Err(Refusal::ConditionFailed { current }),
        }
    }

    /// Every key that a source wrote, in no order.
    pub async fn owned(&self) -> Result<Vec<Owned>, Refusal> {
        Ok(self.entries.owned().await?)
    }
}

impl Keyspaces {
    /// The names of all keyspaces, in their order.
    pub async fn names(&self) -> Result<Vec<String>, Refusal> {
        let all = self.engine.keyspaces().await?;
        Ok(all.into_iter().map(|facts| facts.name).collect())
    }
}
