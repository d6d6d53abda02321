//! A data directory without a server: opened as a store, and closed so that everything is on the disk. It must not know
//! what a command does with it.

use std::path::Path;
use std::sync::Arc;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{Clock, ErrorClass, OpenError, Progress, Store};

use super::{Exit, Failure, progress};
use crate::config::Config;

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match error.class() {
            ErrorClass::InUse => Exit::IN_USE,
            ErrorClass::Data => Exit::DATA,
            ErrorClass::Io => Exit::IO,
        };
        Self::new(exit, error)
    }
}

/// The existing directory of the data.
pub(super) fn existing(path: &Path) -> Result<Arc<RealDir>, Failure> {
    let dir = RealDir::open(path).map_err(|error| {
        let what = format_args!(
            "open the data directory {} (storage.path, --data)",
            path.display()
        );
        Failure::io(what, &error)
    })?;
    Ok(Arc::new(dir))
}

/// Whether there is a store in the directory: a mount point may hold other things, and an empty one nothing.
pub(super) fn holds_store(path: &Path) -> bool {
    path.join("store").symlink_metadata().is_ok()
}

/// The existing directory of the data, with a store in it. Whoever only reads or repairs must not make one.
pub(super) fn with_store(path: &Path) -> Result<Arc<RealDir>, Failure> {
    let dir = existing(path)?;
    if holds_store(path) {
        return Ok(dir);
    }
    let message = format_args!(
        "there is no store in {} (storage.path, --data)",
        path.display()
    );
    Err(Failure::new(Exit::IO, message))
}

/// Opens the store in a directory, which locks it until the store is closed.
pub(super) fn open(
    config: &Config,
    dir: Arc<RealDir>,
    clock: &Arc<Clock>,
) -> Result<Store, Failure> {
    let replay = Progress::new();
    let options = config.server.storage.store.clone();
    let opened = progress::of_store("reading the data", &replay, || {
        Store::open(dir, Arc::clone(clock), options, &replay)
    });
    opened.map_err(Failure::from)
}

/// Closes a store: what it holds is on the disk afterwards.
pub(super) fn close(store: &Store) -> Result<(), Failure> {
    store
        .close()
        .map_err(|error| Failure::new(Exit::IO, format_args!("closing the store: {error}")))
}

/// The keyspace that every store has.
pub(super) const DEFAULT: &str = "default";
