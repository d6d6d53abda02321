//! Numbers about a store, and whether it is well.

/// Numbers about a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// The newest revision that was handed out.
    pub last_revision: u64,
    /// The newest revision that was handed to the operating system.
    pub written_revision: u64,
    /// The newest revision that is on disk.
    pub durable_revision: u64,
    /// Records written.
    pub records: u64,
    /// Writes, each of one or more records.
    pub batches: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Syncs of the active segment.
    pub syncs: u64,
    /// Time spent in them, in nanoseconds.
    pub sync_nanos: u64,
    /// Segments that were closed.
    pub rotations: u64,
    /// Bytes that changes can still take before another segment is needed.
    pub room: u64,
    /// Whether the disk is full.
    pub disk_full: bool,
}

/// Numbers about a keyspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyspaceStats {
    /// Entries that anybody can read.
    pub entries: u64,
    /// Bytes of memory that its entries take, by the formula that `max_bytes` goes by.
    pub bytes: u64,
}

/// Numbers about a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that anybody can read, in all keyspaces.
    pub entries: u64,
    /// Bytes of memory of the entries: keys, values, headers.
    pub entry_bytes: u64,
    /// Bytes of memory of the tables around them.
    pub overhead_bytes: u64,
    /// Bytes of memory that the entries count for, by the formula that `max_bytes` goes by.
    pub counted_bytes: u64,
    /// Entries that expire some time.
    pub expiring: u64,
    /// Keys that wait to be passed on by a sink; one that is in two generations counts twice.
    pub pending: u64,
    /// Keys that a sink could not pass on.
    pub dead: u64,
    /// Entries that were removed because their time had come.
    pub expired: u64,
    /// Entries that left so that others fit.
    pub evicted: u64,
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
