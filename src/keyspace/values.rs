//! The values of one keyspace: limits, expiry and durability decided, then handed to the engine.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::news::Teller;
use super::role::{Changing, Role, Roles};
use super::through::{Accepts, Read, SourceFailure};
use crate::engine::{
    Conditions, Delete, Draft, Durability, Engine, Entries, Entry, Facts, Failure, Holder,
    Lifetime, Put, Version, Writer,
};

/// The rules of a keyspace.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The longest key, in bytes.
    pub key_bytes: usize,
    /// The largest value, in bytes.
    pub value_bytes: usize,
    /// The most keyspaces that there may be.
    pub keyspaces: usize,
}

/// How long a value is to be kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ttl {
    /// As the keyspace does by default. Never what an earlier value of the key had.
    #[default]
    Unspecified,
    /// For ever, in spite of a default.
    Forever,
    /// That long from now.
    After(Duration),
}

/// A value that is about to be written, without its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// The media type.
    pub media_type: &'a str,
    /// The content encoding, where one was given.
    pub content_encoding: Option<&'a str>,
    /// How long to keep it.
    pub ttl: Ttl,
}

/// What a change asks for beside the change itself.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What must hold.
    pub when: Conditions,
    /// How durable the answer should be, where that differs from the keyspace's promise.
    pub durability: Option<Durability>,
}

/// Whether an answer keeps the keyspace's promise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Acknowledged {
    /// It does, or does more.
    AsPromised,
    /// The request asked for less than the keyspace promises.
    Below,
}

/// A value that was stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Its new version.
    pub version: Version,
    /// Whether there was no value before.
    pub outcome: Outcome,
    /// How durable it is.
    pub acknowledged: Acknowledged,
}

/// What a put did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// There was no value before.
    Created,
    /// There was one.
    Replaced,
}

/// Why an operation was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The key is longer than it may be.
    #[error("the key has {actual} bytes, the limit is {limit}")]
    KeyTooLong {
        /// Bytes that it may have.
        limit: usize,
        /// Bytes that it has.
        actual: usize,
    },
    /// The value is larger than it may be.
    #[error("the value has {actual} bytes or more, the limit is {limit}")]
    ValueTooLarge {
        /// Bytes that it may have.
        limit: usize,
        /// Bytes that it has at least.
        actual: u64,
    },
    /// A condition did not hold; nothing was changed.
    #[error("the condition does not hold")]
    ConditionFailed {
        /// The version that is there instead.
        current: Option<Version>,
    },
    /// The sum of a counter and what was to be added does not fit or lies outside the bounds; nothing was changed.
    #[error("the counter is {current}, and adding {by} would leave the range from {min} to {max}")]
    CounterOutOfRange {
        /// The number that is there, or that it would have started from.
        current: i64,
        /// What was to be added.
        by: i64,
        /// The least that may come out.
        min: i64,
        /// The most that may come out.
        max: i64,
    },
    /// The value is no number in decimal, or no plain text; nothing was changed.
    #[error("the value is no counter: that is a whole number of 64 bits in decimal, as text/plain")]
    NotACounter,
    /// A scheduled source wrote the value, and it alone changes it; nothing was changed.
    #[error("the source {source:?} wrote this key, and it alone changes it")]
    ManagedBySource {
        /// Its name; spelt so that it is not taken for the cause of an error.
        r#source: Arc<str>,
    },
    /// A source would write over what a client wrote; nothing was changed. No client is ever refused so.
    #[error("a client wrote this key, so no source writes there")]
    KeyTaken,
    /// The sum of a counter's increments that wait to be passed on by a sink does not fit into 64 bits; nothing was changed.
    #[error(
        "increments of {pending} wait to be passed on by the sink, and adding {by} would leave the range of 64 bits"
    )]
    PendingOutOfRange {
        /// The sum that waits.
        pending: i64,
        /// What was to be added.
        by: i64,
    },
    /// What is pending for a sink, or could not be passed on, would get lost; nothing was changed.
    #[error("{name:?}: {pending} keys wait to be passed on by its sink, and {dead} could not be")]
    SinkPending {
        /// The keyspace.
        name: String,
        /// Keys that are pending; one that is in two generations counts twice.
        pending: u64,
        /// Keys that could not be passed on.
        dead: u64,
    },
    /// A keyspace in memory keeps nothing for a sink; nothing was changed.
    #[error("{name:?} is in memory, so it can have no sink")]
    SinkNeedsLog {
        /// The keyspace.
        name: String,
    },
    /// The keyspace follows somebody else, and clients only read it; nothing was changed.
    #[error("{name:?} follows somebody else, and is only read here")]
    ReadOnly {
        /// Its name.
        name: String,
    },
    /// An atomic batch names a key twice; nothing was changed.
    #[error("the batch names the key twice")]
    KeyRepeated,
    /// The keyspace does not offer the durability that was asked for.
    #[error("the keyspace is {promised:?} and does not offer {asked:?}")]
    DurabilityUnavailable {
        /// What it offers.
        promised: Durability,
        /// What was asked for.
        asked: Durability,
    },
    /// There is no such keyspace.
    #[error("there is no keyspace {name:?}")]
    KeyspaceNotFound {
        /// The name that was asked for.
        name: String,
    },
    /// No keyspace may be called so.
    #[error("{name:?} is no name for a keyspace: that is 1 to 64 of a-z 0-9 _ -")]
    NoName {
        /// The name that was asked for.
        name: String,
    },
    /// The keyspace is the file's to change.
    #[error("the configuration file defines {name:?}: change it there")]
    DefinedByFile {
        /// Its name.
        name: String,
    },
    /// The keyspace `default` always exists.
    #[error("default always exists: it can be emptied, not dropped")]
    KeyspaceProtected,
    /// To or from memory only while the keyspace is empty.
    #[error("{name:?} is {stored} and holds values: it can become {asked} only while it is empty")]
    DurabilityFixed {
        /// Its name.
        name: String,
        /// What it is.
        stored: Durability,
        /// What was asked for.
        asked: Durability,
    },
    /// There are as many keyspaces as there may be.
    #[error("there are {limit} keyspaces already, which is the limit")]
    TooManyKeyspaces {
        /// How many there may be.
        limit: usize,
    },
    /// A watch cannot go on from there.
    #[error("the events behind that one are not kept any more, or it was never one of this store")]
    Compacted,
    /// The source of the keyspace has no value to give now.
    #[error(transparent)]
    Source(#[from] SourceFailure),
    /// What was fetched for a batch has used up the room of its answer.
    #[error("the value does not fit into this answer any more: read it by itself")]
    AnswerFull {
        /// How many bytes the values in it may take.
        limit: usize,
    },
    /// The engine did not answer.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<Holder> for Refusal {
    fn from(holder: Holder) -> Self {
        match holder {
            Holder::Client => Self::KeyTaken,
            Holder::Source(source) => Self::ManagedBySource { source },
        }
    }
}

/// The values of one keyspace.
#[derive(Clone, Debug)]
pub struct Values {
    pub(super) engine: Engine,
    pub(super) entries: Entries,
    options: Arc<ArcSwap<Options>>,
    pub(super) roles: Arc<Roles>,
    news: Teller,
}

impl Values {
    pub(super) fn new(
        engine: Engine,
        entries: Entries,
        options: Arc<ArcSwap<Options>>,
        roles: Arc<Roles>,
        news: Teller,
    ) -> Self {
        Self {
            engine,
            entries,
            options,
            roles,
            news,
        }
    }

    /// The entry of `key`, if there is one that has not expired.
    #[inline]
    pub async fn find(&self, key: &[u8]) -> Result<Option<Entry>, Refusal> {
        self.check_key(key)?;
        if let Some(over) = self.over(key) {
            return Ok(over.into_entry());
        }
        Ok(self.entries.find(key).await?)
    }

    /// The entry of `key`, from wherever this keyspace has its values. What the reader accepts is asked only where there is a
    /// choice.
    #[inline]
    pub async fn read(
        &self,
        key: &str,
        accepts: impl FnOnce() -> Accepts,
    ) -> Result<Read, Refusal> {
        match self.role() {
            Role::Plain | Role::Mirrored(_) => Ok(Read {
                entry: self.find(key.as_bytes()).await?,
                served: None,
            }),
            // Apart, so that what seldom happens takes no room in what mostly does.
            Role::Through(through) => {
                self.check_key(key.as_bytes())?;
                let accepts = accepts();
                Box::pin(through.read(self, key, accepts)).await
            }
        }
    }

    /// How long ago `entry` was written.
    pub fn age(&self, entry: &Entry) -> Duration {
        Duration::from_millis(self.engine.now_ms().saturating_sub(entry.created_at_ms))
    }

    /// How long a client may keep `entry` without asking again: as the policy says, and never longer than it stays.
    #[inline]
    pub fn max_age(&self, entry: &Entry) -> Option<Duration> {
        let allowed = self.entries.client_max_age()?;
        let at = entry.stale_at_ms.or(entry.expires_at_ms);
        let left = at.map(|at| Duration::from_millis(at.saturating_sub(self.engine.now_ms())));
        Some(left.map_or(allowed, |left| allowed.min(left)))
    }

    /// How long `entry` stays, in milliseconds; `None` where it does for ever.
    pub fn ttl_left_ms(&self, entry: &Entry) -> Option<u64> {
        let at = entry.expires_at_ms?;
        Some(at.saturating_sub(self.engine.now_ms()))
    }

    /// Room for the `len` bytes of `value`, to be filled and then given to [`Values::put`].
    pub fn draft(&self, value: &Value<'_>, len: usize) -> Result<Draft, Refusal> {
        self.check_key(value.key)?;
        self.check_value_len(u64::try_from(len).unwrap_or(u64::MAX))?;
        let facts = Facts {
            media_type: value.media_type,
            content_encoding: value.content_encoding,
            lifetime: self.lifetime(value.ttl),
            writer: Writer::Client,
        };
        Ok(self.entries.draft(value.key, len, &facts)?)
    }

    /// Until when a value is there and fresh that is to be kept for `ttl` from now. Where values come from a source, one that is
    /// kept as by default is one of those: its time is over before it leaves.
    fn lifetime(&self, ttl: Ttl) -> Lifetime {
        if ttl == Ttl::Unspecified
            && let Some(ttl) = self.entries.default_ttl()
            && let Role::Through(through) = self.role()
        {
            return through.lasting(ttl, self.engine.now_ms());
        }
        Lifetime::until(self.expiry(ttl))
    }

    /// When an entry leaves that is to be kept for `ttl` from now.
    pub(super) fn expiry(&self, ttl: Ttl) -> Option<u64> {
        let ttl = match ttl {
            Ttl::Unspecified => self.entries.default_ttl()?,
            Ttl::Forever => return None,
            Ttl::After(ttl) => ttl,
        };
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Some(self.engine.now_ms().saturating_add(ttl_ms))
    }

    /// Sets the key of `draft`.
    pub async fn put(&self, draft: Draft, change: &Change) -> Result<Stored, Refusal> {
        let _held = self.before(Changing::Key(draft.key())).await?;
        let (until, acknowledged) = self.acknowledge(change.durability)?;
        let (version, outcome) = match self.entries.put(draft, &change.when, until).await? {
            Put::Created(version) => (version, Outcome::Created),
            Put::Replaced(version) => (version, Outcome::Replaced),
            Put::Refused(current) => return Err(Refusal::ConditionFailed { current }),
            Put::Foreign(holder) => return Err(holder.into()),
        };
        Ok(Stored {
            version,
            outcome,
            acknowledged,
        })
    }

    /// Removes `key`. That it was not there is no failure, unless a condition asked for it.
    pub async fn delete(&self, key: &[u8], change: &Change) -> Result<Acknowledged, Refusal> {
        self.check_key(key)?;
        let (until, acknowledged) = self.acknowledge(change.durability)?;
        let _held = self.before(Changing::Key(key)).await?;
        let deleted = self
            .entries
            .delete(key, &change.when, Writer::Client, until);
        match deleted.await? {
            Delete::Removed | Delete::Absent => Ok(acknowledged),
            Delete::Refused(current) => Err(Refusal::ConditionFailed { current }),
            Delete::Foreign(holder) => Err(holder.into()),
        }
    }

    /// Removes every key that begins with `prefix` and says how many there were. In steps: others go on between them.
    pub async fn delete_prefix(
        &self,
        prefix: &str,
        durability: Option<Durability>,
    ) -> Result<u64, Refusal> {
        let (until, _) = self.acknowledge(durability)?;
        let _held = self.before(Changing::Prefix(prefix.as_bytes())).await?;
        Ok(self.entries.delete_prefix(prefix.as_bytes(), until).await?)
    }

    /// How many keys begin with `prefix`.
    pub async fn count_prefix(&self, prefix: &str) -> Result<u64, Refusal> {
        Ok(self.entries.count_prefix(prefix.as_bytes()).await?)
    }

    /// Removes everything and says how many entries there were.
    pub async fn flush(&self, durability: Option<Durability>) -> Result<u64, Refusal> {
        let (until, _) = self.acknowledge(durability)?;
        let _held = self.before(Changing::All).await?;
        let _telling = self.news.tells_at_the_end(self.entries.name());
        Ok(self.entries.flush(until).await?)
    }

    /// Refuses a key that is too long.
    pub fn check_key(&self, key: &[u8]) -> Result<(), Refusal> {
        let (limit, actual) = (self.options.load().key_bytes, key.len());
        if actual > limit {
            Err(Refusal::KeyTooLong { limit, actual })
        } else {
            Ok(())
        }
    }

    /// Refuses a value that has, or announces, too many bytes.
    pub fn check_value_len(&self, actual: u64) -> Result<(), Refusal> {
        let limit = self.options.load().value_bytes;
        if usize::try_from(actual).is_ok_and(|len| len <= limit) {
            Ok(())
        } else {
            Err(Refusal::ValueTooLarge { limit, actual })
        }
    }

    /// How far a change has to come before it is answered, and whether that is less than was promised. A logged keyspace
    /// offers both ways of being logged; one in memory offers nothing else.
    pub(super) fn acknowledge(
        &self,
        asked: Option<Durability>,
    ) -> Result<(Durability, Acknowledged), Refusal> {
        let promised = self.entries.durability();
        let until = asked.unwrap_or(promised);
        if (until == Durability::Memory) != (promised == Durability::Memory) {
            return Err(Refusal::DurabilityUnavailable {
                promised,
                asked: until,
            });
        }
        let acknowledged = if until < promised {
            Acknowledged::Below
        } else {
            Acknowledged::AsPromised
        };
        Ok((until, acknowledged))
    }
}
