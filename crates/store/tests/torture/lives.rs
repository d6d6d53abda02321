//! Several lives of one store, each with clients at once and a crash at its end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use standpipe_store::Store;
use standpipe_store::fs::fault::{Seeded, SimDir};

use crate::harness::{self, open};
use crate::promises::Model;

/// Lives of one machine.
const LIVES: usize = 4;
/// Calls of one client in one life.
const CALLS: usize = 150;

/// Opens, holds what is there to the promises, lives, and crashes; at the end what is there has to fit once more.
pub(crate) fn over_crashes(
    seed: u64,
    mut live: impl FnMut((&Store, &SimDir), &mut Seeded, &mut Model),
) {
    let mut dice = Seeded::new(seed);
    let (mut sim, clock, options) = (SimDir::new(), harness::clock(), harness::small());
    let mut model = Model::default();
    for _ in 0..LIVES {
        let store = open(&sim, &options, &clock).unwrap();
        let kept = model.check(&store, clock.now_ms());
        model.promise(kept);
        live((&store, &sim), &mut dice, &mut model);
        sim = sim.crash(&mut Seeded::new(dice.bits()));
        drop(store);
    }
    let store = open(&sim, &options, &clock).unwrap();
    model.check(&store, clock.now_ms());
}

/// In three of four lives the machine goes off in the middle.
pub(crate) fn maybe_stop(sim: &SimDir, dice: &mut Seeded) {
    if dice.below(4) > 0 {
        sim.stop_after(dice.bits() % 600);
    }
}

/// Asks until all is asked, or the store answers no more.
pub(crate) fn ask_on(mut ask: impl FnMut() -> bool) {
    let mut left = CALLS;
    while left > 0 && ask() {
        left -= 1;
    }
}

/// Runs clients at once, each with dice of its own and a counter that all share, and gathers what they did.
pub(crate) fn live<T: Send + 'static, C: FnOnce() -> Vec<T> + Send + 'static>(
    dice: &mut Seeded,
    clients: u64,
    client: impl Fn(Seeded, Arc<AtomicU64>) -> C,
) -> Vec<T> {
    let ticks = Arc::new(AtomicU64::new(1));
    let started: Vec<_> = (0..clients)
        .map(|_| thread::spawn(client(Seeded::new(dice.bits()), Arc::clone(&ticks))))
        .collect();
    let ended = started.into_iter();
    ended.flat_map(|client| client.join().unwrap()).collect()
}
