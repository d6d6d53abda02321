//! Crash states: whatever was synced and acknowledged is there after every crash, in exactly the order it was made.

use std::env;

use standpipe_store::fs::fault::{AllLost, Call, SimDir};
use standpipe_store::{Conditions, Level};

use crate::harness::{self, block_on, contents, default_keyspace, open, rounds};
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
    let wanted = rounds("STANDPIPE_CRASH_STATES", 1_000);
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

/// The preparer tells the manifest where a segment ends while the snapshot that covers it is being installed.
#[test]
fn a_crash_between_a_snapshot_and_the_end_of_its_last_segment_recovers() {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let store = open(&sim, &options, &clock).unwrap();
    let keyspace = default_keyspace(&store);
    let put = |key: &[u8]| {
        let draft = harness::draft(&store, key, b"value", "a/b", None);
        let when = Conditions::default();
        let put = block_on(store.put(&keyspace, draft, &when, Level::Durable)).unwrap();
        block_on(store.wait_durable(put.own.unwrap())).unwrap();
    };
    put(b"before");
    sim.hold(Call::SetLen);
    block_on(store.compact()).unwrap();
    put(b"behind");
    sim.wait_held(1);
    let image = sim.crash_image(&mut AllLost);
    sim.release();
    let after = open(&image, &options, &clock).unwrap();
    assert_eq!(contents(&after), contents(&store));
}
