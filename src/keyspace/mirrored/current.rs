//! How current a mirrored keyspace is: when it was last known that what is here is what is there. It must not know what is here.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::engine::Entry;
use crate::keyspace::Refusal;

/// The most keys that are marked; further ones are as current as the rest.
const MARKS: usize = 100_000;
/// The longest key that is marked; longer ones are as current as the rest.
const MARKED_BYTES: usize = 4 << 10;

/// Which keys something is said of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whom<'k> {
    /// All of which nothing else is said.
    All,
    /// This one.
    Key(&'k str),
}

/// Since when it is not known any more that what is here is what is there, if at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Contact {
    /// It was never known in this process.
    #[default]
    Never,
    /// It is known: every change is told.
    Live,
    /// It was asked for at this time, in Unix milliseconds, and will be again.
    Asked {
        /// When.
        at_ms: u64,
    },
    /// Since this time, in Unix milliseconds.
    Lost {
        /// When.
        at_ms: u64,
    },
}

/// How current an answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Freshness {
    /// How long ago it was known for the last time that the value is the upstream's.
    pub age: Duration,
    /// Whether it may be another one by now without anybody telling us.
    pub stale: bool,
}

/// What there is to say of one key.
#[derive(Clone, Debug)]
pub(super) enum Mark {
    /// The upstream has it no longer, since then.
    Kept { at_ms: u64 },
    /// Its newest value was not taken, since then.
    Refused { at_ms: u64, why: Refusal },
}

/// How current the keys are.
#[derive(Debug, Default)]
pub(super) struct Current {
    all: Contact,
    keys: HashMap<Box<str>, Contact>,
    marks: BTreeMap<String, Mark>,
}

impl Current {
    pub(super) fn set(&mut self, whom: Whom<'_>, contact: Contact) {
        match whom {
            Whom::All => self.all = contact,
            Whom::Key(key) => {
                self.keys.insert(key.into(), contact);
            }
        }
    }

    /// Something is said of each of these keys for itself from now on, and of no others.
    pub(super) fn follow_each(&mut self, keys: &[String]) {
        let mut before = std::mem::take(&mut self.keys);
        for key in keys {
            let contact = before.remove(&**key).unwrap_or_default();
            self.keys.insert((&**key).into(), contact);
        }
    }

    /// The upstream is out of reach from now on.
    pub(super) fn lose(&mut self, whom: Whom<'_>, now_ms: u64) {
        let contact = match whom {
            Whom::All => Some(&mut self.all),
            Whom::Key(key) => self.keys.get_mut(key),
        };
        if let Some(contact) = contact {
            contact.lose(now_ms);
        }
    }

    /// The same of everything: whoever kept it current is gone.
    pub(super) fn lose_all(&mut self, now_ms: u64) {
        for contact in [&mut self.all].into_iter().chain(self.keys.values_mut()) {
            contact.lose(now_ms);
        }
    }

    pub(super) fn marks(&self) -> &BTreeMap<String, Mark> {
        &self.marks
    }

    pub(super) fn mark(&mut self, key: &str, mark: Mark) {
        if let (Some(Mark::Kept { .. }), Mark::Kept { .. }) = (self.marks.get(key), &mark) {
            // That it is gone is no news, and it is as old as it is.
            return;
        }
        let room = self.marks.len() < MARKS && key.len() <= MARKED_BYTES;
        if room || self.marks.contains_key(key) {
            self.marks.insert(key.to_owned(), mark);
        }
    }

    /// There is nothing to say of these keys any more.
    pub(super) fn unmark(&mut self, key: &str) {
        if !self.marks.is_empty() {
            self.marks.remove(key);
        }
    }

    pub(super) fn unmark_prefix(&mut self, prefix: &str) {
        self.marks.retain(|key, _| !key.starts_with(prefix));
    }

    pub(super) fn of(&self, key: &[u8], entry: &Entry, now_ms: u64) -> Freshness {
        let key = str::from_utf8(key).unwrap_or_default();
        let (at_ms, stale) = match self.marks.get(key) {
            Some(Mark::Kept { at_ms } | Mark::Refused { at_ms, .. }) => (*at_ms, true),
            None => match self.keys.get(key).unwrap_or(&self.all) {
                // What was stored was the upstream's when it was stored.
                Contact::Never => (entry.created_at_ms, true),
                Contact::Live => (now_ms, false),
                Contact::Asked { at_ms } => (*at_ms, false),
                Contact::Lost { at_ms } => (*at_ms, true),
            },
        };
        Freshness {
            age: Duration::from_millis(now_ms.saturating_sub(at_ms)),
            stale,
        }
    }

    /// The same of everything together: as of what is the least current. `None` where that was never known.
    pub(super) fn of_all(&self, now_ms: u64) -> Option<Freshness> {
        let mut least = Freshness {
            age: Duration::ZERO,
            stale: false,
        };
        // Where each key is followed for itself, nothing is said of all of them.
        let all = self.keys.is_empty().then_some(&self.all);
        for contact in all.into_iter().chain(self.keys.values()) {
            let (at_ms, stale) = match contact {
                Contact::Never => return None,
                Contact::Live => (now_ms, false),
                Contact::Asked { at_ms } => (*at_ms, false),
                Contact::Lost { at_ms } => (*at_ms, true),
            };
            least.age = least
                .age
                .max(Duration::from_millis(now_ms.saturating_sub(at_ms)));
            least.stale |= stale;
        }
        Some(least)
    }

    /// The same of one key, as far as its contact goes.
    pub(super) fn of_key(&self, key: &str, now_ms: u64) -> Option<Freshness> {
        let alone = Self {
            all: *self.keys.get(key)?,
            ..Self::default()
        };
        alone.of_all(now_ms)
    }
}

impl Contact {
    fn lose(&mut self, now_ms: u64) {
        match *self {
            Self::Live => *self = Self::Lost { at_ms: now_ms },
            Self::Asked { at_ms } => *self = Self::Lost { at_ms },
            Self::Never | Self::Lost { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::engine::{MediaType, Version};

    fn entry() -> Entry {
        Entry {
            value: Bytes::new(),
            version: Version {
                mark: 1,
                revision: 1,
            },
            media_type: MediaType::Text,
            content_encoding: None,
            created_at_ms: 1_000,
            expires_at_ms: None,
            stale_at_ms: None,
            owner: None,
        }
    }

    fn of(current: &Current, key: &str) -> (u128, bool) {
        let Freshness { age, stale } = current.of(key.as_bytes(), &entry(), 10_000);
        (age.as_millis(), stale)
    }

    #[test]
    fn without_a_word_of_the_upstream_a_value_is_as_old_as_its_storing() {
        assert_eq!(of(&Current::default(), "a"), (9_000, true));
        assert_eq!(Current::default().of_all(10_000), None);
    }

    #[test]
    fn what_is_followed_is_current_until_it_is_lost() {
        let mut current = Current::default();
        current.set(Whom::All, Contact::Live);
        assert_eq!(of(&current, "a"), (0, false));
        current.lose(Whom::All, 8_000);
        current.lose(Whom::All, 9_000);
        assert_eq!(of(&current, "a"), (2_000, true), "since the first time");
        current.set(Whom::Key("b"), Contact::Asked { at_ms: 7_000 });
        assert_eq!(of(&current, "b"), (3_000, false));
        current.lose(Whom::Key("b"), 9_000);
        assert_eq!(of(&current, "b"), (3_000, true), "since it was asked for");
    }

    #[test]
    fn the_least_current_key_speaks_for_all() {
        let mut current = Current::default();
        current.set(Whom::Key("a"), Contact::Live);
        current.set(Whom::Key("b"), Contact::Asked { at_ms: 4_000 });
        let all = |current: &Current| current.of_all(10_000).unwrap();
        assert_eq!(all(&current).age.as_millis(), 6_000);
        assert!(!all(&current).stale);
        current.lose_all(9_000);
        assert!(all(&current).stale);
        current.set(Whom::Key("c"), Contact::Never);
        assert_eq!(current.of_all(10_000), None);
    }

    #[test]
    fn a_marked_key_is_stale_whatever_the_rest_is_and_marks_are_bounded() {
        let mut current = Current::default();
        current.set(Whom::All, Contact::Live);
        current.mark("a", Mark::Kept { at_ms: 9_500 });
        assert_eq!(of(&current, "a"), (500, true));
        assert_eq!(of(&current, "b"), (0, false));
        current.mark("a", Mark::Kept { at_ms: 9_900 });
        assert_eq!(of(&current, "a"), (500, true), "since the first time");
        current.unmark("a");
        assert_eq!(of(&current, "a"), (0, false));
        for n in 0..=MARKS {
            current.mark(&n.to_string(), Mark::Kept { at_ms: 1 });
        }
        assert_eq!(current.marks().len(), MARKS);
        let why = Refusal::NotACounter;
        current.mark("0", Mark::Refused { at_ms: 2, why });
        assert_eq!(of(&current, "0"), (9_998, true));
        current.unmark_prefix("");
        current.mark(&"k".repeat(MARKED_BYTES), Mark::Kept { at_ms: 1 });
        current.mark(&"l".repeat(MARKED_BYTES + 1), Mark::Kept { at_ms: 1 });
        assert_eq!(current.marks().len(), 1);
        current.unmark_prefix("");
        assert_eq!(current.marks().len(), 0);
    }
}
