//! What becomes pending by what, and how it is passed on.

use standpipe_store::{
    Batched, Counted, Deletes, Failed, Increment, Lifetime, Meta, Operation, PendingError, Writer,
    block_on,
};

use crate::place::{LEVEL, NONE, NOW_MS, Place, SUMS, atomic, counting, latest, pairs};

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
