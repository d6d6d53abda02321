//! An engine over a machine whose disk fills up, fails or stalls when a test wants it to. It must not know what is tested.

use std::sync::Arc;
use std::time::Duration;

use standpipe_store::fs::fault::{Call, Fault, SimDir};

use super::{Embedded, Engine, Opening, Options, StoreOptions};

/// A machine. Dropping it lets go of whatever it holds up: a test that fails must not wait for the disk for ever.
#[derive(Debug)]
pub(crate) struct Simulated(SimDir);

impl Simulated {
    pub(crate) fn new() -> Self {
        Self(SimDir::new())
    }

    /// Opens the engine; an answer waits for the disk for `read_wait` at most.
    pub(crate) fn open(&self, read_wait: Duration) -> Engine {
        let options = Options {
            path: "unused".into(),
            read_wait,
            store: StoreOptions {
                segment_bytes: 1 << 20,
                reserve_bytes: Some(1 << 20),
                ..StoreOptions::default()
            },
        };
        let directory = Arc::new(self.0.clone());
        Engine::Embedded(Embedded::open(directory, options, &Opening::default()).unwrap())
    }

    /// The same machine after its process was killed: what was written is there.
    pub(crate) fn kill(&self) -> Self {
        Self(self.0.kill())
    }

    /// Nothing fits on the disk any more that is not there already.
    pub(crate) fn fill(&self) {
        self.0.limit(Some(self.0.used()));
    }

    /// There is space again.
    pub(crate) fn free(&self) {
        self.0.limit(None);
    }

    /// Syncs of the log wait until [`Simulated::release`].
    pub(crate) fn stall(&self) {
        self.0.hold(Call::SyncData, "wal-");
    }

    /// Waits until something waits for the disk. Blocks.
    pub(crate) fn wait_until_stalled(&self) {
        self.0.wait_held(1);
    }

    pub(crate) fn release(&self) {
        self.0.release(Call::SyncData);
    }

    /// The next sync fails, and with it everything that is to be made durable.
    pub(crate) fn fail(&self) {
        self.0
            .fail(Fault::on(Call::SyncData).prefix("wal-").always());
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.release();
    }
}
