//! What else the client of the workload does: it passes on what is pending, or buries it, or has it tried again.

use std::sync::Arc;

use standpipe_store::{Deletes, Keyspace, Pending};

use crate::harness::block_on;
use crate::promises::Change;
use crate::workload::Workload;

impl Workload {
    /// Something that a sink does.
    pub(crate) fn sink(&mut self) {
        let keyspace = self.keyspace();
        match self.dice.below(10) {
            0..4 => self.freeze(&keyspace),
            4..6 => self.bury(&keyspace),
            6..9 => self.drop_generation(&keyspace),
            _ => self.redrive(&keyspace),
        }
    }

    /// What a keyspace is told to keep.
    pub(crate) fn pending(&mut self) -> Pending {
        let most = 1_000;
        match self.dice.below(6) {
            0 | 1 => Pending::None,
            2 | 3 => Pending::Sums { most },
            4 => Pending::Latest {
                deletes: Deletes::Ignore,
                most,
            },
            _ => Pending::Latest {
                deletes: Deletes::Propagate,
                most,
            },
        }
    }

    fn freeze(&mut self, keyspace: &Arc<Keyspace>) {
        let owed = self.model.owed(keyspace.name());
        let store = self.store().clone();
        let freeze = match block_on(store.freeze(keyspace)) {
            Ok(freeze) => freeze,
            Err(e) => return self.failed("freeze", &e),
        };
        self.say(format!("freeze {} {freeze:?}", keyspace.name()));
        match (freeze.frozen, owed.frozen) {
            (None, None) => assert!(owed.current.is_empty()),
            (Some(frozen), Some((mark, rows))) => {
                assert_eq!(
                    (frozen.generation + 1, frozen.mark),
                    (owed.generation, mark)
                );
                assert_eq!(frozen.keys, u64::try_from(rows.len()).unwrap());
            }
            (Some(frozen), None) => {
                assert_eq!(frozen.generation, owed.generation);
                let change = Change::Freeze(keyspace.name().to_owned(), frozen.mark);
                self.model.took(freeze.own.unwrap(), change);
            }
            (None, Some(_)) => panic!("a generation is lost"),
        }
        self.maybe_wait(freeze.seen);
    }

    fn drop_generation(&mut self, keyspace: &Arc<Keyspace>) {
        let owed = self.model.owed(keyspace.name());
        // Sometimes one that has been dropped before.
        let before = self.dice.below(4);
        let generation = owed.generation.saturating_sub(1 + u64::from(before == 0));
        let expected = before > 0 && owed.frozen.is_some();
        if generation == 0 {
            return;
        }
        let store = self.store().clone();
        let dropped = match block_on(store.drop_generation(keyspace, generation)) {
            Ok(dropped) => dropped,
            Err(e) => return self.failed("drop_generation", &e),
        };
        self.say(format!("drop generation {generation} {dropped:?}"));
        assert_eq!(dropped.own.is_some(), expected);
        if let Some(own) = dropped.own {
            let change = Change::DropGeneration(keyspace.name().to_owned());
            self.model.took(own, change);
        }
        self.maybe_wait(dropped.seen);
    }

    fn bury(&mut self, keyspace: &Arc<Keyspace>) {
        let owed = self.model.owed(keyspace.name());
        let Some((_, rows)) = owed.frozen else {
            return;
        };
        let count = 1 + self.dice.below(3);
        let keys: Vec<Vec<u8>> = rows.into_keys().take(count).collect();
        let mut named: Vec<(&[u8], &str)> = keys.iter().map(|key| (&**key, "no")).collect();
        named.push((b"absent", "no"));
        let store = self.store().clone();
        let bury = store.bury(keyspace, owed.generation - 1, &named, 1_000);
        let bury = match block_on(bury) {
            Ok(bury) => bury,
            Err(e) => return self.failed("bury", &e),
        };
        self.say(format!("bury {bury:?}"));
        assert_eq!(bury.buried, u64::try_from(keys.len()).unwrap());
        if let Some(own) = bury.own {
            let change = Change::Bury(keyspace.name().to_owned(), keys);
            self.model.took(own, change);
        }
        self.maybe_wait(bury.own.unwrap_or(bury.seen));
    }

    fn redrive(&mut self, keyspace: &Arc<Keyspace>) {
        let dead = self.model.owed(keyspace.name()).dead;
        // While nothing more is to be pending there is no place for it.
        if keyspace.policy().pending == Pending::None {
            return;
        }
        let some = 1 + self.dice.below(3);
        let keys: Vec<Vec<u8>> = dead.into_keys().take(some).collect();
        let named: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
        let store = self.store().clone();
        let redrive = match block_on(store.redrive(keyspace, Some(&named))) {
            Ok(redrive) => redrive,
            Err(e) => return self.failed("redrive", &e),
        };
        self.say(format!("redrive {redrive:?}"));
        assert_eq!(redrive.redriven, u64::try_from(keys.len()).unwrap());
        if let Some(own) = redrive.own {
            let change = Change::Redrive(keyspace.name().to_owned(), keys);
            self.model.took(own, change);
        }
        self.maybe_wait(redrive.own.unwrap_or(redrive.seen));
    }
}
