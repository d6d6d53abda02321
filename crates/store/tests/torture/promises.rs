//! The model that a store is held to: all changes in revision order, and what was promised about them.

use std::collections::{BTreeMap, HashMap};

use standpipe_store::{Pending, Policy, Store};

use crate::harness::{Seen, seen};
use crate::owed::{self, Owed, Shown};

/// A key of a keyspace.
pub(crate) type Key = (String, Vec<u8>);

/// A key of the keyspace that always exists.
pub(crate) fn of_default(key: &str) -> Key {
    ("default".to_owned(), key.as_bytes().to_vec())
}

/// A change that the store has taken, in the words of the model.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Put(Key, Seen),
    /// The same by an increment of so much.
    Count(Key, Seen, i64),
    /// The same with another lifetime alone.
    Touch(Key, Seen),
    Delete(Key),
    /// At this time: what had expired was not there.
    Flush(String, u64),
    /// The keyspace is new, with this policy.
    Create(String, Policy),
    /// The keyspace has another policy.
    Policy(String, Policy),
    Drop(String),
    /// What is pending is to be passed on by a sink; with the mark of the start.
    Freeze(String, u64),
    /// It was.
    DropGeneration(String),
    /// Some of it cannot be.
    Bury(String, Vec<Vec<u8>>),
    /// Some of that is pending again.
    Redrive(String, Vec<Vec<u8>>),
    /// Several of one revision.
    Batch(Vec<Self>),
}

impl Change {
    /// Whether an answer about `key` may rest on this.
    fn concerns(&self, key: &Key) -> bool {
        match self {
            Self::Put(of, _) | Self::Count(of, ..) | Self::Touch(of, _) | Self::Delete(of) => {
                of == key
            }
            Self::Flush(name, _) | Self::Create(name, _) | Self::Drop(name) => *name == key.0,
            Self::Policy(..)
            | Self::Freeze(..)
            | Self::DropGeneration(_)
            | Self::Bury(..)
            | Self::Redrive(..) => false,
            Self::Batch(changes) => changes.iter().any(|change| change.concerns(key)),
        }
    }

    fn puts(&self) -> Vec<(&Key, &Seen)> {
        match self {
            Self::Put(key, seen) | Self::Count(key, seen, _) | Self::Touch(key, seen) => {
                vec![(key, seen)]
            }
            Self::Batch(changes) => changes.iter().flat_map(Self::puts).collect(),
            Self::Delete(_)
            | Self::Flush(..)
            | Self::Create(..)
            | Self::Policy(..)
            | Self::Drop(_)
            | Self::Freeze(..)
            | Self::DropGeneration(_)
            | Self::Bury(..)
            | Self::Redrive(..) => Vec::new(),
        }
    }

    fn apply(&self, contents: &mut Contents) {
        match self {
            Self::Put(key, seen) => contents.put(key, seen, None),
            Self::Count(key, seen, by) => contents.put(key, seen, Some(*by)),
            Self::Touch(key, seen) => drop(contents.entries.insert(key.clone(), seen.clone())),
            Self::Delete(key) => {
                let (pending, owed) = contents.owed(&key.0);
                owed.delete(pending, &key.1);
                contents.entries.remove(key);
            }
            Self::Flush(name, now_ms) => {
                let live = |(of, seen): (&Key, &Seen)| {
                    let stays = seen.lifetime.expires_at_ms.is_none_or(|at| at > *now_ms);
                    (of.0 == *name && stays).then(|| of.1.clone())
                };
                let gone: Vec<_> = contents.entries.iter().filter_map(live).collect();
                let (pending, owed) = contents.owed(name);
                for key in gone {
                    owed.delete(pending, &key);
                }
                contents.entries.retain(|(of, _), _| of != name);
            }
            Self::Create(name, policy) | Self::Policy(name, policy) => {
                contents.keyspaces.insert(name.clone(), *policy);
            }
            Self::Drop(name) => {
                contents.keyspaces.remove(name);
                contents.owed.remove(name);
                contents.entries.retain(|(of, _), _| of != name);
            }
            Self::Freeze(name, mark) => contents.owed(name).1.freeze(*mark),
            Self::DropGeneration(name) => contents.owed(name).1.drop_generation(),
            Self::Bury(name, keys) => contents.owed(name).1.bury(keys),
            Self::Redrive(name, keys) => contents.owed(name).1.redrive(keys),
            Self::Batch(changes) => {
                for change in changes {
                    change.apply(contents);
                }
            }
        }
    }
}

/// Everything that there is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub(crate) keyspaces: BTreeMap<String, Policy>,
    pub(crate) entries: BTreeMap<Key, Seen>,
    pub(crate) owed: BTreeMap<String, Owed>,
}

/// Everything that a store shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Everything {
    pub(crate) keyspaces: BTreeMap<String, Policy>,
    pub(crate) entries: BTreeMap<Key, Seen>,
    pub(crate) owed: BTreeMap<String, Shown>,
}

impl Contents {
    /// What the keyspace keeps for a sink.
    fn owed(&mut self, name: &str) -> (Pending, &mut Owed) {
        let pending = self.keyspaces.get(name).map(|policy| policy.pending);
        let owed = self.owed.entry(name.to_owned()).or_default();
        (pending.unwrap_or_default(), owed)
    }

    fn put(&mut self, key: &Key, seen: &Seen, by: Option<i64>) {
        let (pending, owed) = self.owed(&key.0);
        owed.put(pending, &key.1, by);
        self.entries.insert(key.clone(), seen.clone());
    }

    /// As a store shows it at `now_ms`.
    fn shown(mut self, now_ms: u64) -> Everything {
        self.entries
            .retain(|_, seen| seen.lifetime.expires_at_ms.is_none_or(|at| at > now_ms));
        let owed = self.keyspaces.keys().map(|name| {
            let owed = self.owed.get(name).cloned().unwrap_or_default();
            (name.clone(), owed.shown())
        });
        Everything {
            owed: owed.collect(),
            keyspaces: self.keyspaces,
            entries: self.entries,
        }
    }
}

/// All changes in revision order, and what was promised about them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    changes: BTreeMap<u64, Change>,
    /// The policy of `default` as the store made it.
    pub(crate) default: Policy,
    /// Everything up to here was acknowledged as durable, or shown by an answer.
    pub(crate) promised: u64,
    /// Which change each version of a key was given to: a lost change's version must not come back for another.
    versions: HashMap<(Key, (u64, u64)), String>,
}

impl Model {
    /// Notes a change that the store has taken.
    pub(crate) fn took(&mut self, revision: u64, change: Change) {
        for (key, seen) in change.puts() {
            let name = format!("{revision} {key:?} {seen:?}");
            let version = (key.clone(), seen.version);
            let before = self.versions.insert(version, name.clone());
            assert!(
                before.is_none(),
                "version {:?} was given to {before:?} and then to {name}",
                seen.version
            );
        }
        let before = self.changes.insert(revision, change);
        assert!(
            before.is_none(),
            "revision {revision} was taken twice: {before:?}"
        );
    }

    /// Notes that everything up to `revision` is promised to survive.
    pub(crate) fn promise(&mut self, revision: u64) {
        self.promised = self.promised.max(revision);
    }

    /// The newest change.
    pub(crate) fn newest(&self) -> u64 {
        self.changes.keys().next_back().copied().unwrap_or(0)
    }

    /// The newest change of a key: what an answer about it rests on.
    pub(crate) fn newest_of(&self, key: &Key) -> u64 {
        let mut changes = self.changes.iter().rev();
        let newest = changes.find(|(_, change)| change.concerns(key));
        newest.map_or(0, |(revision, _)| *revision)
    }

    /// What there is after all changes up to `revision`, the expired included.
    pub(crate) fn contents(&self, revision: u64) -> Contents {
        let mut contents = Contents::default();
        contents
            .keyspaces
            .insert("default".to_owned(), self.default);
        for (_, change) in self.changes.range(..=revision) {
            change.apply(&mut contents);
        }
        contents
    }

    /// What a keyspace keeps for a sink after all changes.
    pub(crate) fn owed(&self, name: &str) -> Owed {
        let mut contents = self.contents(self.newest());
        contents.owed.remove(name).unwrap_or_default()
    }

    /// What is visible at `now_ms` of one keyspace, after all changes.
    pub(crate) fn keyspace(&self, name: &str, now_ms: u64) -> BTreeMap<Vec<u8>, Seen> {
        let contents = self.contents(self.newest()).shown(now_ms);
        let entries = contents.entries.into_iter();
        entries
            .filter(|((of, _), _)| of == name)
            .map(|((_, key), seen)| (key, seen))
            .collect()
    }

    /// Holds what a recovered store shows to the promises: it is the state after some prefix of the changes that holds
    /// all that was promised. Forgets the changes that were lost, and returns the last that was kept.
    pub(crate) fn check(&mut self, store: &Store, now_ms: u64) -> u64 {
        let shown = contents(store);
        // Changes that the model knows nothing of, such as expiry, have revisions too: what was promised need not be one of
        // its own. Of several prefixes that look the same the shortest is taken, so that no revision is taken twice.
        let later = self
            .changes
            .range(self.promised..)
            .map(|(revision, _)| *revision);
        let mut candidates = [self.promised].into_iter().chain(later);
        let kept = candidates.find(|r| self.contents(*r).shown(now_ms) == shown);
        let Some(kept) = kept else {
            self.explain(&shown, now_ms);
        };
        let all = self.contents(kept).entries;
        for keyspace in store.keyspaces() {
            let entry = |key: &[u8]| {
                let key = (keyspace.name().to_owned(), key.to_vec());
                all.get(&key).cloned()
            };
            owed::check_passed(store, &keyspace, entry, now_ms);
        }
        self.changes.retain(|revision, _| *revision <= kept);
        kept
    }

    fn explain(&self, shown: &Everything, now_ms: u64) -> ! {
        let any = self
            .changes
            .keys()
            .rev()
            .find(|r| self.contents(**r).shown(now_ms) == *shown);
        let newest = self.contents(self.newest()).shown(now_ms);
        let brief = |contents: &Everything| -> Vec<String> {
            let line = |((name, key), seen): (&Key, &Seen)| {
                let key = String::from_utf8_lossy(key);
                format!("{name}/{key} {:?} {} bytes", seen.version, seen.value.len())
            };
            let keyspaces = contents.keyspaces.iter().map(|one| format!("{one:?}"));
            let owed = contents.owed.iter().map(|one| format!("{one:?}"));
            let entries = contents.entries.iter().map(line);
            keyspaces.chain(owed).chain(entries).collect()
        };
        panic!(
            "promised up to {}, but the store shows the state at {any:?}\nshown: {:#?}\nnewest: {:#?}",
            self.promised,
            brief(shown),
            brief(&newest)
        )
    }
}

/// Everything that the store shows, by listing and by single reads, which must agree.
pub(crate) fn contents(store: &Store) -> Everything {
    let mut contents = Everything::default();
    for keyspace in store.keyspaces() {
        let name = keyspace.name().to_owned();
        contents.keyspaces.insert(name.clone(), keyspace.policy());
        let owed = owed::shown(store, &keyspace);
        contents.owed.insert(name.clone(), owed);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(&keyspace, b"", after.as_deref(), 7);
            let Some(last) = page.entries.last() else {
                break;
            };
            let last = last.key().to_vec();
            for entry in &page.entries {
                let read = store.get(&keyspace, entry.key()).entry.unwrap();
                assert_eq!(seen(store, &read), seen(store, entry));
                let key = (name.clone(), entry.key().to_vec());
                contents.entries.insert(key, seen(store, entry));
            }
            assert!(
                after.is_none_or(|after| after < last),
                "listing goes forward"
            );
            after = Some(last);
        }
    }
    contents
}
