//! What following is like whoever is followed: how a deletion is taken, how long to wait, who writes. It must not know any
//! protocol.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::backoff::Backoff;
use super::status::Board;
use super::trouble::Trouble;
use super::{OnDelete, Options};
use crate::keyspace::{Feed, Received, Untaken, Why};

/// Keys that are removed with one step.
const MANY: usize = 256;

/// What the parts of one mirror share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) feed: Feed,
    pub(super) board: Arc<Board>,
    /// The most bytes of a value.
    pub(super) max_bytes: usize,
    on_delete: OnDelete,
    backoff_min: Duration,
    backoff_max: Duration,
}

impl Common {
    pub(super) fn new(options: &Options, feed: Feed, board: Arc<Board>) -> Self {
        Self {
            feed,
            board,
            max_bytes: options.max_bytes,
            on_delete: options.on_delete,
            backoff_min: options.backoff_min,
            backoff_max: options.backoff_max,
        }
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.backoff_min, self.backoff_max)
    }

    /// The upstream does not have the key.
    pub(super) fn gone(&self, key: String) -> Received {
        match self.on_delete {
            OnDelete::Remove => Received::Gone { key },
            OnDelete::Keep => Received::Kept { key },
        }
    }

    /// The upstream does not have any key that begins so.
    pub(super) fn flushed(&self, prefix: String) -> Received {
        match self.on_delete {
            OnDelete::Remove => Received::Flushed { prefix },
            OnDelete::Keep => Received::KeptAll { prefix },
        }
    }

    pub(super) async fn take(&self, changes: &[Received]) -> Result<(), Trouble> {
        Ok(self.feed.take(changes).await?)
    }

    /// Every key that is here.
    pub(super) async fn keys(&self) -> Result<BTreeSet<String>, Trouble> {
        let keys = self.feed.keys().await;
        keys.map_err(|failure| Trouble::Store(failure.into()))
    }

    /// Removes keys that are nobody's to keep, and tries again until that is done.
    pub(super) async fn remove(&self, keys: Vec<String>) {
        let gone: Vec<_> = keys.into_iter().map(|key| Received::Gone { key }).collect();
        let mut backoff = self.backoff();
        for some in gone.chunks(MANY) {
            while let Err(trouble) = self.take(some).await {
                let pause = backoff.pause();
                tracing::debug!("keys that are not mirrored stay for now: {trouble}");
                sleep(pause).await;
            }
        }
    }

    /// Removes every key but `kept`, and tries again until that is done.
    pub(super) async fn remove_all_but(&self, kept: &BTreeSet<&str>) {
        let mut backoff = self.backoff();
        let keys = loop {
            match self.keys().await {
                Ok(keys) => break keys,
                Err(trouble) => {
                    tracing::debug!("keys that are not mirrored stay for now: {trouble}");
                    sleep(backoff.pause()).await;
                }
            }
        };
        let others = keys.into_iter().filter(|key| !kept.contains(&**key));
        self.remove(others.collect()).await;
    }
}

impl From<Untaken> for Trouble {
    fn from(untaken: Untaken) -> Self {
        match untaken.why {
            Why::Superseded => Self::Superseded,
            Why::Unstored { limit } => Self::Unstored { limit },
            Why::Failed(failure) => Self::Store(failure.into()),
        }
    }
}
