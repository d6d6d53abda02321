//! What is pending keeps its entry, and how much may be.

use std::time::Duration;

use standpipe_store::{Backlog, Clock, Deletes, Eviction, Pending, WriteError, Writer, block_on};

use crate::place::{LEVEL, NONE, Place, bounded, counting, latest};

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
