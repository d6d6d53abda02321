//! Batches over the durable map: one operation after the other and one wait, or all of them as one change. It must not know
//! limits, defaults or HTTP.

use std::collections::HashSet;

use standpipe_store::{Batched, Deleted, Failed, Putted, Read};

use super::entries::{Entries, asked};
use super::words::{
    Named, counted, our_holder, ours, removed, shown, stored, their_writer, theirs,
};
use crate::engine::{Batch, Conditions, Done, Durability, Failure, Incremented, Operation, Unmade};

/// What the answers to a batch rest on.
#[derive(Default)]
struct Rests {
    /// The changes that the batch made.
    own: HashSet<u64>,
    /// The newest of them.
    newest: Option<u64>,
    /// The newest change of somebody else that it met.
    seen: u64,
}

impl Rests {
    fn note(&mut self, seen: u64, own: Option<u64>) {
        // An operation that meets what an earlier one of the same batch did meets nobody else's change.
        if !self.own.contains(&seen) {
            self.seen = self.seen.max(seen);
        }
        if let Some(own) = own {
            self.own.insert(own);
            self.newest = self.newest.max(Some(own));
        }
    }
}

impl Entries {
    pub(crate) async fn each(
        &self,
        operations: Vec<Operation<'_>>,
        until: Durability,
    ) -> Result<Vec<Result<Done, Failure>>, Failure> {
        let mut rests = Rests::default();
        let mut hopeless = None;
        let mut answers = Vec::with_capacity(operations.len());
        for operation in operations {
            let reads = matches!(operation, Operation::Get { .. });
            let answer = match &hopeless {
                Some(failure) if !reads => Err(Failure::clone(failure)),
                _ => self.one(operation, until, &mut rests).await,
            };
            if let Err(failure @ (Failure::Overloaded { .. } | Failure::Closing)) = &answer {
                // Each change would wait as long as this one did, for nothing.
                hopeless.get_or_insert_with(|| failure.clone());
            }
            answers.push(answer);
        }
        self.acknowledge(until, rests.seen, rests.newest).await?;
        Ok(answers)
    }

    /// Does one operation, without waiting until it is durable.
    async fn one(
        &self,
        operation: Operation<'_>,
        until: Durability,
        rests: &mut Rests,
    ) -> Result<Done, Failure> {
        let (store, keyspace, level) = (&self.store, self.keyspace(), asked(until));
        match operation {
            Operation::Put { draft, when } => {
                let named = Named::by(when);
                let conditions = named.conditions(when);
                let put = store
                    .put(keyspace, draft.into_inner(), &conditions, level)
                    .await?;
                rests.note(put.seen, put.own);
                Ok(Done::Put(stored(put.outcome)))
            }
            Operation::Get { key } => {
                let Read { entry, seen } = store.get(keyspace, key);
                rests.note(seen, None);
                Ok(Done::Got(entry.map(|entry| shown(store, entry))))
            }
            Operation::Delete { key, when, by } => {
                let named = Named::by(when);
                let conditions = named.conditions(when);
                let by = their_writer(by);
                let delete = store.delete(keyspace, key, &conditions, by, level).await?;
                rests.note(delete.seen, delete.own);
                Ok(Done::Deleted(removed(delete.outcome)))
            }
            Operation::Increment { key, increment } => {
                let incremented = store
                    .increment(keyspace, key, &theirs(&increment), level)
                    .await?;
                rests.note(incremented.seen, incremented.own);
                Ok(Done::Incremented(counted(incremented.outcome)))
            }
        }
    }

    pub(crate) async fn batch(
        &self,
        operations: Vec<Operation<'_>>,
        until: Durability,
    ) -> Result<Batch, Failure> {
        // What the conditions name has to outlive the operations in the store's words.
        let named: Vec<_> = operations.iter().map(named_by).collect();
        let theirs = operations.into_iter().zip(&named);
        let theirs = theirs.map(|(operation, named)| in_their_words(operation, named));
        let batch = self
            .store
            .batch(self.keyspace(), theirs.collect(), asked(until))
            .await?;
        self.acknowledge(until, batch.seen, batch.own).await?;
        Ok(match batch.outcome {
            Batched::Done(done) => Batch::Done(
                done.into_iter()
                    .map(|done| self.in_our_words(done))
                    .collect(),
            ),
            Batched::Failed { index, why } => Batch::Failed {
                index,
                why: unmade(why),
            },
        })
    }

    fn in_our_words(&self, done: standpipe_store::Done) -> Done {
        use standpipe_store::Done as Theirs;
        match done {
            Theirs::Put { version, created } => {
                Done::Put(stored(Putted::Stored { version, created }))
            }
            Theirs::Got(entry) => Done::Got(entry.map(|entry| shown(&self.store, entry))),
            Theirs::Deleted { existed: true } => Done::Deleted(removed(Deleted::Removed)),
            Theirs::Deleted { existed: false } => Done::Deleted(removed(Deleted::Absent)),
            Theirs::Incremented {
                value,
                previous,
                version,
            } => Done::Incremented(Incremented::Counted {
                value,
                previous,
                version: ours(version),
            }),
        }
    }
}

fn named_by(operation: &Operation<'_>) -> Named {
    match operation {
        Operation::Put { when, .. } | Operation::Delete { when, .. } => Named::by(when),
        Operation::Get { .. } | Operation::Increment { .. } => Named::by(&Conditions::default()),
    }
}

fn in_their_words<'n>(
    operation: Operation<'n>,
    named: &'n Named,
) -> standpipe_store::Operation<'n> {
    use standpipe_store::Operation as Theirs;
    match operation {
        Operation::Put { draft, when } => Theirs::Put {
            draft: draft.into_inner(),
            when: named.conditions(when),
        },
        Operation::Get { key } => Theirs::Get { key },
        Operation::Delete { key, when, .. } => Theirs::Delete {
            key,
            when: named.conditions(when),
        },
        Operation::Increment { key, increment } => Theirs::Increment {
            key,
            increment: theirs(&increment),
        },
    }
}

fn unmade(why: Failed) -> Unmade {
    match why {
        Failed::Refused { current } => Unmade::Refused(current.map(ours)),
        Failed::OutOfRange { current } => Unmade::OutOfRange { current },
        Failed::NotACounter => Unmade::NotACounter,
        Failed::Repeated => Unmade::Repeated,
        Failed::Foreign(holder) => Unmade::Foreign(our_holder(holder)),
        Failed::PendingOutOfRange { pending } => Unmade::PendingOutOfRange { pending },
    }
}
