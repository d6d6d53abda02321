//! The life of a server, from bound sockets to the last byte on disk: open, serve, drain, close. It must not know what is
//! answered or how data is kept.

use std::future::pending;
use std::hint::black_box;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot::{self, Receiver};
use tokio::time::{Instant, sleep};

use super::movement::{Movement, defined};
use super::reload::{Parts, Reload};
use super::stop::Stop;
use super::{OnSyncError, Options, Server, ServerError, addresses_of};
use crate::engine::{self, Engine, OpenError, Opening, StoreOptions};
use crate::http;
use crate::http::{Limit, Listener, ListenerOptions, Service, Stopper};
use crate::keyspace::{self, Keyspaces};
use crate::tls::Tls;

/// How long answers may take to leave once the disk has failed: whoever waits should be told.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves until it is asked to stop, or cannot go on.
pub(super) async fn live(server: Server, reload: Reload, stop: Stop) -> Result<(), ServerError> {
    let addresses = server.addresses();
    let Server {
        listeners,
        ops,
        tls,
        outbound,
    } = server;
    let options = &reload.options;
    let opening = Opening::default();
    let service = Arc::new(Service::new(
        http_options(options, &addresses),
        opening.clone(),
    ));
    service.set_access(options.access.clone());
    service.set_access_log(options.access_log);
    let listener = Listener::new(
        listeners,
        &service,
        listener_options(options),
        tls.as_deref(),
    )
    .map_err(cannot_serve)?;
    let ops = operations(ops, &service, options)?;
    let ops_stopper = ops.as_ref().map(Listener::stopper);
    let movement = Movement::new(outbound, service.metrics().through.clone());
    let life = Life {
        stopper: listener.stopper(),
        service,
        tls,
        movement,
        reload,
        stop,
    };
    let ended = async {
        let ended = life.run(opening).await;
        // Whoever watches over the process sees it until its end.
        if let Some(stopper) = ops_stopper {
            stopper.stop().await;
        }
        ended
    };
    tokio::select! {
        error = serving(Some(listener)) => Err(error),
        error = serving(ops) => Err(error),
        ended = ended => ended,
        () = give_memory_back() => Ok(()),
    }
}

/// Serves for as long as it is polled, or fails.
async fn serving(listener: Option<Listener>) -> ServerError {
    if let Some(listener) = listener
        && let Err(error) = listener.run().await
    {
        return cannot_serve(error);
    }
    // There was none, or it was stopped by who has the last word.
    pending().await
}

/// The listener for probes and figures, where there is to be one.
fn operations(
    sockets: Vec<TcpListener>,
    service: &Arc<Service>,
    options: &Options,
) -> Result<Option<Listener>, ServerError> {
    if sockets.is_empty() {
        return Ok(None);
    }
    let hosts = only_on_loopback(&addresses_of(&sockets), options);
    Listener::for_operations(sockets, service, hosts, listener_options(options))
        .map(Some)
        .map_err(cannot_serve)
}

/// Never ends. The allocator gives freed memory back to the system when it serves a large request, of which an idle server
/// has none: after a flush, or when many large bodies have gone, it would keep everything. So one is made every second.
async fn give_memory_back() {
    loop {
        sleep(Duration::from_secs(1)).await;
        drop(black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

fn cannot_serve(source: io::Error) -> ServerError {
    ServerError::System {
        what: "serve",
        source,
    }
}

struct Life {
    service: Arc<Service>,
    stopper: Stopper,
    tls: Option<Arc<Tls>>,
    movement: Movement,
    reload: Reload,
    stop: Stop,
}

/// Why serving ended.
enum End {
    Asked,
    Lost(String),
}

impl Life {
    async fn run(mut self, opening: Opening) -> Result<(), ServerError> {
        let opened = open(&self.reload.options, opening)?;
        let engine = tokio::select! {
            engine = found(opened) => engine?,
            () = self.stop.asked() => {
                // Nothing was promised yet, and recovery may be broken off at any point.
                self.stopper.stop().await;
                return Ok(());
            }
        };
        let keyspaces = Keyspaces::new(engine, keyspace_options(&self.reload.options));
        let options = &self.reload.options;
        let applied = keyspaces
            .apply_file(&defined(options), options.limits.keyspaces)
            .await;
        if let Err(refused) = applied {
            self.stopper.stop().await;
            return Err(closed_because(keyspaces, refused.into()).await);
        }
        let movement = &self.movement;
        movement
            .begin(&self.reload.options, &keyspaces, &self.service)
            .await;
        self.service.open(keyspaces.clone());
        tracing::info!("ready");
        match self.serve(&keyspaces).await {
            End::Asked => self.drain(keyspaces).await,
            End::Lost(reason) => {
                self.service.fail();
                tracing::error!(reason, "durability is lost: stopping");
                tokio::select! {
                    () = self.stopper.drain() => {}
                    () = sleep(FAREWELL) => {}
                    () = self.stop.asked_again() => {}
                }
                keyspaces.end_fetches();
                self.movement.stop(Instant::now() + FAREWELL).await;
                Err(ServerError::Lost { reason })
            }
        }
    }

    /// Resolves when serving has to end.
    async fn serve(&mut self, keyspaces: &Keyspaces) -> End {
        let on_sync_error = self.reload.options.on_sync_error;
        let parts = Parts {
            service: &self.service,
            keyspaces,
            tls: self.tls.as_ref(),
            movement: &self.movement,
        };
        tokio::select! {
            end = until_end(&mut self.stop, keyspaces, on_sync_error) => end,
            never = self.reload.run(parts) => match never {},
        }
    }

    /// 1. `/readyz` says no, and requests are served on for a while, so that load balancers can turn away.
    /// 2. The listener closes, and requests in flight are finished.
    /// 3. What moves by itself is stopped; what waits is passed on, as far as that goes in what is left of `drain_timeout`.
    /// 4. The store makes everything durable and ends.
    ///
    /// Asked again, it ends at once: what was acknowledged is as durable as it was promised to be.
    async fn drain(mut self, keyspaces: Keyspaces) -> Result<(), ServerError> {
        tracing::info!("stopping");
        self.service.drain();
        tokio::select! {
            () = sleep(self.reload.options.shutdown_delay) => {}
            () = self.stop.asked_again() => {}
        }
        // An open stream has no end of its own: it would hold the listener for the whole `drain_timeout`.
        keyspaces.end_watches();
        // The listener gives up after `drain_timeout` by itself.
        let deadline = Instant::now() + self.reload.options.drain_timeout;
        tokio::select! {
            () = self.stopper.drain() => {}
            () = self.stop.asked_again() => {}
        }
        keyspaces.end_fetches();
        // Where requests took all of the time, something may still be passed on in a moment.
        let deadline = deadline.max(Instant::now() + FAREWELL);
        tokio::select! {
            () = self.movement.stop(deadline) => {}
            () = self.stop.asked_again() => {}
        }
        let closed = on_a_thread("close", move || keyspaces.close())?;
        tokio::select! {
            closed = found(closed) => closed.map_err(|error| ServerError::Close { reason: error.reason })?,
            () = self.stop.asked_again() => tracing::warn!("stopped at once: the store was not closed"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Closes a store that is not to be served, so that the next start finds it in order. The reason stays the reason.
async fn closed_because(keyspaces: Keyspaces, reason: ServerError) -> ServerError {
    if let Ok(closed) = on_a_thread("close", move || keyspaces.close())
        && let Err(error) = found(closed).await
    {
        tracing::warn!(%error, "the store was not closed");
    }
    reason
}

/// Resolves when serving has to end.
async fn until_end(stop: &mut Stop, keyspaces: &Keyspaces, on_sync_error: OnSyncError) -> End {
    let reason = tokio::select! {
        () = stop.asked() => return End::Asked,
        reason = keyspaces.lost() => reason,
    };
    if on_sync_error == OnSyncError::Exit {
        return End::Lost(reason);
    }
    tracing::error!(
        reason,
        "durability is lost: only reads are served from now on"
    );
    stop.asked().await;
    End::Asked
}

/// Opens the store on a thread of its own: probes answer meanwhile.
fn open(options: &Options, opening: Opening) -> Result<Receiver<Opened>, ServerError> {
    let options = engine::Options {
        path: options.storage.path.clone(),
        read_wait: options.read_wait,
        store: StoreOptions {
            history_events: options.watch.history_events,
            history_bytes: options.watch.history_bytes.try_into().unwrap_or(u64::MAX),
            ..options.storage.store.clone()
        },
    };
    on_a_thread("open", move || engine::open(options, &opening))
}

type Opened = Result<Engine, OpenError>;

/// Runs what blocks on a thread of its own.
fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Receiver<T>, ServerError> {
    let (sender, receiver) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        if sender.send(work()).is_err() {
            tracing::debug!("nobody waits for this thread any more");
        }
    });
    match thread {
        // Nobody joins it: what it found comes through the channel.
        Ok(_detached) => Ok(receiver),
        Err(source) => Err(ServerError::System {
            what: "start a thread",
            source,
        }),
    }
}

/// What the thread found. A panic there is a panic here.
async fn found<T>(receiver: Receiver<T>) -> T {
    receiver
        .await
        .expect("the thread sends before it ends, unless it panicked")
}

pub(super) fn http_options(options: &Options, addresses: &[SocketAddr]) -> http::Options {
    http::Options {
        hosts: only_on_loopback(addresses, options),
        limits: http_limits(options),
    }
}

/// The names that a request may be sent to; `None` for any.
fn only_on_loopback(addresses: &[SocketAddr], options: &Options) -> Option<Vec<String>> {
    let loopback = addresses.iter().all(|address| address.ip().is_loopback());
    loopback.then(|| options.allowed_hosts.clone())
}

pub(super) fn http_limits(options: &Options) -> http::Limits {
    http::Limits {
        inflight_bytes: options.limits.inflight_bytes,
        connections_per_address: options.limits.connections_per_address,
        streams_per_connection: options.limits.streams_per_connection,
        body_stall: options.limits.body_stall,
        read_stall: options.limits.read_stall,
        json_bytes: options.limits.json_bytes,
        batch: http::BatchLimits {
            operations: options.limits.batch_operations,
            bytes: options.limits.batch_bytes,
            answer_bytes: options.limits.batch_answer_bytes,
        },
        watchers: options.limits.watchers,
        watch_duration: options.limits.watch_duration,
        watch_heartbeat: options.watch.heartbeat,
        shown: limits(options),
    }
}

pub(super) fn listener_options(options: &Options) -> ListenerOptions {
    ListenerOptions {
        workers: options.workers.get(),
        connections: options.limits.connections,
        keep_alive: options.keep_alive,
        head_timeout: options.limits.head_timeout,
        drain_timeout: options.drain_timeout,
    }
}

pub(super) fn keyspace_options(options: &Options) -> keyspace::Options {
    keyspace::Options {
        key_bytes: options.limits.key_bytes,
        value_bytes: options.limits.value_bytes,
        keyspaces: options.limits.keyspaces,
    }
}

/// Every limit, as `/limits` shows it.
fn limits(options: &Options) -> Vec<Limit> {
    let limits = &options.limits;
    let count = |setting, value: usize, unit| Limit {
        setting,
        value: Some(value.try_into().unwrap_or(u64::MAX)),
        unit,
    };
    let perhaps = |setting, value: Option<Duration>| Limit {
        setting,
        value: value.map(|value| value.as_millis().try_into().unwrap_or(u64::MAX)),
        unit: "milliseconds",
    };
    let time = |setting, value| perhaps(setting, Some(value));
    vec![
        count("limits.key_bytes", limits.key_bytes, "bytes"),
        count("limits.value_bytes", limits.value_bytes, "bytes"),
        count("limits.json_bytes", limits.json_bytes, "bytes"),
        count(
            "limits.batch_operations",
            limits.batch_operations,
            "operations",
        ),
        count("limits.batch_bytes", limits.batch_bytes, "bytes"),
        count(
            "limits.batch_answer_bytes",
            limits.batch_answer_bytes,
            "bytes",
        ),
        count("limits.inflight_bytes", limits.inflight_bytes, "bytes"),
        count("limits.connections", limits.connections, "connections"),
        Limit {
            setting: "limits.connections_per_address",
            value: limits
                .connections_per_address
                .map(|most| most.try_into().unwrap_or(u64::MAX)),
            unit: "connections",
        },
        count(
            "limits.streams_per_connection",
            limits.streams_per_connection,
            "requests",
        ),
        time("limits.head_timeout", limits.head_timeout),
        time("limits.body_stall", limits.body_stall),
        time("limits.read_stall", limits.read_stall),
        count("limits.keyspaces", limits.keyspaces, "keyspaces"),
        count("limits.watchers", limits.watchers, "watches"),
        perhaps("limits.watch_duration", limits.watch_duration),
        count(
            "watch.history_events",
            options.watch.history_events,
            "events",
        ),
        count("watch.history_bytes", options.watch.history_bytes, "bytes"),
        time("watch.heartbeat", options.watch.heartbeat),
        time("server.keep_alive", options.keep_alive),
        time("server.read_wait", options.read_wait),
        time("server.shutdown_delay", options.shutdown_delay),
        time("server.drain_timeout", options.drain_timeout),
    ]
}
