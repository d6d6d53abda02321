//! Counters, expiries and batches: the same promise, and what a request may relax of it.

use super::*;
use crate::engine::{Batch, Done, Increment, Incremented, Operation, Touched, Unmade};

const SYNCED: Durability = Durability::Synced;
const WRITTEN: Durability = Durability::Written;

fn add(by: i64, max: Option<i64>) -> Increment {
    Increment {
        by,
        initial: 0,
        min: None,
        max,
        expires_at_ms: None,
    }
}

fn count(key: &[u8]) -> Operation<'_> {
    Operation::Increment {
        key,
        increment: add(1, None),
    }
}

/// Whether each operation was done, as far as that can fail.
async fn each(
    entries: &Entries,
    operations: Vec<Operation<'_>>,
    until: Durability,
) -> Result<bool, Failure> {
    let done = entries.each(operations, until).await?;
    Ok(done.iter().all(Result::is_ok))
}

#[tokio::test]
async fn counters_and_batches_are_told_of_once_they_are_on_disk() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = &engine.default_entries();
    let syncs = Syncs::hold(&machine);
    let any = &Conditions::default();
    let (one, bounded) = (&add(1, None), &add(1, Some(1)));
    let counted = |incremented, expected| match incremented {
        Incremented::Counted { value, .. } => value == expected,
        Incremented::OutOfRange { .. }
        | Incremented::NotACounter
        | Incremented::Foreign(_)
        | Incremented::PendingOutOfRange { .. } => false,
    };
    let answers = vec![
        held(async { Ok(counted(entries.increment(b"n", one, SYNCED).await?, 1)) }),
        held(async {
            let refused = entries.increment(b"n", bounded, SYNCED).await?;
            Ok(refused == Incremented::OutOfRange { current: 1 })
        }),
        held(async {
            Ok(entries
                .counter(b"n")
                .await?
                .is_some_and(|(_, n)| n == Some(1)))
        }),
        held(async {
            let late = Lifetime::until(Some(u64::MAX));
            let touched = entries
                .touch(b"n", late, any, Writer::Client, SYNCED)
                .await?;
            Ok(matches!(touched, Touched::Set(_)))
        }),
        held(async { each(entries, vec![count(b"n"), count(b"m")], SYNCED).await }),
        held(async { each(entries, vec![Operation::Get { key: b"m" }], SYNCED).await }),
        held(async {
            let batch = entries
                .batch(vec![count(b"n"), count(b"o")], SYNCED)
                .await?;
            Ok(matches!(batch, Batch::Done(done) if done.len() == 2))
        }),
        held(async {
            let increment = add(i64::MAX, None);
            let refused = vec![
                count(b"p"),
                Operation::Increment {
                    key: b"n",
                    increment,
                },
            ];
            let batch = entries.batch(refused, SYNCED).await?;
            let why = Unmade::OutOfRange { current: 3 };
            Ok(matches!(batch, Batch::Failed { index: 1, why: found } if found == why))
        }),
        held(async {
            let batch = entries
                .batch(vec![Operation::Get { key: b"o" }], SYNCED)
                .await?;
            let Batch::Done(done) = batch else {
                return Ok(false);
            };
            Ok(matches!(done.as_slice(), [Done::Got(Some(_))]))
        }),
    ];
    let all = answers.len();
    let answers = held_back(answers, || syncs.release()).await;
    assert_eq!(answers, vec![true; all]);
    assert!(entries.find(b"p").await.unwrap().is_none());
    engine.close().unwrap();
}

#[tokio::test]
async fn a_relaxed_batch_waits_for_others_and_not_for_itself() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = &engine.default_entries();
    let syncs = Syncs::hold(&machine);
    let any = &Conditions::default();
    // The second and the third meet what the first has done: their own batch.
    let own = || {
        vec![
            count(b"n"),
            count(b"n"),
            Operation::Get { key: b"n" },
            Operation::Delete {
                key: b"n",
                when: any,
                by: Writer::Client,
            },
            Operation::Get { key: b"n" },
        ]
    };
    let relaxed = timeout(PATIENCE, each(entries, own(), WRITTEN)).await;
    assert!(relaxed.expect("nobody has to sync").unwrap());
    // Another batch meets the tombstone that this one has left.
    let answers = vec![
        held(async { each(entries, own(), WRITTEN).await }),
        held(async { each(entries, vec![Operation::Get { key: b"n" }], WRITTEN).await }),
        held(async {
            let batch = entries
                .batch(vec![Operation::Get { key: b"n" }], WRITTEN)
                .await?;
            Ok(matches!(batch, Batch::Done(_)))
        }),
    ];
    let all = answers.len();
    assert_eq!(
        held_back(answers, || syncs.release()).await,
        vec![true; all]
    );
    engine.close().unwrap();
}

#[tokio::test]
async fn a_batch_on_a_disk_that_failed_says_so_in_every_item() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = &engine.default_entries();
    put(entries, "a", SYNCED).await.unwrap();
    machine.fail(Fault::on(Call::SyncData).always());
    let lost = entries.each(vec![count(b"n")], SYNCED).await;
    assert!(matches!(lost, Err(Failure::Lost { .. })), "{lost:?}");
    machine.heal();
    // What is durable can still be read, and what cannot be written is told apart from it.
    let mixed = vec![count(b"n"), Operation::Get { key: b"a" }, count(b"m")];
    let after = entries.each(mixed, SYNCED).await.unwrap();
    assert!(matches!(
        after.as_slice(),
        [
            Err(Failure::Lost { .. }),
            Ok(Done::Got(Some(_))),
            Err(Failure::Lost { .. })
        ]
    ));
    let atomic = entries.batch(vec![count(b"n")], SYNCED).await;
    assert!(matches!(atomic, Err(Failure::Lost { .. })), "{atomic:?}");
}
