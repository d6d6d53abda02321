//! How far the opening of a store has come: for a readiness probe or a progress bar.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What an opening is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Locking and reading the manifest.
    Opening,
    /// Loading a snapshot.
    Snapshot,
    /// Replaying the log.
    Log,
    /// Sorting keys.
    Index,
    /// Done.
    Ready,
}

/// Shared numbers about an opening.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// An opening that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it is busy with.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Opening,
            1 => Phase::Snapshot,
            2 => Phase::Log,
            3 => Phase::Index,
            _ => Phase::Ready,
        }
    }

    /// Bytes read so far.
    pub fn bytes_done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes to read in all; 0 while that is not known.
    pub fn bytes_total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let code = match phase {
            Phase::Opening => 0,
            Phase::Snapshot => 1,
            Phase::Log => 2,
            Phase::Index => 3,
            Phase::Ready => 4,
        };
        self.phase.store(code, Ordering::Relaxed);
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}
