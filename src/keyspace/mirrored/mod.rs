//! What a keyspace is beside its values while it follows somebody else: how current it is, what has come and could not be stored
//! yet, and who may write. Clients only read it. It must not know whom it follows, or how.
//!
//! One [`Feed`] writes, and a new one takes the place of the one before: what an older one still brings is refused, so that
//! a stream that was given up never overwrites what came later.
//!
//! What cannot be stored lies in the [`overlay`], and whoever reads finds it there first. It is announced to those who watch
//! under the same lock under which it is laid there, so that a watch that begins knows exactly which of it is still to be told.

mod current;
mod feed;
mod overlay;
mod reading;
mod watching;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::Notify;

pub use current::{Contact, Freshness, Whom};
pub use feed::{Content, Feed, Received, Untaken, Why};
pub use watching::Watch;

use current::{Current, Mark};
use overlay::Overlay;

/// A keyspace that follows somebody else.
#[derive(Debug, Default)]
pub struct Mirrored {
    /// Held while anything is written. The number is that of the feed that may.
    writing: tokio::sync::Mutex<u64>,
    over: RwLock<Overlay>,
    /// How many keys the overlay has: most of the time none, and then nobody needs its lock.
    unstored: AtomicUsize,
    /// The most bytes of the overlay.
    unstored_bytes: AtomicUsize,
    /// Rung when the overlay is not empty any more.
    laid: Notify,
    current: RwLock<Current>,
}

/// A key of which there is something to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remarkable {
    /// The key.
    pub key: String,
    /// Whether what it stands for is not stored yet.
    pub unstored: bool,
    /// Whether the upstream does not have it any more.
    pub kept: bool,
    /// Why its newest value was not taken.
    pub refused: Option<String>,
}

/// How a mirrored keyspace fares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fares {
    /// How many keys stand for something that is not stored yet.
    pub unstored: usize,
    /// How many bytes of memory that takes.
    pub unstored_bytes: usize,
    /// Keys of which there is something to say, up to the number that was asked for.
    pub remarkable: Vec<Remarkable>,
    /// How many there are of them.
    pub remarkable_in_all: usize,
}

impl Mirrored {
    /// Nobody may write any more.
    pub(in crate::keyspace) async fn end(&self) {
        *self.writing.lock().await += 1;
    }

    /// Whether anything stands for something that is not stored.
    #[inline]
    fn is_laid_over(&self) -> bool {
        self.unstored.load(Ordering::Acquire) > 0
    }

    /// Changes the overlay, and keeps count.
    fn lay<T>(&self, change: impl FnOnce(&mut Overlay) -> T) -> T {
        let mut over = self.over.write();
        let changed = change(&mut over);
        let before = self.unstored.swap(over.len(), Ordering::AcqRel);
        let wake = before == 0 && !over.is_empty();
        drop(over);
        if wake {
            self.laid.notify_one();
        }
        changed
    }

    /// How it fares, with at most `most` keys by name.
    pub(in crate::keyspace) fn fares(&self, most: usize) -> Fares {
        let over = self.over.read();
        let current = self.current.read();
        let marks = current.marks();
        let marked = marks.iter().map(|(key, mark)| Remarkable {
            key: key.clone(),
            unstored: over.of(key.as_bytes()).is_some(),
            kept: matches!(mark, Mark::Kept { .. }),
            refused: match mark {
                Mark::Refused { why, .. } => Some(why.to_string()),
                Mark::Kept { .. } => None,
            },
        });
        let laid = over.oldest(over.len());
        let laid = laid
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned());
        let laid: Vec<_> = laid.filter(|key| !marks.contains_key(key)).collect();
        let remarkable_in_all = marks.len() + laid.len();
        let laid = laid.into_iter().map(|key| Remarkable {
            key,
            unstored: true,
            kept: false,
            refused: None,
        });
        Fares {
            unstored: over.len(),
            unstored_bytes: over.bytes(),
            remarkable: marked.chain(laid).take(most).collect(),
            remarkable_in_all,
        }
    }
}
