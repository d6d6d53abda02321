//! Many operations in one request: each for itself and waited for once, or all of them or none. It must not know how they
//! are sent or shown.

use std::borrow::Cow;
use std::collections::HashMap;

use super::counter::{Count, Counted, counted};
use super::role::{Changing, Held, Role};
use super::values::{Acknowledged, Outcome, Refusal, Stored, Ttl, Value, Values};
use crate::engine::{self, Conditions, Delete, Draft, Durability, Entry, Put, Unmade, Writer};

/// One operation of a batch.
#[derive(Debug)]
pub struct Operation<'a> {
    /// The key that it is about.
    pub key: Cow<'a, str>,
    /// What is to be done.
    pub action: Action<'a>,
}

/// What is to be done to a key.
#[derive(Debug)]
pub enum Action<'a> {
    /// Sets it.
    Put {
        /// The bytes.
        value: Cow<'a, [u8]>,
        /// What they are.
        media_type: Cow<'a, str>,
        /// How long to keep them.
        ttl: Ttl,
        /// What must hold.
        when: Conditions,
    },
    /// Reads it.
    Get,
    /// Removes it.
    Delete {
        /// What must hold.
        when: Conditions,
    },
    /// Adds to it.
    Increment(Count),
}

/// What an operation of a batch did.
#[derive(Debug)]
pub enum Done {
    /// It set the key.
    Put(Stored),
    /// It read the key; `None` where the key is absent.
    Got(Option<Entry>),
    /// The key is absent now.
    Deleted(Acknowledged),
    /// It added.
    Counted(Counted),
}

/// What an atomic batch came to.
#[derive(Debug)]
pub enum Atomic {
    /// All was done.
    Done(Vec<Done>),
    /// Nothing was.
    Failed {
        /// The operation that could not be done.
        index: usize,
        /// Why.
        why: Refusal,
    },
}

impl Values {
    /// Does one operation after the other, whatever becomes of those before, and waits once until what the answer tells of
    /// is as durable as promised. Where the keyspace reads through, values of about `room` bytes are fetched for it at most.
    pub async fn each(
        &self,
        operations: &[Operation<'_>],
        durability: Option<Durability>,
        room: usize,
    ) -> Result<Vec<Result<Done, Refusal>>, Refusal> {
        match self.role() {
            Role::Plain | Role::Mirrored(_) => self.each_stored(operations, durability).await,
            // Apart, so that what seldom happens takes no room in what mostly does.
            Role::Through(through) => {
                Box::pin(through.each(self, operations, durability, room)).await
            }
        }
    }

    /// The same, of what is stored alone.
    pub(super) async fn each_stored(
        &self,
        operations: &[Operation<'_>],
        durability: Option<Durability>,
    ) -> Result<Vec<Result<Done, Refusal>>, Refusal> {
        let (until, acknowledged) = self.acknowledge(durability)?;
        // What is refused already keeps its place, so that the answers are in order.
        let mut refused = Vec::new();
        let mut possible = Vec::new();
        let mut held = Vec::new();
        let mut over = self.over_gets(operations);
        for operation in operations {
            match self.announced(operation).await {
                Ok((operation, holding)) => {
                    possible.push(operation);
                    held.push(holding);
                    refused.push(None);
                }
                Err(refusal) => refused.push(Some(refusal)),
            }
        }
        let mut done = self.entries.each(possible, until).await?.into_iter();
        let mut answers = Vec::with_capacity(operations.len());
        for (index, (operation, refused)) in operations.iter().zip(refused).enumerate() {
            answers.push(match refused {
                Some(refusal) => Err(refusal),
                None => match done.next() {
                    Some(Ok(done)) => {
                        let done = over.remove(&index).unwrap_or(done);
                        shown(operation, done, acknowledged)
                    }
                    Some(Err(failure)) => Err(failure.into()),
                    None => break,
                },
            });
        }
        Ok(answers)
    }

    /// Does all operations in one step, or none of them. Conditions and reads see what was there before.
    pub async fn atomically(
        &self,
        operations: &[Operation<'_>],
        durability: Option<Durability>,
    ) -> Result<Atomic, Refusal> {
        let (until, acknowledged) = self.acknowledge(durability)?;
        let mut prepared = Vec::with_capacity(operations.len());
        let mut held = Vec::new();
        let mut over = self.over_gets(operations);
        for (index, operation) in operations.iter().enumerate() {
            match self.announced(operation).await {
                Ok((operation, holding)) => {
                    prepared.push(operation);
                    held.push(holding);
                }
                Err(why) => return Ok(Atomic::Failed { index, why }),
            }
        }
        match self.entries.batch(prepared, until).await? {
            engine::Batch::Done(done) => {
                let mut shown_all = Vec::with_capacity(done.len());
                for (index, (operation, done)) in operations.iter().zip(done).enumerate() {
                    let done = over.remove(&index).unwrap_or(done);
                    match shown(operation, done, acknowledged) {
                        Ok(done) => shown_all.push(done),
                        Err(why) => return Ok(Atomic::Failed { index, why }),
                    }
                }
                Ok(Atomic::Done(shown_all))
            }
            engine::Batch::Failed { index, why } => Ok(Atomic::Failed {
                index,
                why: refusal(operations.get(index), why),
            }),
        }
    }

    /// An operation as the engine is told it, after everybody who has to know of it.
    async fn announced<'o>(
        &self,
        operation: &'o Operation<'_>,
    ) -> Result<(engine::Operation<'o>, Option<Held>), Refusal> {
        let prepared = self.prepared(operation)?;
        if matches!(operation.action, Action::Get) {
            return Ok((prepared, None));
        }
        let held = self.before(Changing::Key(operation.key.as_bytes())).await?;
        Ok((prepared, Some(held)))
    }

    /// Of the reads among the operations, by their places, what they come to where that is not stored.
    fn over_gets(&self, operations: &[Operation<'_>]) -> HashMap<usize, engine::Done> {
        let mut over = HashMap::new();
        for (index, operation) in operations.iter().enumerate() {
            if matches!(operation.action, Action::Get)
                && let Some(laid) = self.over(operation.key.as_bytes())
            {
                over.insert(index, engine::Done::Got(laid.into_entry()));
            }
        }
        over
    }

    fn prepared<'o>(&self, operation: &'o Operation<'_>) -> Result<engine::Operation<'o>, Refusal> {
        let key = operation.key.as_bytes();
        self.check_key(key)?;
        Ok(match &operation.action {
            Action::Put {
                value,
                media_type,
                ttl,
                when,
            } => engine::Operation::Put {
                draft: self.filled(key, value, media_type, *ttl)?,
                when,
            },
            Action::Get => engine::Operation::Get { key },
            Action::Delete { when } => engine::Operation::Delete {
                key,
                when,
                by: Writer::Client,
            },
            Action::Increment(count) => engine::Operation::Increment {
                key,
                increment: self.increment(count),
            },
        })
    }

    fn filled(
        &self,
        key: &[u8],
        bytes: &[u8],
        media_type: &str,
        ttl: Ttl,
    ) -> Result<Draft, Refusal> {
        let value = Value {
            key,
            media_type,
            content_encoding: None,
            ttl,
        };
        let mut draft = self.draft(&value, bytes.len())?;
        draft.write(0, bytes);
        Ok(draft)
    }
}

fn shown(
    operation: &Operation<'_>,
    done: engine::Done,
    acknowledged: Acknowledged,
) -> Result<Done, Refusal> {
    let stored = |version, outcome| {
        Done::Put(Stored {
            version,
            outcome,
            acknowledged,
        })
    };
    match done {
        engine::Done::Put(Put::Created(version)) => Ok(stored(version, Outcome::Created)),
        engine::Done::Put(Put::Replaced(version)) => Ok(stored(version, Outcome::Replaced)),
        engine::Done::Put(Put::Refused(current))
        | engine::Done::Deleted(Delete::Refused(current)) => {
            Err(Refusal::ConditionFailed { current })
        }
        engine::Done::Put(Put::Foreign(holder))
        | engine::Done::Deleted(Delete::Foreign(holder)) => Err(holder.into()),
        engine::Done::Got(entry) => Ok(Done::Got(entry)),
        engine::Done::Deleted(Delete::Removed | Delete::Absent) => Ok(Done::Deleted(acknowledged)),
        engine::Done::Incremented(incremented) => {
            counted(incremented, &count_of(operation), acknowledged).map(Done::Counted)
        }
    }
}

fn refusal(operation: Option<&Operation<'_>>, why: Unmade) -> Refusal {
    match why {
        Unmade::Refused(current) => Refusal::ConditionFailed { current },
        Unmade::NotACounter => Refusal::NotACounter,
        Unmade::Repeated => Refusal::KeyRepeated,
        Unmade::Foreign(holder) => holder.into(),
        Unmade::PendingOutOfRange { pending } => Refusal::PendingOutOfRange {
            pending,
            by: operation.map(count_of).unwrap_or_default().by,
        },
        Unmade::OutOfRange { current } => {
            super::counter::out_of_range(current, &operation.map(count_of).unwrap_or_default())
        }
    }
}

fn count_of(operation: &Operation<'_>) -> Count {
    match &operation.action {
        Action::Increment(count) => *count,
        Action::Put { .. } | Action::Get | Action::Delete { .. } => Count::default(),
    }
}
