//! Writing into a mirrored keyspace: what the upstream says, and nothing else. Each change is stored before the next one is
//! taken; one that cannot be stored is served from memory, announced, and stored when that is possible again. It must not
//! know who the upstream is.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::MutexGuard;
use tokio::time::sleep;

use super::current::Mark;
use super::overlay::Over;
use super::{Contact, Fares, Freshness, Mirrored, Whom};
use crate::engine::{
    Conditions, Draft, Entry, Facts, Failure, Lifetime, MediaType, Operation, Writer,
};
use crate::keyspace::{Refusal, Values};

/// Keys that are listed with one look.
const PAGE: usize = 1_000;
/// How often it is tried to store what could not be stored.
const RETRY: Duration = Duration::from_secs(1);
/// How many keys are then stored with one hold of the lock.
const AT_ONCE: usize = 64;

/// The right to write into a mirrored keyspace, until another one is made. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    values: Values,
    mirrored: Arc<Mirrored>,
    number: u64,
}

/// A value, as it was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Content {
    /// The bytes.
    pub value: Bytes,
    /// What they are, as it was said: what cannot be kept as a media type is as good as nothing.
    pub media_type: Option<String>,
    /// How they are encoded, as it was said.
    pub content_encoding: Option<String>,
}

/// What the upstream says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received {
    /// The key has this value.
    Put {
        /// The key.
        key: String,
        /// The value.
        content: Content,
    },
    /// The key has a value that is too large to be taken.
    TooLarge {
        /// The key.
        key: String,
        /// The most bytes.
        limit: usize,
    },
    /// The key is gone, and leaves here too.
    Gone {
        /// The key.
        key: String,
    },
    /// The key is gone, and stays here.
    Kept {
        /// The key.
        key: String,
    },
    /// Every key that begins so is gone, and leaves here too.
    Flushed {
        /// What they begin with.
        prefix: String,
    },
    /// Every key that begins so is gone, and stays here.
    KeptAll {
        /// What they begin with.
        prefix: String,
    },
}

impl Received {
    /// The key that it is about; `None` where it is about many.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Put { key, .. }
            | Self::TooLarge { key, .. }
            | Self::Gone { key }
            | Self::Kept { key } => Some(key),
            Self::Flushed { .. } | Self::KeptAll { .. } => None,
        }
    }

    fn content(&self) -> Option<&Content> {
        match self {
            Self::Put { content, .. } => Some(content),
            Self::TooLarge { .. }
            | Self::Gone { .. }
            | Self::Kept { .. }
            | Self::Flushed { .. }
            | Self::KeptAll { .. } => None,
        }
    }

    /// The key that it is about, or what the keys begin with that it is about.
    pub fn named(&self) -> &str {
        match self {
            Self::Put { key, .. }
            | Self::TooLarge { key, .. }
            | Self::Gone { key }
            | Self::Kept { key } => key,
            Self::Flushed { prefix } | Self::KeptAll { prefix } => prefix,
        }
    }
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

/// What one change of one key comes to.
enum Step {
    /// What it says is so already.
    Nothing,
    Put(Draft),
    Delete,
    /// It is taken note of, and changes nothing.
    Mark(Mark),
}

/// What became of something that was to be stored.
enum Storing {
    Stored,
    /// Not now.
    Later,
    /// Never.
    Refused(Refusal),
    Ended(Failure),
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
        mirrored.current.lock().lose_all(values.engine.now_ms());
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
        self.mirrored.current.lock().follow_each(keys);
    }

    /// How current what is here is from now on.
    pub fn contact(&self, whom: Whom<'_>, contact: Contact) {
        self.mirrored.current.lock().set(whom, contact);
    }

    /// The upstream is out of reach from now on.
    pub fn lost(&self, whom: Whom<'_>) {
        let now_ms = self.now_ms();
        self.mirrored.current.lock().lose(whom, now_ms);
    }

    /// How the keyspace fares, with at most `most` keys by name.
    pub fn fares(&self, most: usize) -> Fares {
        self.mirrored.fares(most)
    }

    /// How current it is: all of it, where `key` names none. `None` where that was never known.
    pub fn freshness(&self, whom: Whom<'_>) -> Option<Freshness> {
        let now_ms = self.now_ms();
        let current = self.mirrored.current.lock();
        match whom {
            Whom::All => current.of_all(now_ms),
            Whom::Key(key) => current.of_key(key, now_ms),
        }
    }

    /// Every key that is here.
    pub async fn keys(&self) -> Result<BTreeSet<String>, Refusal> {
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
                | Received::Kept { .. } => self.take_run(run(rest)).await,
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

    /// Takes changes of different keys with one wait for all of them.
    async fn take_run(&self, run: &[Received]) -> Result<usize, (usize, Why)> {
        let conditions = Conditions::default();
        let mut operations = Vec::new();
        let mut stored = Vec::new();
        for (index, change) in run.iter().enumerate() {
            let key = change.named();
            match self.step(change).await {
                Step::Nothing => self.mirrored.current.lock().unmark(key),
                Step::Mark(mark) => self.mirrored.current.lock().mark(key, mark),
                Step::Put(draft) => {
                    let when = &conditions;
                    operations.push(Operation::Put { draft, when });
                    stored.push((index, change));
                }
                Step::Delete => {
                    let (key, when, by) = (key.as_bytes(), &conditions, Writer::Mirror);
                    operations.push(Operation::Delete { key, when, by });
                    stored.push((index, change));
                }
            }
        }
        if operations.is_empty() {
            return Ok(run.len());
        }
        let durability = self.values.entries.durability();
        let answers = self.values.entries.each(operations, durability).await;
        let answers = answers.unwrap_or_else(|failure| vec_of(failure, stored.len()));
        for ((index, change), answer) in stored.into_iter().zip(answers) {
            self.after(change, storing(answer.err()))
                .map_err(|why| (index, why))?;
        }
        Ok(run.len())
    }

    /// What there is to do about a change of one key.
    async fn step(&self, change: &Received) -> Step {
        let at_ms = self.now_ms();
        let found = self.values.find(change.named().as_bytes()).await;
        match change {
            Received::TooLarge { limit, .. } => Step::Mark(Mark::Refused {
                at_ms,
                why: Refusal::ValueTooLarge {
                    limit: *limit,
                    actual: u64::try_from(*limit).unwrap_or(u64::MAX).saturating_add(1),
                },
            }),
            Received::Kept { .. } => match found {
                Ok(None) => Step::Nothing,
                Ok(Some(_)) | Err(_) => Step::Mark(Mark::Kept { at_ms }),
            },
            Received::Gone { key } => match found {
                // What cannot be looked at now has to be removed whatever it is.
                Ok(Some(_)) | Err(Refusal::Failed(_)) => {
                    self.lay_again(key, || Some(Over::Gone));
                    Step::Delete
                }
                Ok(None) | Err(_) => Step::Nothing,
            },
            Received::Put { key, content } => match (found, self.draft(key, content)) {
                (Ok(Some(entry)), _) if content.is_of(&entry) => Step::Nothing,
                (_, Ok(draft)) => {
                    self.lay_again(key, || {
                        let draft = self.draft(key, content).ok()?;
                        Some(Over::Value(self.values.entries.unstored(draft)))
                    });
                    Step::Put(draft)
                }
                (_, Err(why)) => Step::Mark(Mark::Refused { at_ms, why }),
            },
            Received::Flushed { .. } | Received::KeptAll { .. } => Step::Nothing,
        }
    }

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

    /// Lets a key that is laid over stand for what it will be stored as: who is told of that must not read what was there
    /// before. It is announced by whoever stores it, or when that fails.
    fn lay_again(&self, key: &str, over: impl FnOnce() -> Option<Over>) {
        if !self.mirrored.is_laid_over() {
            return;
        }
        self.mirrored.lay(|overlay| {
            if overlay.of(key.as_bytes()).is_some()
                && let Some(over) = over()
            {
                overlay.set(key.as_bytes(), over);
            }
        });
    }

    /// What follows from how storing a change went.
    fn after(&self, change: &Received, storing: Storing) -> Result<(), Why> {
        let key = change.named();
        match storing {
            Storing::Stored => {
                self.uncover(key);
                self.mirrored.current.lock().unmark(key);
                Ok(())
            }
            Storing::Later => self.lay(change),
            Storing::Refused(why) => {
                self.uncover(key);
                let at_ms = self.now_ms();
                let mark = Mark::Refused { at_ms, why };
                self.mirrored.current.lock().mark(key, mark);
                Ok(())
            }
            Storing::Ended(failure) => Err(Why::Failed(failure)),
        }
    }

    /// What is stored is what the key stands for.
    fn uncover(&self, key: &str) {
        if self.mirrored.is_laid_over() {
            self.mirrored.lay(|overlay| overlay.remove(key.as_bytes()));
        }
    }

    /// Serves a change from memory and tells who watches.
    fn lay(&self, change: &Received) -> Result<(), Why> {
        let limit = self.mirrored.unstored_bytes.load(Ordering::Relaxed);
        let (key, entries) = (change.named(), &self.values.entries);
        self.mirrored.lay(|overlay| {
            let bytes = key.as_bytes();
            let len = change.content().map_or(0, |content| content.value.len());
            if !overlay.fits(bytes, len, limit) {
                return Err(Why::Unstored { limit });
            }
            let over = match change.content() {
                None => {
                    entries.announce_removed(bytes);
                    Over::Gone
                }
                Some(content) => match self.draft(key, content) {
                    Ok(draft) => Over::Value(entries.announce(draft)),
                    // It could be drafted a moment ago: the limits were changed meanwhile.
                    Err(_) => return Ok(()),
                },
            };
            overlay.set(bytes, over);
            Ok(())
        })?;
        self.mirrored.current.lock().unmark(key);
        Ok(())
    }

    /// Removes every key that begins with `prefix`.
    async fn flush(&self, prefix: &str) -> Result<(), (usize, Why)> {
        let entries = &self.values.entries;
        let durability = entries.durability();
        let laid = self.cover(prefix);
        let flushed = if prefix.is_empty() {
            entries.flush(durability).await
        } else {
            entries.delete_prefix(prefix.as_bytes(), durability).await
        };
        match storing(flushed.err()) {
            Storing::Stored => {
                self.mirrored.lay(|overlay| {
                    for key in laid {
                        overlay.remove(&key);
                        // Nobody who watches was told of it where it was not stored.
                        entries.announce_removed(&key);
                    }
                });
                self.mirrored.current.lock().unmark_prefix(prefix);
                Ok(())
            }
            Storing::Ended(failure) => Err((0, Why::Failed(failure))),
            Storing::Later | Storing::Refused(_) => self.remove_each(prefix).await,
        }
    }

    /// Lets every key that is laid over and begins with `prefix` stand for nothing, and says which those are.
    fn cover(&self, prefix: &str) -> Vec<Bytes> {
        if !self.mirrored.is_laid_over() {
            return Vec::new();
        }
        self.mirrored.lay(|overlay| {
            let keys: Vec<_> = overlay
                .range(prefix.as_bytes(), None)
                .map(|(key, _)| key.clone())
                .collect();
            for key in &keys {
                overlay.set(key, Over::Gone);
            }
            keys
        })
    }

    /// Removes keys one by one: what cannot be done at once may be done in part, and the rest from memory.
    async fn remove_each(&self, prefix: &str) -> Result<(), (usize, Why)> {
        let begins = |key: &String| key.starts_with(prefix);
        let keys = self.keys().await.map_err(|refusal| (0, refusal.into()))?;
        let gone: Vec<_> = keys
            .into_iter()
            .filter(begins)
            .map(|key| Received::Gone { key })
            .collect();
        for some in gone.chunks(AT_ONCE) {
            self.take_run(some).await.map_err(|(_, why)| (0, why))?;
        }
        Ok(())
    }

    /// Marks every key that begins with `prefix`.
    async fn keep_all(&self, prefix: &str) -> Result<(), (usize, Why)> {
        let keys = self.keys().await.map_err(|refusal| (0, refusal.into()))?;
        let at_ms = self.now_ms();
        let mut current = self.mirrored.current.lock();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            current.mark(key, Mark::Kept { at_ms });
        }
        Ok(())
    }

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
                    self.mirrored.current.lock().mark(&key, mark);
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

impl Content {
    fn of(entry: &Entry) -> Self {
        Self {
            value: entry.value.clone(),
            media_type: Some(entry.media_type.as_str().to_owned()),
            content_encoding: entry.content_encoding.as_deref().map(str::to_owned),
        }
    }

    /// The media type that the value is kept with.
    fn media_type(&self) -> &str {
        MediaType::choose(self.media_type.as_deref(), &self.value)
    }

    /// The encoding that it is kept with: one that can stand in a header.
    fn encoding(&self) -> Option<&str> {
        let text = self.content_encoding.as_deref()?;
        let visible = text
            .bytes()
            .all(|byte| (0x21..=0x7E).contains(&byte) || byte == b' ');
        let fits = (1..=MediaType::MOST_BYTES).contains(&text.len());
        (visible && fits).then_some(text)
    }

    /// Whether `entry` has just this.
    fn is_of(&self, entry: &Entry) -> bool {
        entry.value == self.value
            && entry.media_type.as_str() == self.media_type()
            && entry.content_encoding.as_deref() == self.encoding()
            && entry.expires_at_ms.is_none()
    }
}

/// The changes from the first on that are each of another key.
fn run(changes: &[Received]) -> &[Received] {
    let mut keys = HashSet::new();
    let other = |change: &Received| change.key().is_none_or(|key| !keys.insert(key.to_owned()));
    let end = changes.iter().position(other).unwrap_or(changes.len());
    changes.split_at(end).0
}

fn vec_of<T>(failure: Failure, len: usize) -> Vec<Result<T, Failure>> {
    (0..len).map(|_| Err(failure.clone())).collect()
}

/// What a failure means for a change that has to be stored some time.
fn storing(failure: Option<Failure>) -> Storing {
    match failure {
        None => Storing::Stored,
        Some(failure) => match failure {
            Failure::DiskFull
            | Failure::KeyspaceFull { .. }
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

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(failure) => Self::Failed(failure),
            _ => Self::Superseded,
        }
    }
}
