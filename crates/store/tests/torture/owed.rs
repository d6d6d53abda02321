//! What a store keeps for a sink, in the words of the model: what each change makes pending, and what a sink does with it.

use std::collections::BTreeMap;

use standpipe_store::{Deletes, Keyspace, Passed, Pending, Store, Total};

use crate::harness::{Seen, seen};

/// What is pending, or dead, by key.
pub(crate) type Rows = BTreeMap<Vec<u8>, Total>;

/// What one keyspace keeps for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) generation: u64,
    /// With the mark of the start that froze it.
    pub(crate) frozen: Option<(u64, Rows)>,
    pub(crate) current: Rows,
    pub(crate) dead: Rows,
}

impl Default for Owed {
    fn default() -> Self {
        Self {
            generation: 1,
            frozen: None,
            current: Rows::new(),
            dead: Rows::new(),
        }
    }
}

/// The same as a store shows it: what is pending in both generations is shown together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    generation: u64,
    frozen: Option<(u64, Rows)>,
    all: Rows,
    rows: u64,
    dead: Rows,
}

fn added(rows: &mut Rows, key: &[u8], total: Total) {
    let before = rows.get(key).copied();
    let sum = match (before, total) {
        (Some(Total::Sum(one)), Total::Sum(other)) => Total::Sum(one + other),
        (_, total) => total,
    };
    rows.insert(key.to_vec(), sum);
}

impl Owed {
    /// How much is pending or dead.
    pub(crate) fn rows(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, |(_, rows)| rows.len());
        frozen + self.current.len() + self.dead.len()
    }

    /// Whether what is there lets this be kept from now on.
    pub(crate) fn lets(&self, pending: Pending) -> bool {
        let frozen = self.frozen.iter().flat_map(|(_, rows)| rows.values());
        let mut all = frozen
            .chain(self.current.values())
            .chain(self.dead.values());
        match pending {
            Pending::None => true,
            Pending::Sums { .. } => all.all(|total| *total != Total::Mark),
            Pending::Latest { .. } => all.all(|total| *total == Total::Mark),
        }
    }

    /// The key gets a value, by an increment of `by` where that is given.
    pub(crate) fn put(&mut self, pending: Pending, key: &[u8], by: Option<i64>) {
        match (pending, by) {
            (Pending::Latest { .. }, _) => added(&mut self.current, key, Total::Mark),
            (Pending::Sums { .. }, Some(by)) if by != 0 => {
                added(&mut self.current, key, Total::Sum(i128::from(by)));
            }
            (Pending::Sums { .. } | Pending::None, _) => {}
        }
    }

    /// The key was there and is removed by somebody.
    pub(crate) fn delete(&mut self, pending: Pending, key: &[u8]) {
        if let Pending::Latest {
            deletes: Deletes::Propagate,
            ..
        } = pending
        {
            added(&mut self.current, key, Total::Mark);
        }
    }

    pub(crate) fn freeze(&mut self, mark: u64) {
        assert!(self.frozen.is_none(), "one at a time");
        self.generation += 1;
        self.frozen = Some((mark, std::mem::take(&mut self.current)));
    }

    pub(crate) fn drop_generation(&mut self) {
        self.frozen = None;
    }

    pub(crate) fn bury(&mut self, keys: &[Vec<u8>]) {
        let Some((_, rows)) = &mut self.frozen else {
            panic!("nothing is frozen")
        };
        for key in keys {
            if let Some(total) = rows.remove(key) {
                added(&mut self.dead, key, total);
            }
        }
    }

    pub(crate) fn redrive(&mut self, keys: &[Vec<u8>]) {
        for key in keys {
            if let Some(total) = self.dead.remove(key) {
                added(&mut self.current, key, total);
            }
        }
    }

    pub(crate) fn shown(&self) -> Shown {
        let frozen = self.frozen.as_ref();
        let mut all = frozen.map_or_else(Rows::new, |(_, rows)| rows.clone());
        for (key, total) in &self.current {
            added(&mut all, key, *total);
        }
        let frozen_rows = frozen.map_or(0, |(_, rows)| rows.len());
        Shown {
            generation: self.generation,
            frozen: self.frozen.clone(),
            all,
            rows: u64::try_from(frozen_rows + self.current.len()).unwrap(),
            dead: self.dead.clone(),
        }
    }
}

/// What a store shows of a keyspace, in small pages.
pub(crate) fn shown(store: &Store, keyspace: &Keyspace) -> Shown {
    let counts = store.pending_counts(keyspace);
    let frozen = store.frozen(keyspace).frozen.map(|frozen| {
        let rows = passed(store, keyspace, frozen.generation).into_iter();
        let total = |passed| match passed {
            Passed::Sum(sum) => Total::Sum(i128::from(sum)),
            Passed::Value(_) | Passed::Gone | Passed::Nothing => Total::Mark,
        };
        let rows: Rows = rows.map(|(key, passed)| (key, total(passed))).collect();
        assert_eq!(frozen.generation + 1, counts.generation);
        assert_eq!(frozen.keys, u64::try_from(rows.len()).unwrap());
        (frozen.mark, rows)
    });
    let mut all = Rows::new();
    let mut after: Option<Box<[u8]>> = None;
    loop {
        let page = store.pending_page(keyspace, b"", after.as_deref(), 3);
        after = page.rows.last().map(|row| row.key.clone());
        let rows = page.rows.into_iter();
        all.extend(rows.map(|row| (row.key.into_vec(), row.total)));
        if page.end {
            break;
        }
    }
    let dead = store.dead(keyspace, None, 10_000);
    assert!(dead.end);
    let dead = dead.letters.into_iter();
    Shown {
        generation: counts.generation,
        frozen,
        all,
        rows: counts.keys,
        dead: dead.map(|dead| (dead.key.into_vec(), dead.total)).collect(),
    }
}

/// What is to be passed on of the frozen generation.
pub(crate) fn passed(
    store: &Store,
    keyspace: &Keyspace,
    generation: u64,
) -> Vec<(Vec<u8>, Passed)> {
    let mut all = Vec::new();
    let mut after: Option<Box<[u8]>> = None;
    loop {
        let page = store.frozen_page(keyspace, generation, after.as_deref(), 3);
        let page = page.unwrap();
        after = page.rows.last().map(|row| row.key.clone());
        let rows = page.rows.into_iter();
        all.extend(rows.map(|row| (row.key.into_vec(), row.passed)));
        if page.end {
            return all;
        }
    }
}

/// What is passed on of each mark is what the map of all that was put and not removed says, the expired included.
pub(crate) fn check_passed(
    store: &Store,
    keyspace: &Keyspace,
    entry: impl Fn(&[u8]) -> Option<Seen>,
    now_ms: u64,
) {
    let Some(frozen) = store.frozen(keyspace).frozen else {
        return;
    };
    let propagates = matches!(
        keyspace.policy().pending,
        Pending::Latest {
            deletes: Deletes::Propagate,
            ..
        }
    );
    for (key, passed) in passed(store, keyspace, frozen.generation) {
        let there = entry(&key);
        let expired = there
            .as_ref()
            .is_some_and(|it| it.lifetime.expires_at_ms.is_some_and(|at| at <= now_ms));
        match passed {
            Passed::Sum(_) => {}
            Passed::Value(entry) => assert_eq!(Some(seen(store, &entry)), there, "{key:?}"),
            // What had expired before it was tried again may have left.
            Passed::Gone => assert!(propagates && (there.is_none() || expired), "{key:?}"),
            Passed::Nothing => assert!(!propagates && (there.is_none() || expired), "{key:?}"),
        }
    }
}
