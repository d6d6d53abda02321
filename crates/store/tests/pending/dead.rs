//! What cannot be passed on is buried, and tried again.

use standpipe_store::{Deletes, Pending, PendingError, WriteError};

use crate::place::{Place, SUMS, latest, pairs};

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
