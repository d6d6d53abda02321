//! No answer tells of what is not as durable as it was promised to be: over a directory whose syncs wait or fail.

mod operations;
mod owners;
mod pending;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use standpipe_store::fs::fault::{Call, Fault, SimDir};
use tokio::time::timeout;

use super::{Embedded, Entries, Opening, Options, StoreOptions};
use crate::engine::{
    Conditions, Delete, Durability, Facts, Failure, Lifetime, MediaType, Put, Versions, Writer,
};

/// Long enough for anything that does not wait for the disk.
const MOMENT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

fn engine(machine: &SimDir, durability: Option<standpipe_store::Durability>) -> Embedded {
    let store = StoreOptions {
        segment_bytes: 1 << 20,
        ..StoreOptions::default()
    };
    let options = Options {
        path: "unused".into(),
        read_wait: PATIENCE,
        store,
    };
    let engine = Embedded::open(Arc::new(machine.clone()), options, &Opening::default()).unwrap();
    if let Some(durability) = durability {
        let policy = standpipe_store::Policy::of(durability);
        let set = engine.store.set_keyspace("default", &policy, usize::MAX);
        let own = standpipe_store::block_on(set).unwrap().own;
        // A test that holds the disk back holds back what it does, not this.
        standpipe_store::block_on(engine.store.wait_durable(own.unwrap())).unwrap();
    }
    engine
}

/// Holds every sync of the log until it is released or dropped: a test that fails must not wait for the disk for ever.
struct Syncs(SimDir);

impl Syncs {
    fn hold(machine: &SimDir) -> Self {
        machine.hold(Call::SyncData, "wal-");
        Self(machine.clone())
    }

    fn release(&self) {
        self.0.release(Call::SyncData);
    }
}

impl Drop for Syncs {
    fn drop(&mut self) {
        self.release();
    }
}

async fn put(entries: &Entries, key: &str, until: Durability) -> Result<Put, Failure> {
    put_if(entries, key, &Conditions::default(), until).await
}

async fn put_if(
    entries: &Entries,
    key: &str,
    when: &Conditions,
    until: Durability,
) -> Result<Put, Failure> {
    let facts = Facts {
        media_type: MediaType::TEXT,
        content_encoding: None,
        lifetime: Lifetime::default(),
        writer: Writer::Client,
    };
    let mut draft = entries.draft(key.as_bytes(), 5, &facts).unwrap();
    draft.write(0, b"value");
    entries.put(draft, when, until).await
}

/// Asserts that every answer is being held back, and returns them once `release` has been called.
async fn held_back(mut answers: Vec<Held<'_>>, release: impl FnOnce()) -> Vec<bool> {
    for (place, answer) in answers.iter_mut().enumerate() {
        let early = timeout(MOMENT, answer.as_mut()).await;
        assert!(early.is_err(), "answer {place} came before the disk had it");
    }
    release();
    let mut all = Vec::new();
    for answer in answers {
        all.push(timeout(PATIENCE, answer).await.expect("the disk has it"));
    }
    all
}

type Held<'a> = Pin<Box<dyn Future<Output = bool> + 'a>>;

/// An answer that is expected to come, late, and to be true.
fn held<'a>(answer: impl Future<Output = Result<bool, Failure>> + 'a) -> Held<'a> {
    Box::pin(async { answer.await.expect("the disk gets it in the end") })
}

#[tokio::test]
async fn nothing_is_told_of_a_change_before_it_is_on_disk() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = &engine.default_entries();
    put(entries, "there", Durability::Synced).await.unwrap();
    let syncs = Syncs::hold(&machine);
    let any = &Conditions::default();
    let only_new = &Conditions {
        if_none_match: Some(Versions::Any),
        ..Conditions::default()
    };
    let only_old = &Conditions {
        if_match: Some(Versions::OneOf(Vec::new())),
        ..Conditions::default()
    };
    let synced = Durability::Synced;
    let answers = vec![
        held(async { Ok(matches!(put(entries, "a", synced).await?, Put::Created(_))) }),
        held(async { Ok(entries.find(b"a").await?.is_some()) }),
        held(async {
            Ok(matches!(
                put_if(entries, "a", only_new, synced).await?,
                Put::Refused(Some(_))
            ))
        }),
        held(async {
            Ok(matches!(
                entries
                    .delete(b"a", only_old, Writer::Client, synced)
                    .await?,
                Delete::Refused(Some(_))
            ))
        }),
        held(async {
            Ok(entries.delete(b"a", any, Writer::Client, synced).await? == Delete::Removed)
        }),
        // What is told of an absence is a change too: the delete before it could be lost.
        held(async { Ok(entries.find(b"a").await?.is_none()) }),
        held(async {
            Ok(entries.delete(b"a", any, Writer::Client, synced).await? == Delete::Absent)
        }),
        held(async { Ok(entries.flush(synced).await? == 1) }),
        held(async { Ok(entries.find(b"there").await?.is_none()) }),
    ];
    let count = answers.len();
    let answers = held_back(answers, || syncs.release()).await;
    assert_eq!(answers, vec![true; count]);
    engine.close().unwrap();
}

#[tokio::test]
async fn what_is_on_disk_is_told_at_once() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = engine.default_entries();
    put(&entries, "old", Durability::Synced).await.unwrap();
    let syncs = Syncs::hold(&machine);
    let written = timeout(PATIENCE, put(&entries, "new", Durability::Written))
        .await
        .expect("nothing to wait for");
    assert!(matches!(written, Ok(Put::Created(_))));
    let old = timeout(PATIENCE, entries.find(b"old"))
        .await
        .expect("nothing to wait for")
        .unwrap();
    assert_eq!(old.unwrap().value, "value");
    syncs.release();
    engine.close().unwrap();
}

#[tokio::test]
async fn a_reader_of_what_was_only_written_waits_for_the_promise_of_the_keyspace() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = engine.default_entries();
    put(&entries, "first", Durability::Synced).await.unwrap();
    let syncs = Syncs::hold(&machine);
    put(&entries, "a", Durability::Written).await.unwrap();
    let again = Conditions {
        if_none_match: Some(Versions::Any),
        ..Conditions::default()
    };
    let answers = vec![
        held(async { Ok(entries.find(b"a").await?.is_some()) }),
        // A request may relax the wait for its own change alone, not for what it met.
        held(async {
            Ok(matches!(
                put_if(&entries, "a", &again, Durability::Written).await?,
                Put::Refused(_)
            ))
        }),
    ];
    assert_eq!(held_back(answers, || syncs.release()).await, [true, true]);
    engine.close().unwrap();
}

#[tokio::test]
async fn a_written_keyspace_waits_for_the_disk_only_where_it_is_asked_to() {
    let machine = SimDir::new();
    let engine = engine(&machine, Some(standpipe_store::Durability::Written));
    let entries = engine.default_entries();
    assert_eq!(entries.durability(), Durability::Written);
    let syncs = Syncs::hold(&machine);
    put(&entries, "a", Durability::Written).await.unwrap();
    assert!(
        timeout(PATIENCE, entries.find(b"a"))
            .await
            .expect("nothing to wait for")
            .unwrap()
            .is_some()
    );
    let answers = vec![held(async {
        Ok(matches!(
            put(&entries, "a", Durability::Synced).await?,
            Put::Replaced(_)
        ))
    })];
    assert_eq!(held_back(answers, || syncs.release()).await, [true]);
    engine.close().unwrap();
}

#[tokio::test]
async fn a_disk_that_takes_too_long_is_said_so() {
    let machine = SimDir::new();
    let mut engine = engine(&machine, None);
    engine.read_wait = Duration::from_millis(50);
    let entries = engine.default_entries();
    let syncs = Syncs::hold(&machine);
    let late = put(&entries, "a", Durability::Synced).await;
    assert!(
        matches!(late, Err(Failure::NotDurableYet { .. })),
        "{late:?}"
    );
    let late = entries.find(b"a").await;
    assert!(
        matches!(late, Err(Failure::NotDurableYet { .. })),
        "{late:?}"
    );
    syncs.release();
    engine.close().unwrap();
}

#[tokio::test]
async fn a_failed_sync_is_told_to_everybody_who_waits_and_refuses_every_write_after() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = engine.default_entries();
    put(&entries, "old", Durability::Synced).await.unwrap();
    machine.fail(Fault::on(Call::SyncData).always());
    let lost = timeout(PATIENCE, put(&entries, "a", Durability::Synced))
        .await
        .expect("told at once");
    assert!(matches!(lost, Err(Failure::Lost { .. })), "{lost:?}");
    let lost = timeout(PATIENCE, entries.find(b"a"))
        .await
        .expect("told at once");
    assert!(matches!(lost, Err(Failure::Lost { .. })), "{lost:?}");
    machine.heal();
    for until in [Durability::Written, Durability::Synced] {
        let lost = put(&entries, "b", until).await;
        assert!(matches!(lost, Err(Failure::Lost { .. })), "{lost:?}");
    }
    assert!(entries.find(b"old").await.unwrap().is_some());
    timeout(PATIENCE, engine.lost())
        .await
        .expect("the server is told too");
    assert!(engine.health().failed.is_some());
}
