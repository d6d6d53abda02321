//! Reaching out: the one runtime on which everything runs that calls somebody, and the rules for every address that is
//! called. Its own, because the workers that serve requests must never wait for somebody else's server, and because
//! connections that are shared cannot live on runtimes that each serve one thread. It must not know what is fetched, or why.

mod address;
mod client;
mod connection;
mod database;
mod secret;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinHandle;

pub use address::Refused;
pub use client::{Answer, Bounds, Call, CallError, Client, Opened, origin};
pub use connection::Connection;
pub use database::{
    Connection as DatabaseConnection, Database, DatabaseError, Kind as DatabaseKind,
};
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode, Url};
pub use secret::{Auth, Secret, shown};

use address::Reach;

/// The rules for everything that is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// `outbound.threads`: of the runtime. A change waits for the next start.
    pub threads: usize,
    /// `outbound.connect_timeout`: how long a connection may take to come about.
    pub connect_timeout: Duration,
    /// `outbound.ca`: a PEM file with authorities that are believed beside those of the system.
    pub ca: Option<PathBuf>,
    /// `outbound.proxy`: the HTTP proxy of every HTTP call; the environment's variables are not asked.
    pub proxy: Option<Secret>,
    /// `outbound.allow_link_local`: whether addresses may be called at which clouds hand out credentials.
    pub allow_link_local: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 2,
            connect_timeout: Duration::from_secs(2),
            ca: None,
            proxy: None,
            allow_link_local: false,
        }
    }
}

/// Why a part that reaches out cannot be set up: an authority file that cannot be read, say.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct OutboundError {
    what: String,
    reason: String,
}

impl OutboundError {
    fn new(what: impl Display, reason: &(impl Display + ?Sized)) -> Self {
        Self {
            what: what.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Where everything runs that calls somebody. Cheap to clone; the runtime ends with the last clone, without waiting for what
/// still runs there.
#[derive(Clone, Debug)]
pub struct Outbound(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
    reach: Reach,
    shared: Mutex<Shared>,
}

/// What is made once for all who trust the same authorities.
#[derive(Debug)]
struct Shared {
    options: Options,
    trusts: HashMap<Option<PathBuf>, Arc<ClientConfig>>,
    clients: HashMap<Option<PathBuf>, Client>,
}

impl Shared {
    fn new(options: Options) -> Self {
        Self {
            options,
            trusts: HashMap::new(),
            clients: HashMap::new(),
        }
    }

    fn trust(&mut self, ca: Option<&Path>) -> Result<Arc<ClientConfig>, OutboundError> {
        let own = ca.map(Path::to_owned);
        if let Some(known) = self.trusts.get(&own) {
            return Ok(Arc::clone(known));
        }
        let files: Vec<&Path> = self.options.ca.as_deref().into_iter().chain(ca).collect();
        let made = trust::configuration(&files)?;
        self.trusts.insert(own, Arc::clone(&made));
        Ok(made)
    }

    fn client(&mut self, ca: Option<&Path>, reach: &Reach) -> Result<Client, OutboundError> {
        let own = ca.map(Path::to_owned);
        if let Some(known) = self.clients.get(&own) {
            return Ok(known.clone());
        }
        let trust = self.trust(ca)?;
        let made = Client::new(&self.options, reach.clone(), &trust)?;
        self.clients.insert(own, made.clone());
        Ok(made)
    }
}

impl Outbound {
    /// Starts the runtime.
    ///
    /// # Errors
    /// A file of authorities that cannot be used, or no threads to be had.
    pub fn start(options: Options) -> Result<Self, OutboundError> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("outbound")
            .enable_all()
            .build()
            .map_err(|error| OutboundError::new("the runtime for outbound calls", &error))?;
        let outbound = Self(Arc::new(Inner {
            runtime: Some(runtime),
            reach: Reach::default(),
            shared: Mutex::new(Shared::new(options.clone())),
        }));
        outbound.set_options(options)?;
        Ok(outbound)
    }

    /// Replaces the rules for whatever is made from now on. Files of authorities are read anew.
    ///
    /// # Errors
    /// A file that cannot be used; then the former rules stay.
    pub fn set_options(&self, options: Options) -> Result<(), OutboundError> {
        // Without anything to be wrong nothing is made before somebody needs it: a start does not read a hundred authorities.
        let mut shared = Shared::new(options);
        if shared.options.ca.is_some() || shared.options.proxy.is_some() {
            shared.client(None, &self.0.reach)?;
        }
        self.0.reach.set(shared.options.allow_link_local);
        *self.0.shared.lock() = shared;
        Ok(())
    }

    /// The rules that hold.
    pub fn options(&self) -> Options {
        self.0.shared.lock().options.clone()
    }

    /// Whose certificates a call believes: the system's authorities, those of `outbound.ca`, and those of `ca`.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn trust(&self, ca: Option<&Path>) -> Result<Arc<ClientConfig>, OutboundError> {
        self.0.shared.lock().trust(ca)
    }

    /// Makes HTTP calls that believe the authorities of `ca` beside the others.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn client(&self, ca: Option<&Path>) -> Result<Client, OutboundError> {
        self.0.shared.lock().client(ca, &self.0.reach)
    }

    /// A connection to `host`, for protocols other than HTTP. The same addresses are refused.
    ///
    /// # Errors
    /// What kept it from coming about.
    pub async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let patience = self.options().connect_timeout;
        self.0.reach.dial(host, port, patience).await
    }

    /// Runs `work` on the runtime for outbound calls, whoever waits for it.
    ///
    /// # Panics
    /// Never: the runtime is there until the last clone is gone.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let runtime = self.0.runtime.as_ref();
        runtime
            .expect("it is taken out only when the last clone is dropped")
            .spawn(work)
    }

    /// Runs `work` there for as long as somebody waits for it: with the future that is returned the work goes.
    pub fn run<F>(&self, work: F) -> Running<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        Running(self.spawn(work))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The last clone may go on a thread of another runtime, where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work that goes on while somebody waits for it. A panic there is a panic here.
#[derive(Debug)]
#[must_use]
pub struct Running<T>(JoinHandle<T>);

impl<T> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context).map(|ended| {
            ended.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panicked) => std::panic::resume_unwind(panicked),
                Err(_cancelled) => unreachable!("only dropping this cancels it"),
            })
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
