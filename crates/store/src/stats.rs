//! Numbers about a store, and whether it is well.

use crate::log::LogStats;

/// Numbers about a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that anybody can read, in all keyspaces.
    pub entries: u64,
    /// Bytes of memory of the entries: keys, values, headers.
    pub entry_bytes: u64,
    /// Bytes of memory of the tables around them.
    pub overhead_bytes: u64,
    /// Entries that expire some time.
    pub expiring: u64,
    /// Entries that were removed because their time had come.
    pub expired: u64,
    /// The log.
    pub log: LogStats,
    /// Bytes of the log since the last snapshot.
    pub log_bytes_since_snapshot: u64,
    /// Log segments on disk.
    pub segments: u64,
    /// Snapshots on disk.
    pub snapshots: u64,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: u64,
    /// Every change up to this revision is in the newest snapshot.
    pub snapshot_revision: u64,
    /// Snapshots made by this process.
    pub compactions: u64,
    /// Snapshots that failed in this process.
    pub failed_compactions: u64,
}

/// What an operator should know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why writes are refused for good, where they are.
    pub lost: Option<String>,
    /// Whether the disk is full: writes are refused, deletes go on while the reserve lasts.
    pub disk_full: bool,
    /// Whether something lies in quarantine that nobody has acknowledged.
    pub quarantined: bool,
    /// What was wrong with a newer snapshot that this start had to pass over.
    pub snapshot_passed_over: Option<String>,
    /// Whether expired entries are kept on disk, because the clock jumped by more than a day.
    pub removal_paused: bool,
}
