//! Writing into a mirrored keyspace: what the upstream says, and nothing else. Each change is stored before the next one is
//! taken; one that cannot be stored is served from memory, announced, and stored when that is possible again. It must not
//! know who the upstream is.

mod received;
mod storing;
mod taking;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::MutexGuard;

pub use received::{Content, Received};

use super::{Contact, Fares, Freshness, Mirrored, Whom};
use crate::engine::{Draft, Facts, Failure, Lifetime, Writer};
use crate::keyspace::{Refusal, Values};

/// Keys that are listed with one look.
const PAGE: usize = 1_000;
/// Keys that are changed with one step where there may be any number of them.
const AT_ONCE: usize = 64;

/// The right to write into a mirrored keyspace, until another one is made. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    values: Values,
    mirrored: Arc<Mirrored>,
    number: u64,
}

/// Changes that were not taken, or not all of them.
#[derive(Clone, Debug)]
pub struct Untaken {
    /// How many were, from the first one on.
    pub taken: usize,
    /// What became of the next one.
    pub why: Why,
}

/// Why a change was not taken.
#[derive(Clone, Debug)]
pub enum Why {
    /// Another feed has taken the place of this one, or the keyspace is mirrored no longer.
    Superseded,
    /// It cannot be stored, and what cannot be stored takes as much memory as it may.
    Unstored {
        /// The most, in bytes.
        limit: usize,
    },
    /// The store is not there any more, or being closed.
    Failed(Failure),
}

impl Feed {
    /// The feed of a keyspace from now on; what an earlier one brings later is refused.
    pub(in crate::keyspace) async fn open(
        values: Values,
        mirrored: Arc<Mirrored>,
        unstored_bytes: usize,
    ) -> Self {
        let mut writing = mirrored.writing.lock().await;
        *writing += 1;
        let number = *writing;
        mirrored
            .unstored_bytes
            .store(unstored_bytes, Ordering::Relaxed);
        mirrored.current.write().lose_all(values.engine.now_ms());
        drop(writing);
        Self {
            values,
            mirrored,
            number,
        }
    }

    /// Wall time in Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.values.engine.now_ms()
    }

    /// The keys that are followed each for itself; none where all are followed together.
    pub fn follow_each(&self, keys: &[String]) {
        self.mirrored.current.write().follow_each(keys);
    }

    /// How current what is here is from now on.
    pub fn contact(&self, whom: Whom<'_>, contact: Contact) {
        self.mirrored.current.write().set(whom, contact);
    }

    /// The upstream is out of reach from now on.
    pub fn lost(&self, whom: Whom<'_>) {
        let now_ms = self.now_ms();
        self.mirrored.current.write().lose(whom, now_ms);
    }

    /// How the keyspace fares, with at most `most` keys by name.
    pub fn fares(&self, most: usize) -> Fares {
        self.mirrored.fares(most)
    }

    /// How current it is: all of it, where `key` names none. `None` where that was never known.
    pub fn freshness(&self, whom: Whom<'_>) -> Option<Freshness> {
        let now_ms = self.now_ms();
        let current = self.mirrored.current.read();
        match whom {
            Whom::All => current.of_all(now_ms),
            Whom::Key(key) => current.of_key(key, now_ms),
        }
    }

    /// Every key that is here.
    pub async fn keys(&self) -> Result<BTreeSet<String>, Failure> {
        let mut keys = BTreeSet::new();
        let mut after: Option<Bytes> = None;
        loop {
            let page = self.values.page(b"", after.as_deref(), PAGE).await?;
            after = page.entries.last().map(|last| last.key.clone());
            let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
            keys.extend(page.entries.iter().map(|keyed| text(&keyed.key)));
            if page.end || after.is_none() {
                return Ok(keys);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes changes, in their order. When it returns, each is stored as durably as the keyspace promises, or served from
    /// memory until it is.
    ///
    /// # Errors
    /// See [`Untaken`]. What is refused for itself, a key that is too long say, is marked and no error: it must not hold up
    /// the others.
    pub async fn take(&self, changes: &[Received]) -> Result<(), Untaken> {
        let Some(_writing) = self.writing().await else {
            let why = Why::Superseded;
            return Err(Untaken { taken: 0, why });
        };
        let mut taken = 0;
        while let Some(rest) = changes.get(taken..)
            && let Some(first) = rest.first()
        {
            let done = match first {
                Received::Flushed { prefix } => self.flush(prefix).await.map(|()| 1),
                Received::KeptAll { prefix } => self.keep_all(prefix).await.map(|()| 1),
                Received::Put { .. }
                | Received::TooLarge { .. }
                | Received::Gone { .. }
                | Received::Kept { .. } => self.take_run(taking::run(rest)).await,
            };
            match done {
                Ok(done) => taken += done,
                Err((done, why)) => {
                    taken += done;
                    return Err(Untaken { taken, why });
                }
            }
        }
        Ok(())
    }

    /// The right to write, where it is still this feed's.
    async fn writing(&self) -> Option<MutexGuard<'_, u64>> {
        let writing = self.mirrored.writing.lock().await;
        (*writing == self.number).then_some(writing)
    }

    /// A value on its way into the store.
    fn draft(&self, key: &str, content: &Content) -> Result<Draft, Refusal> {
        let (key, len) = (key.as_bytes(), content.value.len());
        self.values.check_key(key)?;
        self.values
            .check_value_len(u64::try_from(len).unwrap_or(u64::MAX))?;
        let facts = Facts {
            media_type: content.media_type(),
            content_encoding: content.encoding(),
            lifetime: Lifetime::default(),
            writer: Writer::Mirror,
        };
        let mut draft = self.values.entries.draft(key, len, &facts)?;
        draft.write(0, &content.value);
        Ok(draft)
    }
}
