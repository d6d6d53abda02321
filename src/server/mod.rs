//! The composition root: builds every part, binds, serves, drains. It must hold no rule of its own: what a key, a
//! request or a record may be is said below.

mod error;
mod life;
mod listen;
mod movement;
mod options;
mod reload;
mod stop;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::panic;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task;

pub use error::ServerError;
pub use options::{Access, Limits, OnSyncError, Options, Storage, Tls, Token, Verbs, Watch};
pub use reload::{Loaded, Look, Source, Words};
use reload::{Reload, Trigger};
use stop::{Stopper, stop};

pub use crate::engine::{Durability, Eviction, Pending, Policy};
pub use crate::keyspace::is_name as is_keyspace_name;
use crate::outbound::Outbound;
use crate::{http, tls};

/// Serves until SIGTERM or SIGINT, then drains; a second signal stops at once. What `source` holds is taken over when it
/// changes, and at SIGHUP; `words` are those behind the options.
pub fn run(options: Options, words: Words, source: Box<dyn Source>) -> Result<(), ServerError> {
    let server = Server::bind(&options)?;
    let (stopper, stop) = stop();
    let trigger = Trigger::default();
    http::block_on(async {
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let stopper = stopper.clone();
            at_signal(kind, move || stopper.ask())?;
        }
        let asked = trigger.clone();
        at_signal(SignalKind::hangup(), move || asked.ask())?;
        // Only now: who waits for this line may send a signal next.
        for address in server.addresses() {
            tracing::info!(%address, "listening");
        }
        for address in addresses_of(&server.ops) {
            tracing::info!(%address, "serving probes and figures");
        }
        let reload = Reload::new(options, words, Some(source), trigger);
        life::live(server, reload, stop).await
    })
}

/// Does it at each such signal from now on.
fn at_signal(kind: SignalKind, act: impl Fn() + 'static) -> Result<(), ServerError> {
    let mut received = signal(kind).map_err(|source| ServerError::System {
        what: "handle signals",
        source,
    })?;
    task::spawn_local(async move {
        while received.recv().await.is_some() {
            act();
        }
    });
    Ok(())
}

/// Serves on a thread of its own and returns as soon as the address is bound: for tests and for embedding.
pub fn spawn(options: Options) -> Result<Handle, ServerError> {
    let server = Server::bind(&options)?;
    let addresses = server.addresses();
    let ops_addresses = addresses_of(&server.ops);
    let (stopper, stop) = stop();
    let thread = thread::Builder::new()
        .name("standpipe".to_owned())
        .spawn(move || {
            let reload = Reload::new(options, Words::new(), None, Trigger::default());
            http::block_on(life::live(server, reload, stop))
        })
        .map_err(|source| ServerError::System {
            what: "start a thread",
            source,
        })?;
    Ok(Handle {
        addresses,
        ops_addresses,
        stopper,
        thread,
    })
}

/// A server that runs on a thread of its own. Dropping it asks nothing: the server runs on.
#[derive(Debug)]
pub struct Handle {
    addresses: Vec<SocketAddr>,
    ops_addresses: Vec<SocketAddr>,
    stopper: Stopper,
    thread: JoinHandle<Result<(), ServerError>>,
}

impl Handle {
    /// The addresses that are listened on, with their real ports. Never empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses of `server.ops_endpoint`; none where there is none.
    pub fn ops_addresses(&self) -> &[SocketAddr] {
        &self.ops_addresses
    }

    /// Asks to stop, as a signal would: the first time to drain, the second time to stop at once.
    pub fn ask_to_stop(&self) {
        self.stopper.ask();
    }

    /// Whether the server has ended, well or badly.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the server to have ended, and passes its panic on.
    pub fn join(self) -> Result<(), ServerError> {
        self.thread
            .join()
            .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    }
}

/// A server with its listeners bound and nothing else done.
#[derive(Debug)]
struct Server {
    listeners: Vec<TcpListener>,
    /// For probes and figures alone; none where that was not asked for.
    ops: Vec<TcpListener>,
    /// `None` for plain HTTP.
    tls: Option<Arc<tls::Tls>>,
    /// For whatever calls somebody.
    outbound: Outbound,
}

impl Server {
    fn bind(options: &Options) -> Result<Self, ServerError> {
        let tls = options.tls.as_ref().map(tls::Tls::load).transpose()?;
        Ok(Self {
            listeners: listen::listen("server.endpoint", &options.endpoint)?,
            ops: match &options.ops_endpoint {
                Some(endpoint) => listen::listen("server.ops_endpoint", endpoint)?,
                None => Vec::new(),
            },
            tls: tls.map(Arc::new),
            outbound: Outbound::start(options.outbound.clone())?,
        })
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        addresses_of(&self.listeners)
    }
}

fn addresses_of(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .collect()
}
