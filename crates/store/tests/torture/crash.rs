//! Crash states: whatever was synced and acknowledged is there after every crash, in exactly the order it was made.

use std::env;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use standpipe_store::fs::fault::{AllLost, Call, SimDir};
use standpipe_store::{Conditions, Level, Policy, Store, Writer};

use crate::harness::{self, block_on, default_keyspace, open, rounds};
use crate::promises::contents;
use crate::workload::Workload;

/// Writes, crashes, recovers, writes again, crashes again, inside recovery and compaction too.
fn torture(seed: u64) -> u64 {
    let mut workload = Workload::new(seed);
    workload.recover();
    for _ in 0..4 {
        let acts = 5 + workload.dice.below(40);
        for _ in 0..acts {
            workload.act();
            if workload.sim.is_off() {
                break;
            }
            if workload.dice.below(6) == 0 {
                workload.look_at_an_image();
            }
        }
        workload.end();
        workload.recover();
    }
    workload.states
}

#[test]
fn every_crash_state_is_a_prefix_that_holds_what_was_promised() {
    if let Ok(seed) = env::var("STANDPIPE_TORTURE_SEED") {
        torture(seed.parse().unwrap());
        return;
    }
    let wanted = rounds("STANDPIPE_CRASH_STATES", 10_000);
    let first = rounds("STANDPIPE_TORTURE_FIRST_SEED", 1);
    let mut states = 0;
    for seed in first.. {
        states += torture(seed);
        if states >= wanted {
            break;
        }
    }
    assert!(states >= wanted);
}

/// Puts a key and waits until that is durable.
fn put(store: &Store, key: &[u8]) {
    let draft = harness::draft(store, key, b"value", "a/b", None);
    let (keyspace, when) = (default_keyspace(store), Conditions::default());
    let put = block_on(store.put(&keyspace, draft, &when, Level::Durable)).unwrap();
    block_on(store.wait_durable(put.own.unwrap())).unwrap();
}

/// The preparer tells the manifest where a segment ends while the snapshot that covers it is being installed.
#[test]
fn a_crash_between_a_snapshot_and_the_end_of_its_last_segment_recovers() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    put(&store, b"before");
    sim.hold(Call::SetLen, "");
    block_on(store.compact()).unwrap();
    put(&store, b"behind");
    sim.wait_held(1);
    let image = sim.crash_image(&mut AllLost);
    sim.release(Call::SetLen);
    let after = open(&image, &options, &clock).unwrap();
    assert_eq!(contents(&after), contents(&store));
}

/// A snapshot that misses a deleted key tells of the deletion, which must be durable then like everything else it tells of.
#[test]
fn a_snapshot_never_forgets_a_key_whose_deletion_a_crash_takes_back() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    let keyspace = default_keyspace(&store);
    put(&store, b"deleted");
    put(&store, b"other");
    sim.hold(Call::Create, "snapshot-");
    let (reply, compacted) = mpsc::channel();
    let folding = {
        let store = store.clone();
        thread::spawn(move || reply.send(block_on(store.compact()).is_ok()))
    };
    // The log has gone on in its next segment.
    sim.wait_held(1);
    sim.hold(Call::SyncData, "wal-");
    let when = Conditions::default();
    block_on(store.delete(&keyspace, b"deleted", &when, Writer::Client, Level::Durable)).unwrap();
    sim.wait_held(2);
    sim.release(Call::Create);
    // It must not be finished before the deletion is durable; there is nothing to wait for but that it is.
    let early = compacted.recv_timeout(Duration::from_millis(300));
    let image = sim.crash_image(&mut AllLost);
    sim.release(Call::SyncData);
    folding.join().unwrap().unwrap();
    let after = open(&image, &options, &clock).unwrap();
    let kept = after.get(&default_keyspace(&after), b"deleted").entry;
    assert!(
        kept.is_some(),
        "the deletion was not durable, and yet it happened"
    );
    assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
    assert_eq!(compacted.recv(), Ok(true));
}

/// Records behind the snapshot name a keyspace that was dropped before the snapshot was finished.
#[test]
fn a_keyspace_dropped_while_a_snapshot_is_written_is_skipped_by_replay() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    let policy = Policy::default();
    block_on(store.set_keyspace("gone", &policy, 9)).unwrap();
    let gone = store.keyspace("gone").unwrap();
    put(&store, b"stays");
    sim.hold(Call::Create, "snapshot-");
    let folding = {
        let store = store.clone();
        thread::spawn(move || block_on(store.compact()))
    };
    sim.wait_held(1);
    let draft = harness::draft(&store, b"key", b"value", "a/b", None);
    block_on(store.put(&gone, draft, &Conditions::default(), Level::Durable)).unwrap();
    let dropped = block_on(store.drop_keyspace(&gone, Level::Durable)).unwrap();
    sim.release(Call::Create);
    folding.join().unwrap().unwrap();
    block_on(store.wait_durable(dropped.unwrap())).unwrap();
    let after = open(&sim.crash_image(&mut AllLost), &options, &clock).unwrap();
    assert_eq!(contents(&after), contents(&store));
    assert!(after.keyspace("gone").is_none());
    block_on(after.set_keyspace("gone", &policy, 9)).unwrap();
    assert!(after.keyspace("gone").unwrap().id() > gone.id());
}
