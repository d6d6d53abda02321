//! The limits of requests. They are replaced as a whole while requests run: a request that has looked at them goes on with
//! what it saw. It must not know where they come from.

use std::time::Duration;

/// What a client may send, hold open or wait for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most bytes of request bodies held at one time.
    pub inflight_bytes: usize,
    /// The most connections of one address; `None` is no limit. For connections that are made from now on.
    pub connections_per_address: Option<usize>,
    /// The most requests that are answered at one time on one HTTP/2 connection.
    pub streams_per_connection: usize,
    /// How long a body may make no progress.
    pub body_stall: Duration,
    /// How long a reader may take nothing of its answer; for connections that are made from now on.
    pub read_stall: Duration,
    /// The largest JSON body of an operation that has one, batches aside.
    pub json_bytes: usize,
    /// What a batch may be.
    pub batch: BatchLimits,
    /// The most watches at one time.
    pub watchers: usize,
    /// How long one watch may last; `None` is as long as its client wants.
    pub watch_duration: Option<Duration>,
    /// The time between two signs of life on a watch.
    pub watch_heartbeat: Duration,
    /// Every limit of the service, as `/limits` shows it.
    pub shown: Vec<Limit>,
}

/// What a batch may be.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// The most operations.
    pub operations: usize,
    /// The most bytes of its body.
    pub bytes: usize,
    /// The most bytes that the values in its answer take as JSON.
    pub answer_bytes: usize,
}

/// A limit, as `/limits` shows it.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The setting that changes it.
    pub setting: &'static str,
    /// Its value; `None` where it is off.
    pub value: Option<u64>,
    /// What it counts.
    pub unit: &'static str,
}
