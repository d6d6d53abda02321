//! What is pending for a sink: what becomes pending by what, how it is passed on, buried and tried again, what it keeps from
//! leaving, and that all of it is the same after a restart, out of the log and out of a snapshot.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Backlog, Batched, Clock, Conditions, Counted, Deletes, Durability, Eviction, Failed, Frozen,
    Increment, Keyspace, KeyspaceError, Level, Lifetime, Meta, Operation, Options, Passed, Pending,
    PendingError, Policy, Progress, Putted, Store, Total, WriteError, Writer, block_on,
};

const NONE: Conditions<'static> = Conditions {
    if_match: None,
    if_none_match: None,
};
const LEVEL: Level = Level::Durable;
const NOW_MS: u64 = 1_800_000_000_000;
const SUMS: Pending = Pending::Sums { most: 1_000 };

const fn latest(deletes: Deletes) -> Pending {
    Pending::Latest {
        deletes,
        most: 1_000,
    }
}

/// A store in a directory of its own, with one keyspace.
struct Place {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    clock: Arc<Clock>,
    opened: Option<Store>,
    policy: Policy,
}

fn open(path: &Path, clock: &Arc<Clock>) -> Store {
    let dir = Arc::new(RealDir::open(path).unwrap());
    let options = Options {
        max_record_bytes: 16 << 10,
        ..Options::default()
    };
    Store::open(dir, Arc::clone(clock), options, &Progress::new()).unwrap()
}

impl Place {
    fn new(pending: Pending) -> Self {
        Self::of(Policy {
            pending,
            ..Policy::of(Durability::Synced)
        })
    }

    fn of(policy: Policy) -> Self {
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

    fn store(&self) -> &Store {
        self.opened.as_ref().unwrap()
    }

    fn keyspace(&self) -> Arc<Keyspace> {
        self.store().keyspace("k").unwrap()
    }

    fn set(&mut self, pending: Pending) -> Result<(), KeyspaceError> {
        let policy = Policy {
            pending,
            ..self.policy
        };
        block_on(self.store().set_keyspace("k", &policy, 9))?;
        self.policy = policy;
        Ok(())
    }

    fn count(&self, key: &str, by: i64) -> Result<Counted, WriteError> {
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

    fn counted(&self, key: &str, by: i64) {
        assert!(matches!(self.count(key, by), Ok(Counted::Added { .. })));
    }

    fn put_until(&self, key: &str, value: &str, expires: Option<u64>) -> Result<(), WriteError> {
        let meta = Meta::of_type(Meta::TEXT);
        let (key, lifetime) = (key.as_bytes(), Lifetime::until(expires));
        let mut draft = self.store().draft(key, value.len(), &meta, lifetime)?;
        draft.fill(|place| place.copy_from_slice(value.as_bytes()));
        let put = block_on(self.store().put(&self.keyspace(), draft, &NONE, LEVEL))?;
        assert!(matches!(put.outcome, Putted::Stored { .. }));
        Ok(())
    }

    fn put(&self, key: &str, value: &str) {
        self.put_until(key, value, None).unwrap();
    }

    fn delete(&self, key: &str) {
        let keyspace = self.keyspace();
        let by = Writer::Client;
        let delete = self
            .store()
            .delete(&keyspace, key.as_bytes(), &NONE, by, LEVEL);
        block_on(delete).unwrap();
    }

    fn flush(&self) {
        block_on(self.store().flush(&self.keyspace(), LEVEL)).unwrap();
    }

    fn freeze(&self) -> Option<Frozen> {
        let freeze = block_on(self.store().freeze(&self.keyspace())).unwrap();
        block_on(self.store().wait_durable(freeze.seen)).unwrap();
        freeze.frozen
    }

    fn drop_generation(&self, generation: u64) -> Option<u64> {
        let keyspace = self.keyspace();
        let dropped = self.store().drop_generation(&keyspace, generation);
        block_on(dropped).unwrap().own
    }

    /// The frozen generation, read three rows at a time.
    fn frozen(&self, generation: u64) -> Vec<(String, String)> {
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
    fn pending(&self, prefix: &str) -> Vec<(String, String)> {
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

    fn dead(&self) -> Vec<(String, String, String)> {
        let page = self.store().dead(&self.keyspace(), None, 100);
        assert!(page.end);
        let letters = page.letters.into_iter();
        letters
            .map(|dead| (text(&dead.key), total(dead.total), dead.reason.into()))
            .collect()
    }

    fn bury(&self, generation: u64, keys: &[(&str, &str)], most: u64) -> Result<u64, PendingError> {
        let keys: Vec<_> = keys
            .iter()
            .map(|(key, reason)| (key.as_bytes(), *reason))
            .collect();
        let keyspace = self.keyspace();
        let bury = self.store().bury(&keyspace, generation, &keys, most);
        Ok(block_on(bury)?.buried)
    }

    fn redrive(&self, keys: Option<&[&str]>) -> (u64, Vec<String>) {
        let keys: Option<Vec<&[u8]>> =
            keys.map(|keys| keys.iter().map(|key| key.as_bytes()).collect());
        let keyspace = self.keyspace();
        let redrive = self.store().redrive(&keyspace, keys.as_deref());
        let redrive = block_on(redrive).unwrap();
        let kept = redrive.kept.iter().map(|key| text(key));
        (redrive.redriven, kept.collect())
    }

    /// All that can be seen of it.
    fn whole(&self) -> Whole {
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
    fn restarts(&mut self) {
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
struct Whole {
    generation: u64,
    keys: u64,
    since_ms: Option<u64>,
    frozen: Option<Frozen>,
    rows: Option<Vec<(String, String)>>,
    pending: Vec<(String, String)>,
    dead: Vec<(String, String, String)>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn total(total: Total) -> String {
    match total {
        Total::Sum(sum) => format!("{sum:+}"),
        Total::Mark => "marked".to_owned(),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, what)| ((*key).to_owned(), (*what).to_owned()))
        .collect()
}

fn atomic(place: &Place, operations: Vec<Operation<'_>>) -> Batched {
    let keyspace = place.keyspace();
    let batch = place.store().batch(&keyspace, operations, LEVEL);
    block_on(batch).unwrap().outcome
}

fn counting(key: &str, by: i64) -> Operation<'_> {
    Operation::Increment {
        key: key.as_bytes(),
        increment: Increment {
            by,
            ..Increment::default()
        },
    }
}

#[test]
fn sums_are_made_by_increments_alone_and_changed_by_nothing_else() {
    let mut place = Place::new(SUMS);
    place.counted("a", 3);
    place.counted("a", -5);
    let from_ten = Increment {
        by: 2,
        initial: 10,
        ..Increment::default()
    };
    let keyspace = place.keyspace();
    block_on(
        place
            .store()
            .increment(&keyspace, b"made", &from_ten, LEVEL),
    )
    .unwrap();
    place.counted("zero", 0);
    let put = Operation::Put {
        draft: {
            let meta = Meta::of_type(Meta::TEXT);
            let draft = place.store().draft(b"put", 0, &meta, Lifetime::FOREVER);
            draft.unwrap()
        },
        when: NONE,
    };
    let operations = vec![counting("a", 1), put, counting("b", 7), counting("zero", 0)];
    assert!(matches!(atomic(&place, operations), Batched::Done(_)));
    let expected = pairs(&[("a", "-1"), ("b", "+7"), ("made", "+2")]);
    assert_eq!(place.pending(""), expected);
    place.put("a", "100");
    place.delete("b");
    block_on(place.store().delete_prefix(&keyspace, b"m", LEVEL)).unwrap();
    assert_eq!(place.pending(""), expected);
    place.flush();
    assert_eq!(place.pending(""), expected);
    assert_eq!(place.store().stats().pending, 3);
    place.restarts();
    assert_eq!(place.pending(""), expected);
    // A counter that begins anew goes on from its sum.
    place.counted("b", 1);
    assert_eq!(place.pending("b"), pairs(&[("b", "+8")]));
}

#[test]
fn a_sum_that_does_not_fit_is_refused_and_changes_nothing() {
    let place = Place::new(SUMS);
    place.counted("n", i64::MAX);
    place.put("n", "0");
    let last = place.store().last_revision();
    let refused = Counted::PendingOutOfRange { pending: i64::MAX };
    assert_eq!(place.count("n", 1).unwrap(), refused);
    let operations = vec![counting("other", 1), counting("n", 1)];
    let Batched::Failed { index, why } = atomic(&place, operations) else {
        panic!("it was done")
    };
    let refused = Failed::PendingOutOfRange { pending: i64::MAX };
    assert_eq!((index, why), (1, refused));
    assert_eq!(place.store().last_revision(), last);
    place.counted("n", -1);
    assert_eq!(
        place.pending(""),
        [("n".to_owned(), format!("+{}", i64::MAX - 1))]
    );
}

#[test]
fn a_generation_is_frozen_passed_on_and_dropped() {
    let mut place = Place::new(SUMS);
    let last = place.store().last_revision();
    assert_eq!(place.freeze(), None);
    assert_eq!(place.store().last_revision(), last, "nothing to tell");
    for n in 0..10 {
        place.counted(&format!("{n}"), n + 1);
        place.clock.advance(1);
    }
    let frozen = place.freeze().unwrap();
    assert_eq!(
        (frozen.generation, frozen.keys, frozen.since_ms),
        (1, 10, NOW_MS)
    );
    assert!(place.store().knows_mark(frozen.mark) && !place.store().knows_mark(frozen.mark ^ 1));
    let all: Vec<_> = (0..10)
        .map(|n| (format!("{n}"), format!("+{}", n + 1)))
        .collect();
    assert_eq!(place.frozen(1), all);
    // What comes now waits for the next time; the page stays what it is.
    place.counted("3", 100);
    place.counted("new", 1);
    assert_eq!(place.frozen(1), all);
    assert_eq!(place.freeze(), Some(frozen), "one at a time");
    assert_eq!(place.pending("3"), pairs(&[("3", "+104")]));
    let counts = place.store().pending_counts(&place.keyspace());
    assert_eq!((counts.generation, counts.keys, counts.frozen), (2, 12, 10));
    assert_eq!(counts.since_ms, Some(NOW_MS));
    place.restarts();
    assert_eq!(place.freeze(), Some(frozen), "also after a start");
    assert!(place.drop_generation(1).is_some());
    assert_eq!(place.drop_generation(1), None, "once");
    assert_eq!(place.pending(""), pairs(&[("3", "+100"), ("new", "+1")]));
    let counts = place.store().pending_counts(&place.keyspace());
    assert_eq!(counts.since_ms, Some(NOW_MS + 10));
    place.restarts();
    let keyspace = place.keyspace();
    let page = place.store().frozen_page(&keyspace, 1, None, 9);
    assert!(matches!(
        page,
        Err(PendingError::NotFrozen { generation: 1 })
    ));
    let never = block_on(place.store().drop_generation(&keyspace, 2));
    assert!(matches!(
        never,
        Err(PendingError::NotFrozen { generation: 2 })
    ));
    assert_eq!(place.freeze().unwrap().generation, 2);
    place.drop_generation(2);
    assert_eq!(place.freeze(), None);
    assert_eq!(
        place.store().pending_counts(&place.keyspace()).since_ms,
        None
    );
    place.restarts();
}

#[test]
fn the_store_and_the_keyspace_have_an_identity_that_stays() {
    let mut place = Place::new(SUMS);
    let identity = (place.store().id(), place.keyspace().id());
    place.counted("n", 1);
    let mark = place.freeze().unwrap().mark;
    place.restarts();
    assert_eq!((place.store().id(), place.keyspace().id()), identity);
    assert!(place.store().knows_mark(mark));
    assert_ne!(Place::new(SUMS).store().id(), identity.0);
}

#[test]
fn what_is_passed_on_of_a_mark_is_what_is_there_then() {
    for deletes in [Deletes::Ignore, Deletes::Propagate] {
        let mut place = Place::new(latest(deletes));
        for key in ["a", "deleted", "again", "expires", "p/1", "p/2"] {
            place.put(key, "1");
        }
        place.counted("n", 5);
        let soon = Some(place.clock.now_ms() + 10);
        place.put_until("expires", "2", soon).unwrap();
        place.put("a", "2");
        for key in ["deleted", "again"] {
            place.delete(key);
        }
        place.put("again", "3");
        block_on(place.store().delete_prefix(&place.keyspace(), b"p/", LEVEL)).unwrap();
        place.clock.advance(20);
        let gone = match deletes {
            Deletes::Ignore => "nothing",
            Deletes::Propagate => "gone",
        };
        let expected = pairs(&[
            ("a", "2"),
            ("again", "3"),
            ("deleted", gone),
            ("expires", "2"),
            ("n", "5"),
            ("p/1", gone),
            ("p/2", gone),
        ]);
        assert_eq!(place.freeze().unwrap().keys, 7);
        assert_eq!(place.frozen(1), expected);
        place.restarts();
        assert_eq!(place.frozen(1), expected);
        place.put("a", "4");
        assert_eq!(place.frozen(1)[0].1, "4", "the newest");
        assert_eq!(place.pending(""), {
            let marked = expected
                .iter()
                .map(|(key, _)| (key.clone(), "marked".to_owned()));
            marked.collect::<Vec<_>>()
        });
        place.drop_generation(1);
        assert_eq!(place.pending(""), pairs(&[("a", "marked")]));
        place.restarts();
    }
}

#[test]
fn deletions_mark_only_where_they_are_passed_on_and_a_new_expiry_never_does() {
    for deletes in [Deletes::Ignore, Deletes::Propagate] {
        let mut place = Place::new(latest(deletes));
        let soon = Some(place.clock.now_ms() + 10);
        for key in ["a", "b", "p/1", "p/2", "q", "t"] {
            place.put(key, "1");
        }
        place.put_until("expires", "1", soon).unwrap();
        place.freeze();
        place.drop_generation(1);
        let keyspace = place.keyspace();
        place.clock.advance(20);
        let later = Lifetime::until(Some(u64::MAX >> 20));
        let touch = place
            .store()
            .touch(&keyspace, b"t", later, &NONE, Writer::Client, LEVEL);
        block_on(touch).unwrap();
        assert_eq!(place.pending(""), pairs(&[]));
        place.delete("a");
        place.delete("absent");
        block_on(place.store().delete_prefix(&keyspace, b"p/", LEVEL)).unwrap();
        let delete = Operation::Delete {
            key: b"b",
            when: NONE,
        };
        atomic(&place, vec![delete, counting("n", 1)]);
        let expected = match deletes {
            Deletes::Ignore => pairs(&[("n", "marked")]),
            Deletes::Propagate => {
                let keys = ["a", "b", "n", "p/1", "p/2"];
                pairs(&keys.map(|key| (key, "marked")))
            }
        };
        assert_eq!(place.pending(""), expected);
        place.restarts();
        place.flush();
        let expected = match deletes {
            Deletes::Ignore => expected,
            Deletes::Propagate => {
                // What had expired was not there to be flushed.
                let keys = ["a", "b", "n", "p/1", "p/2", "q", "t"];
                pairs(&keys.map(|key| (key, "marked")))
            }
        };
        assert_eq!(place.pending(""), expected);
        place.restarts();
        let frozen = place.freeze().unwrap();
        let gone = place.frozen(frozen.generation);
        assert!(
            gone.iter()
                .all(|(_, what)| what == "gone" || what == "nothing")
        );
        assert_eq!(gone.len(), expected.len());
    }
}

#[test]
fn what_is_pending_is_not_swept_and_goes_when_it_was_passed_on() {
    let place = Place::new(latest(Deletes::Ignore));
    let soon = Some(place.clock.now_ms() + 10);
    for n in 0..600 {
        place.put_until(&format!("{n}"), "1", soon).unwrap();
    }
    place.clock.advance(20);
    // The sweep has been by, more than once.
    place.put_until("swept", "1", Some(1)).unwrap();
    place.freeze();
    place.drop_generation(1);
    let place_of = |stats: standpipe_store::Stats| stats.expiring;
    let wait = |done: &dyn Fn() -> bool| {
        let clock = Clock::system();
        let began = clock.monotonic();
        while !done() {
            let waited = clock.monotonic().saturating_sub(began);
            assert!(waited < Duration::from_secs(30));
            std::thread::park_timeout(Duration::from_millis(10));
        }
    };
    for n in 0..600 {
        place.put_until(&format!("held/{n}"), "1", soon).unwrap();
    }
    wait(&|| place_of(place.store().stats()) == 600);
    assert_eq!(place.store().keyspace_stats(&place.keyspace()).entries, 0);
    let frozen = place.freeze().unwrap();
    assert_eq!(frozen.keys, 600);
    let rows = place.frozen(frozen.generation);
    assert!(rows.iter().all(|(_, value)| value == "1"), "kept for this");
    place.drop_generation(frozen.generation);
    wait(&|| place_of(place.store().stats()) == 0);
}

/// A keyspace of 16 KiB.
fn bounded(eviction: Eviction) -> Place {
    Place::of(Policy {
        max_bytes: Some(16 << 10),
        eviction,
        pending: latest(Deletes::Ignore),
        ..Policy::of(Durability::Synced)
    })
}

/// Puts until nothing more goes in. How many did.
fn fill(place: &Place, prefix: &str) -> (u32, WriteError) {
    for n in 0..1_000 {
        if let Err(error) = place.put_until(&format!("{prefix}{n}"), &"x".repeat(400), None) {
            return (n, error);
        }
    }
    panic!("it was never full")
}

#[test]
fn what_is_pending_is_not_evicted_and_a_full_keyspace_says_why() {
    let mut place = bounded(Eviction::Sieve);
    let (fit, error) = fill(&place, "a/");
    let backlog = |error: &WriteError| {
        matches!(
            error,
            WriteError::SinkBacklog {
                limit: 16_384,
                of: Backlog::Bytes
            }
        )
    };
    assert!(backlog(&error), "{error:?}");
    assert!(fit > 10);
    assert_eq!(place.store().stats().evicted, 0);
    place.restarts();
    assert!(backlog(&fill(&place, "b/").1));
    let operations = vec![counting("n", 1)];
    let keyspace = place.keyspace();
    let batch = place.store().batch(&keyspace, operations, LEVEL);
    assert!(matches!(block_on(batch), Err(error) if backlog(&error)));
    let frozen = place.freeze().unwrap();
    assert_eq!(frozen.keys, u64::from(fit));
    assert_eq!(
        place.frozen(frozen.generation).len(),
        usize::try_from(fit).unwrap()
    );
    assert!(backlog(&fill(&place, "c/").1), "a freeze changes nothing");
    place.drop_generation(frozen.generation);
    // At once, not only when somebody has been by.
    let (again, error) = fill(&place, "d/");
    assert!(backlog(&error) && again + 2 > fit, "{again} of {fit}");
    assert!(place.store().stats().evicted > 0);
    assert_eq!(place.freeze().unwrap().keys, u64::from(again));
}

#[test]
fn where_nothing_leaves_anyway_the_keyspace_is_full_and_not_the_sink_behind() {
    let place = bounded(Eviction::None);
    let (_, error) = fill(&place, "a/");
    assert!(
        matches!(error, WriteError::KeyspaceFull { .. }),
        "{error:?}"
    );
    let place = bounded(Eviction::None);
    let soon = Some(place.clock.now_ms() + 10);
    for n in 0.. {
        let put = place.put_until(&format!("{n}"), &"x".repeat(400), soon);
        if put.is_err() {
            break;
        }
    }
    place.clock.advance(20);
    let error = place.put_until("more", &"x".repeat(400), None);
    assert!(
        matches!(
            error,
            Err(WriteError::SinkBacklog {
                of: Backlog::Bytes,
                ..
            })
        ),
        "what has expired is only kept for the sink: {error:?}"
    );
    place.freeze();
    place.drop_generation(1);
    place.put("more", &"x".repeat(400));
}

#[test]
fn there_are_as_many_rows_as_there_may_be_and_no_more() {
    let full = |error: WriteError| {
        assert!(
            matches!(
                error,
                WriteError::SinkBacklog {
                    limit: 3,
                    of: Backlog::Keys
                }
            ),
            "{error:?}"
        );
    };
    let mut place = Place::new(Pending::Sums { most: 3 });
    place.counted("a", 1);
    place.counted("b", 1);
    place.freeze();
    place.counted("a", 1);
    let last = place.store().last_revision();
    full(place.count("b", 1).unwrap_err());
    let operations = vec![counting("a", 1), counting("c", 1)];
    let keyspace = place.keyspace();
    let batch = place.store().batch(&keyspace, operations, LEVEL);
    full(block_on(batch).unwrap_err());
    assert_eq!(place.store().last_revision(), last, "nothing was changed");
    place.counted("a", 1);
    place.put("c", "7");
    place.drop_generation(1);
    place.counted("b", 1);
    place.restarts();
    place.counted("c", 1);
    full(place.count("d", 1).unwrap_err());

    let most = Pending::Latest {
        deletes: Deletes::Propagate,
        most: 3,
    };
    let place = Place::new(most);
    for key in ["a", "b", "c"] {
        place.put(key, "1");
    }
    full(place.put_until("d", "1", None).unwrap_err());
    place.freeze();
    place.drop_generation(1);
    for key in ["d", "e"] {
        place.put(key, "1");
    }
    let keyspace = place.keyspace();
    full(block_on(place.store().flush(&keyspace, LEVEL)).unwrap_err());
    full(block_on(place.store().delete_prefix(&keyspace, b"", LEVEL)).unwrap_err());
    assert_eq!(place.store().keyspace_stats(&keyspace).entries, 5);
    place.delete("a");
    let by = Writer::Client;
    let refused = place.store().delete(&keyspace, b"b", &NONE, by, LEVEL);
    full(block_on(refused).unwrap_err());
    assert_eq!(place.pending("").len(), 3);
}

#[test]
fn what_cannot_be_passed_on_is_buried_and_tried_again() {
    let mut place = Place::new(SUMS);
    for (key, by) in [("a", 1), ("b", 2), ("c", 3)] {
        place.counted(key, by);
    }
    let generation = place.freeze().unwrap().generation;
    let refused = place.bury(generation, &[("a", ""), ("b", "")], 1);
    assert!(matches!(
        refused,
        Err(PendingError::DeadFull {
            limit: 1,
            actual: 2
        })
    ));
    let long = "\u{e4}".repeat(150);
    let buried = place.bury(
        generation,
        &[("a", "no such row"), ("b", &long), ("x", "")],
        2,
    );
    assert_eq!(buried.unwrap(), 2);
    let again = place.bury(generation, &[("a", "no such row")], 2);
    assert_eq!(again.unwrap(), 0, "it is not there any more");
    assert_eq!(place.frozen(generation), pairs(&[("c", "+3")]));
    let dead = vec![
        ("a".to_owned(), "+1".to_owned(), "no such row".to_owned()),
        ("b".to_owned(), "+2".to_owned(), "\u{e4}".repeat(100)),
    ];
    assert_eq!(place.dead(), dead);
    assert_eq!(
        (place.store().stats().dead, place.store().stats().pending),
        (2, 1)
    );
    place.restarts();
    place.drop_generation(generation);
    assert_eq!(place.dead(), dead, "a drop leaves them");
    // Of one key everything is in one letter.
    place.counted("a", 10);
    let generation = place.freeze().unwrap().generation;
    place.bury(generation, &[("a", "still not")], 2).unwrap();
    place.drop_generation(generation);
    assert_eq!(place.dead()[0].1, "+11");
    assert_eq!(place.dead()[0].2, "still not");
    place.restarts();
    place.counted("a", 100);
    assert_eq!(place.redrive(Some(&["a", "absent"])), (1, vec![]));
    assert_eq!(place.pending(""), pairs(&[("a", "+111")]));
    assert_eq!(place.dead(), dead[1..]);
    place.restarts();
    assert_eq!(place.redrive(None), (1, vec![]));
    assert_eq!(place.redrive(None), (0, vec![]));
    assert_eq!(place.pending(""), pairs(&[("a", "+111"), ("b", "+2")]));
    place.restarts();
}

#[test]
fn a_sum_that_would_not_fit_stays_dead_and_is_named() {
    let place = Place::new(SUMS);
    place.counted("large", i64::MAX);
    place.counted("small", 1);
    let generation = place.freeze().unwrap().generation;
    place
        .bury(generation, &[("large", ""), ("small", "")], 9)
        .unwrap();
    place.drop_generation(generation);
    place.put("large", "0");
    place.counted("large", 1);
    assert_eq!(place.redrive(None), (1, vec!["large".to_owned()]));
    assert_eq!(place.dead().len(), 1);
    assert_eq!(
        place.pending(""),
        pairs(&[("large", "+1"), ("small", "+1")])
    );
    // Buried twice it is more than 64 bits hold, and still nothing is lost.
    let generation = place.freeze().unwrap().generation;
    place.bury(generation, &[("large", "")], 9).unwrap();
    assert_eq!(place.dead()[0].1, format!("+{}", 1_u64 << 63));
}

#[test]
fn a_dead_mark_holds_nothing_and_passes_on_what_is_there_later() {
    let place = Place::new(latest(Deletes::Ignore));
    place.put("a", "1");
    place.put("b", "1");
    let generation = place.freeze().unwrap().generation;
    place
        .bury(generation, &[("a", "no"), ("b", "no")], 9)
        .unwrap();
    place.drop_generation(generation);
    assert_eq!(place.dead()[0].1, "marked");
    place.put("a", "2");
    place.delete("b");
    assert_eq!(place.redrive(None), (2, vec![]));
    let generation = place.freeze().unwrap().generation;
    assert_eq!(
        place.frozen(generation),
        pairs(&[("a", "2"), ("b", "nothing")])
    );
}

#[test]
fn many_dead_letters_are_tried_again_in_steps() {
    let mut place = Place::new(Pending::Sums { most: 5_000 });
    let keys: Vec<String> = (0..2_500).map(|n| format!("{n:04}")).collect();
    for key in &keys {
        place.counted(key, 1);
    }
    let generation = place.freeze().unwrap().generation;
    for some in keys.chunks(300) {
        let some: Vec<_> = some.iter().map(|key| (&**key, "no")).collect();
        place.bury(generation, &some, 9_999).unwrap();
    }
    let too_many: Vec<_> = keys.iter().map(|key| (&**key, "no")).collect();
    let refused = place.bury(generation, &too_many, 9_999);
    assert!(matches!(
        refused,
        Err(PendingError::Write(WriteError::TooLarge { .. }))
    ));
    let page = place.store().dead(&place.keyspace(), Some(b"1000"), 9);
    assert_eq!((&*page.letters[0].key, page.end), (&b"1001"[..], false));
    place.drop_generation(generation);
    assert_eq!(place.redrive(None), (2_500, vec![]));
    assert_eq!(place.pending("").len(), 2_500);
    assert_eq!(place.dead(), []);
    place.restarts();
}

#[test]
fn a_keyspace_is_not_dropped_over_what_is_pending_or_dead() {
    let mut place = Place::new(SUMS);
    place.counted("a", 1);
    place.counted("b", 1);
    let drop_it = |place: &Place| {
        let keyspace = place.keyspace();
        block_on(place.store().drop_keyspace(&keyspace, LEVEL))
    };
    let pending = |result: Result<_, KeyspaceError>| match result {
        Err(KeyspaceError::SinkPending { pending, dead }) => Some((pending, dead)),
        Ok(_) | Err(_) => None,
    };
    assert_eq!(pending(drop_it(&place)), Some((2, 0)));
    let generation = place.freeze().unwrap().generation;
    place.bury(generation, &[("b", "no")], 9).unwrap();
    assert_eq!(pending(drop_it(&place)), Some((1, 1)));
    // No other kind, no memory; but no new ones, and the same kind again.
    let other = place.set(latest(Deletes::Ignore)).err();
    assert!(matches!(other, Some(KeyspaceError::SinkPending { .. })));
    place.flush();
    let memory = Policy::of(Durability::Memory);
    let crossed = block_on(place.store().set_keyspace("k", &memory, 9));
    assert!(matches!(crossed, Err(KeyspaceError::SinkPending { .. })));
    let both = Policy {
        pending: SUMS,
        ..memory
    };
    for name in ["k", "new"] {
        let both = block_on(place.store().set_keyspace(name, &both, 9));
        assert!(matches!(both, Err(KeyspaceError::NotLogged)));
    }
    place.set(Pending::None).unwrap();
    place.counted("c", 1);
    assert_eq!(
        place.pending(""),
        pairs(&[("a", "+1")]),
        "kept, and no more"
    );
    place.restarts();
    place.set(Pending::Sums { most: 7 }).unwrap();
    place.counted("c", 1);
    place.drop_generation(generation);
    assert_eq!(pending(drop_it(&place)), Some((1, 1)));
    place.redrive(None);
    let generation = place.freeze().unwrap().generation;
    place.drop_generation(generation);
    place.set(latest(Deletes::Ignore)).unwrap();
    place.restarts();
    assert!(drop_it(&place).unwrap().is_some());
    assert!(place.store().keyspace("k").is_none());
}

#[test]
fn what_was_pending_when_nothing_more_was_to_be_stays_held() {
    let mut place = bounded(Eviction::Sieve);
    place.put("held", "1");
    place.set(Pending::None).unwrap();
    place.put("held", "2");
    for n in 0..1_000 {
        place.put(&format!("{n}"), &"x".repeat(400));
    }
    place.delete("gone");
    place.restarts();
    assert_eq!(place.pending(""), pairs(&[("held", "marked")]));
    place.set(latest(Deletes::Ignore)).unwrap();
    let generation = place.freeze().unwrap().generation;
    assert_eq!(place.frozen(generation), pairs(&[("held", "2")]));
}

#[test]
fn keyspaces_that_change_their_shards_keep_what_is_pending() {
    let mut place = Place::new(latest(Deletes::Propagate));
    let mut expected = BTreeMap::new();
    for n in 0..300 {
        let key = format!("{n}");
        place.put(&key, "1");
        expected.insert(key, "1".to_owned());
    }
    place.freeze();
    // With a bound there are fewer shards, from the next start on.
    for max_bytes in [Some(1 << 20), None, Some(2 << 20)] {
        place.policy.max_bytes = max_bytes;
        place.set(latest(Deletes::Propagate)).unwrap();
        place.restarts();
        let expected: Vec<_> = expected.clone().into_iter().collect();
        assert_eq!(place.frozen(1), expected);
    }
}
