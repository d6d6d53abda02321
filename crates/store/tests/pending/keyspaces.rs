//! Keyspaces that are dropped or changed while something is pending.

use std::collections::BTreeMap;

use standpipe_store::{Deletes, Durability, Eviction, KeyspaceError, Pending, Policy, block_on};

use crate::place::{LEVEL, Place, SUMS, bounded, latest, pairs};

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
