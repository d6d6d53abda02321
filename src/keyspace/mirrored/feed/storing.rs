//! Storing what could not be stored, as soon as that is possible again.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::{AT_ONCE, Content, Feed};
use crate::engine::{Conditions, Failure, Writer};
use crate::keyspace::Refusal;
use crate::keyspace::mirrored::current::Mark;
use crate::keyspace::mirrored::overlay::Over;

/// How often it is tried.
const RETRY: Duration = Duration::from_secs(1);

/// What became of something that was to be stored.
pub(super) enum Storing {
    Stored,
    /// Not now.
    Later,
    /// Never.
    Refused(Refusal),
    Ended(Failure),
}

impl Feed {
    /// Stores what could not be stored, as soon as that is possible, for as long as it is polled.
    pub async fn keep_storing(&self) -> Infallible {
        loop {
            while !self.mirrored.is_laid_over() {
                self.mirrored.laid.notified().await;
            }
            sleep(RETRY).await;
            while self.store_some().await {
                tokio::task::yield_now().await;
            }
            if self.writing().await.is_none() {
                return pending().await;
            }
        }
    }

    /// Stores what could not be stored as far as that is possible now, and says how many keys are left.
    pub async fn store_the_rest(&self) -> usize {
        while self.store_some().await {
            tokio::task::yield_now().await;
        }
        self.mirrored.unstored.load(Ordering::Acquire)
    }

    /// Stores some of what is laid over, and says whether all of that was possible and there may be more.
    async fn store_some(&self) -> bool {
        let Some(_writing) = self.writing().await else {
            return false;
        };
        let keys = self.mirrored.over.read().oldest(AT_ONCE);
        for key in &keys {
            let over = self.mirrored.over.read().of(key).cloned();
            let Some(over) = over else { continue };
            match self.store(key, &over).await {
                Storing::Stored => {
                    self.mirrored.lay(|overlay| overlay.remove(key));
                }
                Storing::Refused(why) => {
                    // The limits are lower than when it came.
                    self.mirrored.lay(|overlay| overlay.remove(key));
                    let mark = Mark::Refused {
                        at_ms: self.now_ms(),
                        why,
                    };
                    let key = String::from_utf8_lossy(key);
                    self.mirrored.current.write().mark(&key, mark);
                }
                Storing::Later | Storing::Ended(_) => return false,
            }
        }
        !keys.is_empty()
    }

    /// Stores what a key stands for, unless it is stored already: a change whose answer did not come in time may have been made.
    async fn store(&self, key: &[u8], over: &Over) -> Storing {
        let entries = &self.values.entries;
        let (durability, when) = (entries.durability(), Conditions::default());
        let found = match entries.find(key).await {
            Ok(found) => found,
            Err(failure) => return storing(Some(failure)),
        };
        match (over, found) {
            (Over::Gone, None) => Storing::Stored,
            (Over::Gone, Some(_)) => storing(
                entries
                    .delete(key, &when, Writer::Mirror, durability)
                    .await
                    .err(),
            ),
            (Over::Value(entry), found) => {
                let text = String::from_utf8_lossy(key);
                let content = Content::of(entry);
                if found.is_some_and(|found| content.is_of(&found)) {
                    return Storing::Stored;
                }
                match self.draft(&text, &content) {
                    Ok(draft) => storing(entries.put(draft, &when, durability).await.err()),
                    Err(why) => Storing::Refused(why),
                }
            }
        }
    }
}

/// What a failure means for a change that has to be stored some time.
pub(super) fn storing(failure: Option<Failure>) -> Storing {
    match failure {
        None => Storing::Stored,
        Some(failure) => match failure {
            Failure::DiskFull
            | Failure::KeyspaceFull { .. }
            | Failure::SinkBacklog { .. }
            | Failure::Overloaded { .. }
            | Failure::NotDurableYet { .. }
            | Failure::Lost { .. }
            | Failure::NoSnapshot { .. } => Storing::Later,
            Failure::TooLarge { .. } | Failure::EntryTooLarge { .. } => {
                Storing::Refused(failure.into())
            }
            Failure::KeyspaceDropped | Failure::Closing => Storing::Ended(failure),
        },
    }
}
