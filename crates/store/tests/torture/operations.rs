//! What else the client of the workload does: counters, expiries, prefixes, batches, whole keyspaces.

use std::sync::Arc;

use standpipe_store::{
    Batched, Conditions, Counted, Done, Durability, Eviction, Increment, Keyspace, KeyspaceError,
    Meta, Operation, Policy, Touched, Versions, Writer,
};

use crate::harness::{self, Seen, block_on, seen};
use crate::promises::{Change, Key};
use crate::workload::{Workload, foreign};

/// Names beside `default`, of keyspaces that come and go.
const NAMES: [&str; 2] = ["a", "b"];

impl Workload {
    /// Does one of the rarer things.
    pub(crate) fn operate(&mut self) {
        match self.dice.below(42) {
            0..8 => self.increment(),
            8..14 => self.touch(),
            14..17 => self.delete_prefix(),
            17..25 => self.batch(),
            25..29 => self.set_keyspace(),
            29 => self.drop_keyspace(),
            _ => self.sink(),
        }
    }

    /// What `keyspace` shows for `key` now.
    fn shown(&self, keyspace: &Keyspace, key: &[u8]) -> (Key, Seen) {
        let entry = self.store().get(keyspace, key).entry.unwrap();
        let of = (keyspace.name().to_owned(), key.to_vec());
        (of, seen(self.store(), &entry))
    }

    fn increment(&mut self) {
        let keyspace = self.keyspace();
        // Keys of their own: what is put elsewhere is no number.
        let key = format!("counter-{}", self.dice.below(3)).into_bytes();
        let by = i64::try_from(self.dice.below(9)).unwrap() - 3;
        let increment = Increment {
            by,
            min: Some(-5),
            expires_at_ms: self.expiry(),
            ..Increment::default()
        };
        let store = self.store().clone();
        let before = store.get(&keyspace, &key).entry;
        let before = before.map_or(0, |entry| store.number(&entry).unwrap());
        let level = self.level();
        let done = match block_on(store.increment(&keyspace, &key, &increment, level)) {
            Ok(done) => done,
            Err(e) => return self.failed("increment", &e),
        };
        match done.outcome {
            Counted::Added {
                value, previous, ..
            } => {
                assert_eq!((value, previous), (before + by, before));
                let (of, seen) = self.shown(&keyspace, &key);
                let change = Change::Count(of, seen, by);
                self.say(format!("increment {:?}", done.own));
                self.model.took(done.own.unwrap(), change);
            }
            Counted::OutOfRange { current } => {
                assert_eq!(current, before);
                self.rests(&(keyspace.name().to_owned(), key), done.seen);
            }
            Counted::NotACounter | Counted::Foreign(_) | Counted::PendingOutOfRange { .. } => {
                panic!("nobody puts anything else there")
            }
        }
        self.maybe_wait(done.seen.max(done.own.unwrap_or(0)));
    }

    fn touch(&mut self) {
        let (keyspace, key, expires) = (self.keyspace(), self.key(), self.expiry());
        let lifetime = self.lifetime(expires);
        let store = self.store().clone();
        let before = store.get(&keyspace, &key).entry;
        let when = Conditions::default();
        let (level, by) = (self.level(), self.by());
        let foreign = foreign(&store, before.as_ref(), by);
        let touch = store.touch(&keyspace, &key, lifetime, &when, by, level);
        let touch = match block_on(touch) {
            Ok(touch) => touch,
            Err(e) => return self.failed("touch", &e),
        };
        let of = (keyspace.name().to_owned(), key.clone());
        match (touch.outcome, before) {
            (Touched::Foreign(_), Some(_)) => assert!(foreign),
            (Touched::Set(after), Some(before)) => {
                assert!(!foreign);
                assert_eq!(after.value(), before.value());
                assert_eq!(after.created_at_ms(), before.created_at_ms());
                assert_eq!(after.lifetime(), lifetime);
            }
            (Touched::Absent, None) => self.rests(&of, touch.seen),
            (outcome, before) => panic!("{outcome:?} of {before:?}"),
        }
        self.say(format!("touch {:?}", touch.own));
        if let Some(own) = touch.own {
            let (of, seen) = self.shown(&keyspace, &key);
            self.model.took(own, Change::Touch(of, seen));
        }
        self.maybe_wait(touch.seen.max(touch.own.unwrap_or(0)));
    }

    fn delete_prefix(&mut self) {
        let keyspace = self.keyspace();
        let prefix: &[u8] = [&b"key-"[..], b"key-1", b"counter", b"x"][self.dice.below(4)];
        let store = self.store().clone();
        let level = self.level();
        let there = self.model.keyspace(keyspace.name(), self.clock.now_ms());
        // What a source wrote stays.
        let there = there.into_iter().filter(|(_, seen)| seen.owner.is_none());
        let there = there
            .map(|(key, _)| key)
            .filter(|key| key.starts_with(prefix));
        let of = |key| (keyspace.name().to_owned(), key);
        let gone: Vec<_> = there.map(|key| Change::Delete(of(key))).collect();
        let delete = match block_on(store.delete_prefix(&keyspace, prefix, level)) {
            Ok(delete) => delete,
            Err(e) => return self.failed("delete_prefix", &e),
        };
        self.say(format!("delete {} by prefix: {:?}", gone.len(), delete.own));
        assert_eq!(usize::try_from(delete.flushed).unwrap(), gone.len());
        assert_eq!(delete.own.is_some(), !gone.is_empty());
        if let Some(own) = delete.own {
            self.model.took(own, Change::Batch(gone));
        }
        self.maybe_wait(delete.seen.max(delete.own.unwrap_or(0)));
    }

    fn batch(&mut self) {
        let keyspace = self.keyspace();
        let (put, delete, read) = (self.key(), self.key(), self.key());
        let counter = format!("counter-{}", self.dice.below(3)).into_bytes();
        let mut value = self.value();
        value.truncate(9_000);
        let expires = self.expiry();
        let (store, level) = (self.store().clone(), self.level());
        let when = if self.dice.below(4) == 0 {
            Conditions {
                if_match: Some(Versions::Any),
                ..Conditions::default()
            }
        } else {
            Conditions::default()
        };
        let draft = harness::draft(&store, &put, &value, Meta::BINARY, expires);
        let mut operations = vec![Operation::Put { draft, when }];
        let key = counter.as_slice();
        let increment = Increment::default();
        operations.push(Operation::Increment { key, increment });
        if delete != put {
            let (key, when) = (delete.as_slice(), Conditions::default());
            operations.push(Operation::Delete { key, when });
        }
        if read != put && read != delete {
            operations.push(Operation::Get { key: &read });
        }
        let before = [&put, &delete].map(|key| store.get(&keyspace, key).entry);
        let foreign = |at: usize| foreign(&store, before[at].as_ref(), Writer::Client);
        let (existed, foreign) = (before[0].is_some(), foreign(0) || foreign(1));
        let batch = match block_on(store.batch(&keyspace, operations, level)) {
            Ok(batch) => batch,
            Err(e) => return self.failed("batch", &e),
        };
        self.say(format!("batch {:?}", batch.own));
        let name = || keyspace.name().to_owned();
        match batch.outcome {
            Batched::Done(done) => {
                let (of, seen) = self.shown(&keyspace, &put);
                let (counted, sum) = self.shown(&keyspace, &counter);
                let count = Change::Count(counted, sum, increment.by);
                let mut changes = vec![Change::Put(of, seen), count];
                let deleted = |done: &Done| matches!(done, Done::Deleted { existed: true });
                if done.iter().any(deleted) {
                    changes.push(Change::Delete((name(), delete)));
                }
                self.model.took(batch.own.unwrap(), Change::Batch(changes));
            }
            Batched::Failed { index, why } => {
                let refused = when.if_match.is_some() && !existed;
                assert!(refused || foreign, "{index}: {why:?}");
                let of = if index == 0 { put } else { delete };
                self.rests(&(name(), of), batch.seen);
            }
        }
        self.maybe_wait(batch.seen.max(batch.own.unwrap_or(0)));
    }

    fn set_keyspace(&mut self) {
        let name = ["default", NAMES[0], NAMES[1], NAMES[0], NAMES[1]][self.dice.below(5)];
        let pending = self.pending();
        let owed = self.model.owed(name);
        let policy = Policy {
            pending,
            durability: [Durability::Synced, Durability::Written][self.dice.below(2)],
            ttl_ms: (self.dice.below(2) == 0).then_some(1_000),
            eviction: [Eviction::Sieve, Eviction::None][self.dice.below(2)],
            ..Policy::default()
        };
        let store = self.store().clone();
        let existed = store.keyspace(name).is_some();
        let set = match block_on(store.set_keyspace(name, &policy, 3)) {
            Ok(set) => set,
            Err(KeyspaceError::SinkPending { .. }) if !owed.lets(pending) => return,
            Err(e) => return self.failed("set_keyspace", &e),
        };
        assert!(owed.lets(pending), "{owed:?} for {pending:?}");
        assert_eq!(set.created, !existed);
        self.say(format!("set {name} {:?}", set.own));
        if let Some(own) = set.own {
            let name = name.to_owned();
            let change = if set.created {
                Change::Create(name, policy)
            } else {
                Change::Policy(name, policy)
            };
            self.model.took(own, change);
        }
        self.maybe_wait(set.seen);
    }

    fn drop_keyspace(&mut self) {
        let name = NAMES[self.dice.below(2)];
        let store = self.store().clone();
        let Some(keyspace) = store.keyspace(name) else {
            return;
        };
        let level = self.level();
        // A generation of which everything is buried holds nothing.
        let empty = self.model.owed(name).rows() == 0;
        let own = match block_on(store.drop_keyspace(&Arc::clone(&keyspace), level)) {
            Ok(own) => own.unwrap(),
            Err(KeyspaceError::SinkPending { .. }) if !empty => return,
            Err(e) => return self.failed("drop_keyspace", &e),
        };
        assert!(empty, "it was dropped over what is pending");
        self.say(format!("drop {name} {own}"));
        self.model.took(own, Change::Drop(name.to_owned()));
        self.maybe_wait(own);
    }
}
