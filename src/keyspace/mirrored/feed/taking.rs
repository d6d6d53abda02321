//! Taking changes: what each comes to, stored where that is possible, else served from memory and announced.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::storing::{Storing, storing};
use super::{AT_ONCE, Feed, Received, Why};
use crate::engine::{Conditions, Draft, Operation, Writer};
use crate::keyspace::Refusal;
use crate::keyspace::mirrored::current::Mark;
use crate::keyspace::mirrored::overlay::Over;

/// What one change of one key comes to.
enum Step {
    /// What it says is so already.
    Nothing,
    Put(Draft),
    Delete,
    /// It is taken note of, and changes nothing.
    Mark(Mark),
}

impl Feed {
    /// Takes changes of different keys with one wait for all of them.
    pub(super) async fn take_run(&self, run: &[Received]) -> Result<usize, (usize, Why)> {
        let conditions = Conditions::default();
        let mut operations = Vec::new();
        let mut stored = Vec::new();
        for (index, change) in run.iter().enumerate() {
            let key = change.named();
            match self.step(change).await {
                Step::Nothing => self.mirrored.current.write().unmark(key),
                Step::Mark(mark) => self.mirrored.current.write().mark(key, mark),
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
        let answers = answers.unwrap_or_else(|failure| {
            let each = stored.iter().map(|_| Err(failure.clone()));
            each.collect()
        });
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
                Ok(Some(_)) | Err(Refusal::Failed(_)) => self.delete(key).await,
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

    /// How a key goes that is here.
    async fn delete(&self, key: &str) -> Step {
        let entries = &self.values.entries;
        let is_laid = self.mirrored.over(key.as_bytes()).is_some();
        if is_laid && matches!(entries.find(key.as_bytes()).await, Ok(None)) {
            // It was never stored, so nothing that is logged tells of its end.
            self.mirrored.lay(|overlay| {
                overlay.remove(key.as_bytes());
                entries.announce_removed(key.as_bytes());
            });
            return Step::Nothing;
        }
        self.lay_again(key, || Some(Over::Gone));
        Step::Delete
    }

    /// Lets a key that is laid over stand for what it will be stored as: who is told of that must not read what was there
    /// before. It is announced by whoever stores it, or when that fails.
    fn lay_again(&self, key: &str, over: impl FnOnce() -> Option<Over>) {
        if !self.mirrored.is_laid_over() {
            return;
        }
        let limit = self.mirrored.unstored_bytes.load(Ordering::Relaxed);
        self.mirrored.lay(|overlay| {
            if overlay.of(key.as_bytes()).is_some()
                && let Some(over) = over()
                && overlay.fits(key.as_bytes(), over.len(), limit)
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
                self.mirrored.current.write().unmark(key);
                Ok(())
            }
            Storing::Later => self.lay(change),
            Storing::Refused(why) => {
                self.uncover(key);
                let at_ms = self.now_ms();
                let mark = Mark::Refused { at_ms, why };
                self.mirrored.current.write().mark(key, mark);
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
        self.mirrored.current.write().unmark(key);
        Ok(())
    }

    /// Removes every key that begins with `prefix`.
    pub(super) async fn flush(&self, prefix: &str) -> Result<(), (usize, Why)> {
        let entries = &self.values.entries;
        let durability = entries.durability();
        let laid = self.cover(prefix);
        let flushed = if prefix.is_empty() {
            entries.flush(durability).await
        } else {
            entries.delete_prefix(prefix.as_bytes(), durability).await
        };
        let stored = match storing(flushed.err()) {
            Storing::Stored => true,
            Storing::Later | Storing::Refused(_) => false,
            Storing::Ended(failure) => return Err((0, Why::Failed(failure))),
        };
        self.mirrored.lay(|overlay| {
            for key in laid {
                // What was never stored, nothing that is logged tells of its end.
                entries.announce_removed(&key);
                if stored {
                    overlay.remove(&key);
                }
            }
        });
        self.mirrored.current.write().unmark_prefix(prefix);
        if stored {
            Ok(())
        } else {
            self.remove_each(prefix).await
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
        let keys = self
            .keys()
            .await
            .map_err(|failure| (0, Why::Failed(failure)))?;
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
    pub(super) async fn keep_all(&self, prefix: &str) -> Result<(), (usize, Why)> {
        let keys = self
            .keys()
            .await
            .map_err(|failure| (0, Why::Failed(failure)))?;
        let at_ms = self.now_ms();
        let mut current = self.mirrored.current.write();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            current.mark(key, Mark::Kept { at_ms });
        }
        Ok(())
    }
}

/// The changes from the first on that are each of another key.
pub(super) fn run(changes: &[Received]) -> &[Received] {
    let mut keys = HashSet::new();
    let other = |change: &Received| change.key().is_none_or(|key| !keys.insert(key.to_owned()));
    let end = changes.iter().position(other).unwrap_or(changes.len());
    changes.split_at(end).0
}
