//! A store in a directory of its own, whose one keyspace keeps something for a sink.

use std::path::Path;
use std::sync::Arc;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Batched, Clock, Conditions, Counted, Deletes, Durability, Eviction, Frozen, Increment,
    Keyspace, KeyspaceError, Level, Lifetime, Meta, Operation, Options, Passed, Pending,
    PendingError, Policy, Progress, Putted, Store, Total, WriteError, Writer, block_on,
};

pub(crate) const NONE: Conditions<'static> = Conditions {
    if_match: None,
    if_none_match: None,
};
pub(crate) const LEVEL: Level = Level::Durable;
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;
pub(crate) const SUMS: Pending = Pending::Sums { most: 1_000 };

pub(crate) const fn latest(deletes: Deletes) -> Pending {
    Pending::Latest {
        deletes,
        most: 1_000,
    }
}

/// A store in a directory of its own, with one keyspace.
pub(crate) struct Place {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    pub(crate) clock: Arc<Clock>,
    opened: Option<Store>,
    pub(crate) policy: Policy,
}

pub(crate) fn open(path: &Path, clock: &Arc<Clock>) -> Store {
    let dir = Arc::new(RealDir::open(path).unwrap());
    let options = Options {
        max_record_bytes: 16 << 10,
        ..Options::default()
    };
    Store::open(dir, Arc::clone(clock), options, &Progress::new()).unwrap()
}

impl Place {
    pub(crate) fn new(pending: Pending) -> Self {
        Self::of(Policy {
            pending,
            ..Policy::of(Durability::Synced)
        })
    }

    pub(crate) fn of(policy: Policy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let clock = Arc::new(Clock::manual(NOW_MS));
        let store = open(&path, &clock);
        block_on(store.set_keyspace("k", &policy, 9)).unwrap();
        Self {
            _dir: dir,
            path,
            clock,
            opened: Some(store),
            policy,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        self.opened.as_ref().unwrap()
    }

    pub(crate) fn keyspace(&self) -> Arc<Keyspace> {
        self.store().keyspace("k").unwrap()
    }

    pub(crate) fn set(&mut self, pending: Pending) -> Result<(), KeyspaceError> {
        let policy = Policy {
            pending,
            ..self.policy
        };
        block_on(self.store().set_keyspace("k", &policy, 9))?;
        self.policy = policy;
        Ok(())
    }

    pub(crate) fn count(&self, key: &str, by: i64) -> Result<Counted, WriteError> {
        let increment = Increment {
            by,
            ..Increment::default()
        };
        let keyspace = self.keyspace();
        let counted = self
            .store()
            .increment(&keyspace, key.as_bytes(), &increment, LEVEL);
        Ok(block_on(counted)?.outcome)
    }

    pub(crate) fn counted(&self, key: &str, by: i64) {
        assert!(matches!(self.count(key, by), Ok(Counted::Added { .. })));
    }

    pub(crate) fn put_until(
        &self,
        key: &str,
        value: &str,
        expires: Option<u64>,
    ) -> Result<(), WriteError> {
        let meta = Meta::of_type(Meta::TEXT);
        let (key, lifetime) = (key.as_bytes(), Lifetime::until(expires));
        let mut draft = self.store().draft(key, value.len(), &meta, lifetime)?;
        draft.fill(|place| place.copy_from_slice(value.as_bytes()));
        let put = block_on(self.store().put(&self.keyspace(), draft, &NONE, LEVEL))?;
        assert!(matches!(put.outcome, Putted::Stored { .. }));
        Ok(())
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        self.put_until(key, value, None).unwrap();
    }

    pub(crate) fn delete(&self, key: &str) {
        let keyspace = self.keyspace();
        let by = Writer::Client;
        let delete = self
            .store()
            .delete(&keyspace, key.as_bytes(), &NONE, by, LEVEL);
        block_on(delete).unwrap();
    }

    pub(crate) fn flush(&self) {
        block_on(self.store().flush(&self.keyspace(), LEVEL)).unwrap();
    }

    pub(crate) fn freeze(&self) -> Option<Frozen> {
        let freeze = block_on(self.store().freeze(&self.keyspace())).unwrap();
        block_on(self.store().wait_durable(freeze.seen)).unwrap();
        freeze.frozen
    }

    pub(crate) fn drop_generation(&self, generation: u64) -> Option<u64> {
        let keyspace = self.keyspace();
        let dropped = self.store().drop_generation(&keyspace, generation);
        block_on(dropped).unwrap().own
    }

    /// The frozen generation, read three rows at a time.
    pub(crate) fn frozen(&self, generation: u64) -> Vec<(String, String)> {
        let (keyspace, mut all) = (self.keyspace(), Vec::new());
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let page = self
                .store()
                .frozen_page(&keyspace, generation, after.as_deref(), 3);
            let page = page.unwrap();
            for row in page.rows {
                let what = match &row.passed {
                    Passed::Sum(sum) => format!("{sum:+}"),
                    Passed::Value(entry) => text(entry.value()),
                    Passed::Gone => "gone".to_owned(),
                    Passed::Nothing => "nothing".to_owned(),
                };
                all.push((text(&row.key), what));
                after = Some(row.key);
            }
            if page.end {
                return all;
            }
        }
    }

    /// Everything that is pending, two at a time.
    pub(crate) fn pending(&self, prefix: &str) -> Vec<(String, String)> {
        let (keyspace, mut all) = (self.keyspace(), Vec::new());
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let page = self
                .store()
                .pending_page(&keyspace, prefix.as_bytes(), after.as_deref(), 2);
            for row in page.rows {
                all.push((text(&row.key), total(row.total)));
                after = Some(row.key);
            }
            if page.end {
                return all;
            }
        }
    }

    pub(crate) fn dead(&self) -> Vec<(String, String, String)> {
        let page = self.store().dead(&self.keyspace(), None, 100);
        assert!(page.end);
        let letters = page.letters.into_iter();
        letters
            .map(|dead| (text(&dead.key), total(dead.total), dead.reason.into()))
            .collect()
    }

    pub(crate) fn bury(
        &self,
        generation: u64,
        keys: &[(&str, &str)],
        most: u64,
    ) -> Result<u64, PendingError> {
        let keys: Vec<_> = keys
            .iter()
            .map(|(key, reason)| (key.as_bytes(), *reason))
            .collect();
        let keyspace = self.keyspace();
        let bury = self.store().bury(&keyspace, generation, &keys, most);
        Ok(block_on(bury)?.buried)
    }

    pub(crate) fn redrive(&self, keys: Option<&[&str]>) -> (u64, Vec<String>) {
        let keys: Option<Vec<&[u8]>> =
            keys.map(|keys| keys.iter().map(|key| key.as_bytes()).collect());
        let keyspace = self.keyspace();
        let redrive = self.store().redrive(&keyspace, keys.as_deref());
        let redrive = block_on(redrive).unwrap();
        let kept = redrive.kept.iter().map(|key| text(key));
        (redrive.redriven, kept.collect())
    }

    /// All that can be seen of it.
    pub(crate) fn whole(&self) -> Whole {
        let frozen = self.store().frozen(&self.keyspace()).frozen;
        let counts = self.store().pending_counts(&self.keyspace());
        Whole {
            generation: counts.generation,
            keys: counts.keys,
            since_ms: counts.since_ms,
            rows: frozen.map(|frozen| self.frozen(frozen.generation)),
            frozen,
            pending: self.pending(""),
            dead: self.dead(),
        }
    }

    /// Opens it anew, out of the log and then out of a snapshot: it is the same.
    pub(crate) fn restarts(&mut self) {
        let whole = self.whole();
        for from in ["the log", "a snapshot"] {
            self.opened.take().unwrap().close().unwrap();
            self.opened = Some(open(&self.path, &self.clock));
            assert_eq!(self.whole(), whole, "out of {from}");
            block_on(self.store().compact()).unwrap();
        }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Whole {
    generation: u64,
    keys: u64,
    since_ms: Option<u64>,
    frozen: Option<Frozen>,
    rows: Option<Vec<(String, String)>>,
    pending: Vec<(String, String)>,
    dead: Vec<(String, String, String)>,
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn total(total: Total) -> String {
    match total {
        Total::Sum(sum) => format!("{sum:+}"),
        Total::Mark => "marked".to_owned(),
    }
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, what)| ((*key).to_owned(), (*what).to_owned()))
        .collect()
}

pub(crate) fn atomic(place: &Place, operations: Vec<Operation<'_>>) -> Batched {
    let keyspace = place.keyspace();
    let batch = place.store().batch(&keyspace, operations, LEVEL);
    block_on(batch).unwrap().outcome
}

pub(crate) fn counting(key: &str, by: i64) -> Operation<'_> {
    Operation::Increment {
        key: key.as_bytes(),
        increment: Increment {
            by,
            ..Increment::default()
        },
    }
}

/// A keyspace of 16 KiB.
pub(crate) fn bounded(eviction: Eviction) -> Place {
    Place::of(Policy {
        max_bytes: Some(16 << 10),
        eviction,
        pending: latest(Deletes::Ignore),
        ..Policy::of(Durability::Synced)
    })
}
