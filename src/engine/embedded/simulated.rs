//! An engine over a simulated machine, for tests of those above: its disk can be filled.

use std::sync::Arc;
use std::time::Duration;

use standpipe_store::fs::fault::SimDir;

use super::{Embedded, Opening, Options, StoreOptions};
use crate::engine::Engine;

/// A machine with a disk.
#[derive(Clone, Debug)]
pub(crate) struct Simulated(SimDir);

impl Simulated {
    pub(crate) fn new() -> Self {
        Self(SimDir::new())
    }

    /// An engine over what is on the disk.
    pub(crate) fn engine(&self) -> Engine {
        let options = Options {
            path: "unused".into(),
            read_wait: Duration::from_secs(30),
            store: StoreOptions {
                segment_bytes: 1 << 20,
                ..StoreOptions::default()
            },
        };
        let directory = Arc::new(self.0.clone());
        let engine = Embedded::open(directory, options, &Opening::default());
        Engine::Embedded(engine.unwrap())
    }

    /// Leaves no room for more than there is.
    pub(crate) fn fill_disk(&self) {
        self.0.limit(Some(self.0.used()));
    }

    /// Makes room.
    pub(crate) fn empty_disk(&self) {
        self.0.limit(None);
    }
}
