//! What the server can be told, checked and typed. It must not know where a setting came from: file, environment and
//! flags are the configuration's business.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::engine::{Policy, StoreOptions};
pub use crate::http::{Access, Token, Verbs};
pub use crate::tls::Options as Tls;
use crate::{mirror, outbound, pump, sink, source};

/// Everything that a running server needs to know. [`Options::default`] is the documented default of every setting.
#[derive(Clone, Debug)]
pub struct Options {
    /// `server.endpoint`: `host:port`. An empty host means every interface, port 0 any free port.
    pub endpoint: String,
    /// `server.workers`: threads that serve requests. Default: as many as there are processors.
    pub workers: NonZeroUsize,
    /// `server.keep_alive`: how long an idle connection is kept open.
    pub keep_alive: Duration,
    /// `server.shutdown_delay`: how long a stopping server goes on serving while `/readyz` already says no.
    pub shutdown_delay: Duration,
    /// `server.drain_timeout`: how long requests in flight may take to finish once the listener is closed.
    pub drain_timeout: Duration,
    /// `server.read_wait`: the longest that an answer waits until what it tells of is as durable as promised.
    pub read_wait: Duration,
    /// `server.reload_interval`: how often the configuration is looked at for changes.
    pub reload_interval: Duration,
    /// `server.allowed_hosts`: names, beside `localhost` and IP literals, that a `Host` header may carry on a loopback
    /// address. Without a port, compared without case.
    pub allowed_hosts: Vec<String>,
    /// `access.*`
    pub access: Access,
    /// `server.ops_endpoint`: where probes and `/metrics` are served as well, without TLS and tokens; `None` for nowhere.
    pub ops_endpoint: Option<String>,
    /// `logging.access`: whether each request is a line in the log.
    pub access_log: bool,
    /// `server.tls`: the certificates; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// `limits.*`
    pub limits: Limits,
    /// `storage.*`
    pub storage: Storage,
    /// `log.on_sync_error`
    pub on_sync_error: OnSyncError,
    /// `watch.*`
    pub watch: Watch,
    /// `keyspaces`: what the file defines, by name.
    pub keyspaces: Vec<(String, Policy)>,
    /// `outbound.*`
    pub outbound: outbound::Options,
    /// `keyspaces.*.source`, by the keyspace's name: how those keyspaces read through.
    pub through: BTreeMap<String, source::ThroughOptions>,
    /// `keyspaces.*.mirror`, by the keyspace's name: what those keyspaces follow.
    pub mirrors: BTreeMap<String, mirror::Options>,
    /// `keyspaces.*.sink`, by the keyspace's name: where the changes of those keyspaces go.
    pub sinks: BTreeMap<String, sink::Options>,
    /// `sources`: what is fetched by the clock.
    pub sources: pump::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoint: "127.0.0.1:8080".to_owned(),
            workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            keep_alive: Duration::from_secs(75),
            shutdown_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            read_wait: Duration::from_secs(5),
            reload_interval: Duration::from_secs(5),
            allowed_hosts: Vec::new(),
            access: Access::default(),
            ops_endpoint: None,
            access_log: false,
            tls: None,
            limits: Limits::default(),
            storage: Storage::default(),
            on_sync_error: OnSyncError::Exit,
            watch: Watch::default(),
            keyspaces: Vec::new(),
            outbound: outbound::Options::default(),
            through: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            sinks: BTreeMap::new(),
            sources: pump::Options::default(),
        }
    }
}

/// The limits on what a client may send or hold open.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `limits.key_bytes`: the longest key, in bytes after percent-decoding.
    pub key_bytes: usize,
    /// `limits.value_bytes`: the largest value, in bytes.
    pub value_bytes: usize,
    /// `limits.json_bytes`: the largest JSON body of an operation that has one, batches aside.
    pub json_bytes: usize,
    /// `limits.batch_operations`: the most operations in one batch.
    pub batch_operations: usize,
    /// `limits.batch_bytes`: the largest body of a batch, in bytes.
    pub batch_bytes: usize,
    /// `limits.batch_answer_bytes`: the most bytes that the values in the answer to a batch take as JSON.
    pub batch_answer_bytes: usize,
    /// `limits.inflight_bytes`: the most bytes of request bodies held at one time, over all connections.
    pub inflight_bytes: usize,
    /// `limits.body_stall`: how long a request's body may make no progress.
    pub body_stall: Duration,
    /// `limits.read_stall`: how long a reader may take nothing of its answer.
    pub read_stall: Duration,
    /// `limits.head_timeout`: how long the first request's head may take to arrive.
    pub head_timeout: Duration,
    /// `limits.connections`: the most connections served at one time; more wait to be accepted.
    pub connections: usize,
    /// `limits.connections_per_address`: the most connections of one address; one more is closed. `None` is no limit.
    pub connections_per_address: Option<usize>,
    /// `limits.streams_per_connection`: the most requests answered at one time on one HTTP/2 connection.
    pub streams_per_connection: usize,
    /// `limits.keyspaces`: the most keyspaces that there may be, `default` included.
    pub keyspaces: usize,
    /// `limits.watch_duration`: how long one watch may last; `None` is as long as its client wants.
    pub watch_duration: Option<Duration>,
    /// `limits.watchers`: the most watches at one time.
    pub watchers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 1024,
            value_bytes: 16 << 20,
            json_bytes: 64 << 10,
            batch_operations: 1000,
            batch_bytes: 32 << 20,
            batch_answer_bytes: 32 << 20,
            inflight_bytes: 256 << 20,
            body_stall: Duration::from_secs(10),
            read_stall: Duration::from_secs(30),
            head_timeout: Duration::from_secs(5),
            connections: 25_000,
            connections_per_address: Some(12_500),
            streams_per_connection: 1_000,
            keyspaces: 256,
            watch_duration: None,
            watchers: 20_000,
        }
    }
}

/// How far back a watch can resume, and its signs of life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watch {
    /// `watch.history_events`: the most events that are kept.
    pub history_events: usize,
    /// `watch.history_bytes`: the most bytes that they take.
    pub history_bytes: usize,
    /// `watch.heartbeat`: the time between two signs of life on a watch.
    pub heartbeat: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            history_events: 100_000,
            history_bytes: 64 << 20,
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// Where the data lives.
#[derive(Clone, Debug)]
pub struct Storage {
    /// `storage.path`: the directory that holds `store/` and the lock. Made where it is absent.
    pub path: PathBuf,
    /// The durable map's own: `storage.*`, `log.*`, `compaction.*`.
    pub store: StoreOptions,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data"),
            store: StoreOptions::default(),
        }
    }
}

/// What to do when the disk fails to sync.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnSyncError {
    /// Stop with a non-zero exit code: whoever supervises the process starts it again, and recovery decides.
    Exit,
    /// Go on answering reads of what is durable; every write is refused.
    ReadOnly,
}
