//! What a mirror can be told, checked and typed. It must not know where that was said.

use std::path::PathBuf;
use std::time::Duration;

use crate::outbound::Secret;

/// `keyspaces.*.mirror`: what one keyspace follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// `standpipe` or `smartcore`
    pub upstream: Upstream,
    /// `backoff_min`: the first pause after a failure; each further one is twice as long.
    pub backoff_min: Duration,
    /// `backoff_max`: the longest.
    pub backoff_max: Duration,
    /// `on_delete`: what becomes of a key that the upstream has no longer.
    pub on_delete: OnDelete,
    /// `max_bytes`: the largest value.
    pub max_bytes: usize,
    /// `unstored_bytes`: the most memory that values take which came while they could not be stored.
    pub unstored_bytes: usize,
}

/// What becomes of a key that the upstream has no longer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnDelete {
    /// It is removed here too.
    #[default]
    Remove,
    /// It is kept, and `/mirrors` says so.
    Keep,
}

/// Who is followed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Upstream {
    /// A keyspace of another Standpipe.
    Standpipe(Standpipe),
    /// Publications of a Smart Core server.
    SmartCore(SmartCore),
}

/// A keyspace of another Standpipe, followed by its watch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standpipe {
    /// `endpoint`: http or https, scheme, host and port.
    pub endpoint: String,
    /// `keyspace` there.
    pub keyspace: String,
    /// `prefix`: only the keys that begin so.
    pub prefix: String,
    /// `token` or `token_file`
    pub token: Option<Secret>,
    /// `ca`: authorities that are believed beside the others.
    pub ca: Option<PathBuf>,
}

/// Publications of a Smart Core server, over gRPC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SmartCore {
    /// `endpoint`: http or https.
    pub endpoint: String,
    /// `device`: the name that every request carries.
    pub device: String,
    /// `publications`: their ids, which are the keys.
    pub publications: Vec<String>,
    /// `service`: under which name the server has it.
    pub service: Service,
    /// `poll_interval`: how often a server is asked that cannot stream.
    pub poll_interval: Duration,
    /// `ca`: authorities that are believed beside the others.
    pub ca: Option<PathBuf>,
}

/// The name of the gRPC service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Service {
    /// Whichever the server has: the newer one is asked first.
    #[default]
    Any,
    /// `smartcore.traits.PublicationApi`
    Traits,
    /// `smartcore.bos.publication.v1.PublicationApi`
    Bos,
}
