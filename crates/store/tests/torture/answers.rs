//! What an answer names as its ground, and that versions never repeat.

use standpipe_store::fs::fault::{Call, Fault, SimDir};
use standpipe_store::{Conditions, Deleted, Level, Putted, Versions, Writer};

use crate::harness::{self, block_on, default_keyspace, open};

/// Lets held calls go on also where a test fails: the store's threads are joined on the way out.
struct Held<'a>(&'a SimDir);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release(Call::SyncData);
    }
}

/// While no sync ends, every answer names the newest change that it tells of, whatever its status: who waits for that
/// tells nobody of what a crash could take back.
#[test]
fn an_answer_names_what_it_rests_on_before_that_is_durable() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    let keyspace = default_keyspace(&store);
    sim.hold(Call::SyncData, "wal-");
    let held = Held(&sim);
    let always = Conditions::default();
    let absent = Conditions {
        if_match: None,
        if_none_match: Some(Versions::Any),
    };
    let put = |when: &Conditions<'_>| {
        let draft = harness::draft(&store, b"k", b"v", "a/b", None);
        block_on(store.put(&keyspace, draft, when, Level::Durable)).unwrap()
    };
    let delete = || {
        block_on(store.delete(&keyspace, b"k", &always, Writer::Client, Level::Durable)).unwrap()
    };
    let first = put(&always).own.unwrap();
    assert_eq!(store.get(&keyspace, b"k").seen, first);
    let refused = put(&absent);
    assert!(matches!(
        refused.outcome,
        Putted::Refused { current: Some(_) }
    ));
    assert_eq!((refused.seen, refused.own), (first, None));
    let deleted = delete().own.unwrap();
    assert_eq!(store.get(&keyspace, b"k").seen, deleted);
    assert_eq!(store.scan(&keyspace, b"", None, 10).seen, deleted);
    let again = delete();
    assert_eq!(
        (again.outcome, again.seen, again.own),
        (Deleted::Absent, deleted, None)
    );
    let flush = block_on(store.flush(&keyspace, Level::Durable)).unwrap();
    let flushed = flush.own.unwrap();
    assert_eq!(store.get(&keyspace, b"never there").seen, flushed);
    assert!(
        !store.has_reached(Level::Durable, first),
        "nothing of this is durable"
    );
    drop(held);
    block_on(store.wait_durable(flushed)).unwrap();
}

#[test]
fn a_restored_backup_never_repeats_a_version() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    store.close().unwrap();
    drop(store);
    let backup = sim.fork();
    let version = |machine: &SimDir| {
        let store = open(machine, &options, &clock).unwrap();
        let draft = harness::draft(&store, b"k", b"v", "a/b", None);
        let (keyspace, when) = (default_keyspace(&store), Conditions::default());
        let put = block_on(store.put(&keyspace, draft, &when, Level::Durable)).unwrap();
        match put.outcome {
            Putted::Stored { version, .. } => version,
            Putted::Refused { .. } | Putted::Foreign(_) => panic!("nothing was asked for"),
        }
    };
    let (before, after) = (version(&sim), version(&backup));
    assert_eq!(before.revision, after.revision);
    assert_ne!(before, after);
}

/// The kernel marks the pages of a failed sync clean: a second try would succeed and prove nothing.
#[test]
fn one_failed_sync_is_believed_by_nobody() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    let keyspace = default_keyspace(&store);
    // Once: what syncs next, on whatever thread, would succeed.
    sim.fail(Fault::on(Call::SyncData).prefix("wal-"));
    let draft = harness::draft(&store, b"k", b"v", "a/b", None);
    let when = Conditions::default();
    let put = block_on(store.put(&keyspace, draft, &when, Level::Durable));
    if let Ok(put) = put {
        let own = put.own.unwrap();
        assert!(
            block_on(store.wait_durable(own)).is_err(),
            "it was told to be durable"
        );
    }
    assert!(store.health().lost.is_some());
}
