//! A generation in memory, in the words in which a store offers one: for the tests of the targets.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::ledger::{Ledger, Page, Unapplied};
use super::row::{Change, Generation, Identity, Refused, Row, Value};

/// The incarnations that belong to the history of every book.
pub(super) const KNOWN: [u64; 2] = [1, u64::MAX];

pub(super) struct Book {
    pub(super) identity: Identity,
    pub(super) generation: Generation,
    pub(super) rows: Mutex<BTreeMap<Bytes, Change>>,
    pub(super) dead: Mutex<Vec<Refused>>,
    pub(super) room: u64,
    /// Whether setting rows aside fails.
    pub(super) is_stuck: bool,
}

impl Book {
    /// The first generation of a new store.
    pub(super) fn new(rows: impl IntoIterator<Item = (String, Change)>) -> Self {
        let mut store = [0; 16];
        getrandom::fill(&mut store).unwrap();
        Self {
            identity: Identity { store, keyspace: 7 },
            generation: Generation { mark: 1, number: 1 },
            rows: Mutex::default(),
            dead: Mutex::default(),
            room: 100,
            is_stuck: false,
        }
        .with(rows)
    }

    pub(super) fn sums(rows: &[(&str, i64)]) -> Self {
        Self::new(added(rows))
    }

    /// The next generation, of the newer incarnation.
    pub(super) fn next(self, rows: impl IntoIterator<Item = (String, Change)>) -> Self {
        let generation = Generation {
            mark: u64::MAX,
            number: self.generation.number + 1,
        };
        Self { generation, ..self }.with(rows)
    }

    fn with(self, rows: impl IntoIterator<Item = (String, Change)>) -> Self {
        let rows = rows.into_iter();
        let rows = rows.map(|(key, change)| (Bytes::from(key), change));
        *self.rows.lock() = rows.collect();
        self
    }

    pub(super) fn dead_keys(&self) -> Vec<String> {
        let dead = self.dead.lock();
        let mut keys: Vec<_> = dead.iter().map(|one| show(&one.key)).collect();
        keys.sort();
        keys
    }
}

fn show(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

pub(super) fn added(rows: &[(&str, i64)]) -> Vec<(String, Change)> {
    let owned = |(key, sum): &(&str, i64)| ((*key).to_owned(), Change::Add(*sum));
    rows.iter().map(owned).collect()
}

pub(super) fn put(key: &str, value: &[u8]) -> (String, Change) {
    let value = Value {
        bytes: Bytes::copy_from_slice(value),
        media_type: "text/plain".into(),
        content_encoding: None,
    };
    (key.to_owned(), Change::Put(value))
}

pub(super) fn removed(key: &str) -> (String, Change) {
    (key.to_owned(), Change::Remove)
}

impl Ledger for Book {
    type Failure = &'static str;

    fn identity(&self) -> Identity {
        self.identity
    }

    fn keyspace(&self) -> &'static str {
        "views"
    }

    fn generation(&self) -> Generation {
        self.generation
    }

    fn keys(&self) -> u64 {
        self.rows.lock().len().try_into().unwrap()
    }

    fn knows(&self, mark: u64) -> bool {
        KNOWN.contains(&mark)
    }

    async fn page(&self, after: Option<&[u8]>, limit: usize) -> Result<Page, &'static str> {
        let rows = self.rows.lock();
        let behind = |key: &Bytes| after.is_none_or(|after| **key > *after);
        let mut page: Vec<Row> = rows
            .iter()
            .filter(|(key, _)| behind(key))
            .take(limit + 1)
            .map(|(key, change)| Row {
                key: key.clone(),
                change: change.clone(),
            })
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|row| (*row.key).into());
        Ok(Page { rows: page, next })
    }

    async fn set_aside(&self, refused: &[Refused]) -> Result<(), Unapplied<&'static str>> {
        if self.is_stuck {
            return Err(Unapplied::Ledger("the disk is full"));
        }
        let dead = self.dead.lock().len() + refused.len();
        if u64::try_from(dead).unwrap() > self.room {
            return Err(Unapplied::NoRoom { limit: self.room });
        }
        let mut rows = self.rows.lock();
        for one in refused {
            rows.remove(&one.key).expect("a row of this generation");
        }
        self.dead.lock().extend_from_slice(refused);
        Ok(())
    }
}
