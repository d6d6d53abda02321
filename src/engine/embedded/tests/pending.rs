//! What a sink is told is on disk, whatever its keyspace promises.

use super::*;
use crate::engine::{Increment, Incremented, Passed, Pending, PendingFailure, Total};

const COUNT: Increment = Increment {
    by: 2,
    initial: 0,
    min: None,
    max: None,
    expires_at_ms: None,
};

/// The keyspace `k`, which only promises to have handed changes over.
fn entries(engine: &Embedded, pending: standpipe_store::Pending) -> Entries {
    let policy = standpipe_store::Policy {
        pending,
        ..standpipe_store::Policy::of(standpipe_store::Durability::Written)
    };
    let set = engine.store.set_keyspace("k", &policy, usize::MAX);
    let own = standpipe_store::block_on(set).unwrap().own;
    standpipe_store::block_on(engine.store.wait_durable(own.unwrap())).unwrap();
    engine.keyspace("k").unwrap()
}

async fn count(entries: &Entries, key: &[u8]) {
    let counted = entries.increment(key, &COUNT, Durability::Written).await;
    assert!(matches!(counted, Ok(Incremented::Counted { .. })));
}

/// What a sink did, as far as that cannot fail.
fn done<T>(result: Result<T, PendingFailure>) -> Result<T, Failure> {
    result.map_err(|failure| match failure {
        PendingFailure::Failed(failure) => failure,
        other @ (PendingFailure::NotFrozen { .. } | PendingFailure::DeadFull { .. }) => {
            panic!("{other}")
        }
    })
}

#[tokio::test]
async fn a_sink_is_told_of_nothing_that_a_crash_takes_back() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let sums = standpipe_store::Pending::Sums { most: 9 };
    let entries = &entries(&engine, sums);
    for key in [b"a", b"b"] {
        count(entries, key).await;
    }
    // Each of these is a change or rests on the one before it.
    let syncs = Syncs::hold(&machine);
    let answers = vec![
        held(async {
            Ok(entries
                .freeze()
                .await?
                .is_some_and(|frozen| frozen.keys == 2))
        }),
        held(async { Ok(entries.freeze().await?.is_some()) }),
        held(async { Ok(entries.frozen().await?.is_some()) }),
        held(async { Ok(done(entries.frozen_page(1, None, 9).await)?.rows.len() == 2) }),
        held(async { Ok(done(entries.bury(1, &[(b"a", "no")], 9).await)? == 1) }),
        held(async { Ok(entries.dead(None, 9).await?.letters.len() == 1) }),
        held(async { Ok(entries.redrive(None).await?.keys == 1) }),
        held(async { done(entries.drop_generation(1).await) }),
        held(async { Ok(!done(entries.drop_generation(1).await)?) }),
        held(async { Ok(entries.frozen().await?.is_none()) }),
    ];
    let count = answers.len();
    let answers = held_back(answers, || syncs.release()).await;
    assert_eq!(answers, vec![true; count]);
    let page = entries.pending_page(b"", None, 9).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    assert_eq!(
        (&*page.rows[0].key, page.rows[0].total),
        (&b"a"[..], Total::Sum(2))
    );
    let counts = entries.pending_counts();
    assert_eq!((counts.generation, counts.keys, counts.dead), (2, 1, 0));
    engine.close().unwrap();
}

#[tokio::test]
async fn a_value_that_is_passed_on_is_on_disk_also_where_readers_need_not_wait() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let latest = standpipe_store::Pending::Latest {
        deletes: standpipe_store::Deletes::Propagate,
        most: 9,
    };
    let entries = &entries(&engine, latest);
    assert!(matches!(entries.pending(), Pending::Latest { most: 9, .. }));
    for key in ["a", "b"] {
        put(entries, key, Durability::Written).await.unwrap();
    }
    let frozen = entries.freeze().await.unwrap().unwrap();
    let syncs = Syncs::hold(&machine);
    let newest = put(entries, "a", Durability::Written).await.unwrap();
    let (any, client) = (&Conditions::default(), Writer::Client);
    let removed = entries.delete(b"b", any, client, Durability::Written);
    assert_eq!(removed.await.unwrap(), Delete::Removed);
    assert!(
        entries.find(b"a").await.unwrap().is_some(),
        "a reader need not wait"
    );
    let Put::Replaced(version) = newest else {
        panic!("{newest:?}")
    };
    let page = held(async {
        let page = done(entries.frozen_page(frozen.generation, None, 9).await)?;
        let passed: Vec<_> = page.rows.into_iter().map(|row| row.passed).collect();
        Ok(matches!(&*passed, [Passed::Value(entry), Passed::Gone] if entry.version == version))
    });
    assert_eq!(held_back(vec![page], || syncs.release()).await, [true]);
    assert!(entries.knows_mark(frozen.mark));
    let identity = entries.identity();
    assert_eq!(identity.store, engine.store.id());
    engine.close().unwrap();
}
