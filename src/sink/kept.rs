//! What a keyspace keeps, as a sink sees it. It must not know when anything is passed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::backlog::{Backlog, Counts};
use super::ledger::{Ledger, Page, Unapplied};
use super::row::{Change, Generation, Identity, Refused, Row, Value};
use crate::keyspace::{Failure, Frozen, FrozenRow, Passed, PendingFailure, Waiting};

/// The most keys that are set aside in one step: the step is one record.
const SET_ASIDE_KEYS: usize = 500;

/// What one keyspace keeps.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    keyspace: Arc<str>,
    waiting: Waiting,
    max_dead: Arc<AtomicU64>,
}

impl Kept {
    pub(super) fn new(keyspace: &str, waiting: Waiting, max_dead: u64) -> Self {
        Self {
            keyspace: keyspace.into(),
            waiting,
            max_dead: Arc::new(AtomicU64::new(max_dead)),
        }
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Changes how many keys may be set aside.
    pub(super) fn set_max_dead(&self, max_dead: u64) {
        self.max_dead.store(max_dead, Ordering::Relaxed);
    }

    fn closed(&self, frozen: Frozen) -> Closed {
        Closed {
            generation: Generation {
                mark: frozen.mark,
                number: frozen.generation,
            },
            keys: AtomicU64::new(frozen.keys),
            kept: self.clone(),
        }
    }
}

impl Backlog for Kept {
    type Frozen = Closed;

    async fn frozen(&self) -> Result<Option<Closed>, Failure> {
        let frozen = self.waiting.frozen().await?;
        Ok(frozen.map(|frozen| self.closed(frozen)))
    }

    async fn freeze(&self) -> Result<Option<Closed>, Failure> {
        let frozen = self.waiting.freeze().await?;
        Ok(frozen.map(|frozen| self.closed(frozen)))
    }

    async fn drop_frozen(&self, frozen: &Closed) -> Result<(), Failure> {
        match self.waiting.drop_generation(frozen.generation.number).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(failed(failure)),
        }
    }

    fn counts(&self) -> Counts {
        let counts = self.waiting.counts();
        Counts {
            pending: counts.keys,
            dead: counts.dead,
            generation: counts.generation,
            oldest_ms: counts.since_ms,
        }
    }

    fn now_ms(&self) -> u64 {
        self.waiting.now_ms()
    }
}

/// A closed generation of it.
#[derive(Debug)]
pub(super) struct Closed {
    kept: Kept,
    generation: Generation,
    keys: AtomicU64,
}

impl Ledger for Closed {
    type Failure = Failure;

    fn identity(&self) -> Identity {
        let identity = self.kept.waiting.identity();
        Identity {
            store: identity.store,
            keyspace: identity.keyspace.into(),
        }
    }

    fn keyspace(&self) -> &str {
        &self.kept.keyspace
    }

    fn generation(&self) -> Generation {
        self.generation
    }

    fn keys(&self) -> u64 {
        self.keys.load(Ordering::Relaxed)
    }

    fn knows(&self, mark: u64) -> bool {
        self.kept.waiting.knows_mark(mark)
    }

    async fn page(&self, after: Option<&[u8]>, limit: usize) -> Result<Page, Failure> {
        let waiting = &self.kept.waiting;
        let page = waiting
            .frozen_page(self.generation.number, after, limit)
            .await
            .map_err(failed)?;
        let last = page.rows.last().map(|row| Box::from(&*row.key));
        let next = last.filter(|_| !page.end);
        let rows = page.rows.into_iter().filter_map(row);
        Ok(Page {
            rows: rows.collect(),
            next,
        })
    }

    async fn set_aside(&self, refused: &[Refused]) -> Result<(), Unapplied<Failure>> {
        let most = self.kept.max_dead.load(Ordering::Relaxed);
        for some in refused.chunks(SET_ASIDE_KEYS) {
            let keys: Vec<(&[u8], &str)> =
                some.iter().map(|one| (&*one.key, &*one.reason)).collect();
            let waiting = &self.kept.waiting;
            let buried = waiting.bury(self.generation.number, &keys, most).await;
            let buried = buried.map_err(|failure| match failure {
                PendingFailure::DeadFull { limit, .. } => Unapplied::NoRoom { limit },
                PendingFailure::Failed(_) | PendingFailure::NotFrozen { .. } => {
                    Unapplied::Ledger(failed(failure))
                }
            })?;
            self.keys.fetch_sub(buried, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn row(FrozenRow { key, passed }: FrozenRow) -> Option<Row> {
    let change = match passed {
        Passed::Sum(sum) => Change::Add(sum),
        Passed::Gone => Change::Remove,
        Passed::Nothing => return None,
        Passed::Value(entry) => Change::Put(Value {
            media_type: entry.media_type.as_str().into(),
            content_encoding: entry.content_encoding,
            bytes: entry.value,
        }),
    };
    Some(Row { key, change })
}

/// What only somebody else could have done to a generation that is ours is a failure that passes: the next attempt looks anew.
fn failed(failure: PendingFailure) -> Failure {
    match failure {
        PendingFailure::Failed(failure) => failure,
        PendingFailure::NotFrozen { .. } | PendingFailure::DeadFull { .. } => {
            Failure::KeyspaceDropped
        }
    }
}
