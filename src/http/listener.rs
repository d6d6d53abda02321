//! The actix server: workers, deadlines of connections, the end of accepting. It must not know what is served.

use std::any::Any;
use std::future::Future;
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, Server, ServerHandle, fn_service};
use actix_web::rt::System;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer};
use socket2::SockRef;

use super::http2::Http2;
use super::ops;
use super::service::Service;
use super::worker::Worker;
use crate::tls::Tls;

/// Bytes of a stream's pieces that a connection gathers before it wants them sent.
const STREAM_BYTES: usize = 16 << 10;
/// Bytes that the kernel takes before those that it took have left.
const UNSENT_BYTES: u32 = 128 << 10;

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct ListenerOptions {
    /// Threads that serve requests.
    pub workers: usize,
    /// The most connections served at one time, over all workers.
    pub connections: usize,
    /// How long an idle connection is kept open.
    pub keep_alive: Duration,
    /// How long the first request's head may take to arrive.
    pub head_timeout: Duration,
    /// How long requests in flight may take once accepting has ended.
    pub drain_timeout: Duration,
}

/// The most connections on the port for probes and figures: a few programs ask there, now and then.
const OPERATORS: usize = 256;

/// How far the clock may be behind by which the server counts deadlines: a head is not to be given less time than was
/// said, and a deadline that has passed before it is set never wakes anybody.
const CLOCK_LAG: Duration = Duration::from_millis(500);

/// A server that accepts connections once it is run.
pub struct Listener(Server);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").finish_non_exhaustive()
    }
}

/// Ends a [`Listener`].
#[derive(Clone, Debug)]
pub struct Stopper(ServerHandle);

impl Stopper {
    /// Ends accepting, lets requests in flight finish, and resolves when they have.
    pub async fn drain(&self) {
        self.0.stop(true).await;
    }

    /// Ends everything at once.
    pub async fn stop(&self) {
        self.0.stop(false).await;
    }
}

impl Listener {
    /// Prepares to serve `service` on `sockets`, over TLS where there are certificates.
    pub fn new(
        sockets: Vec<TcpListener>,
        service: &Arc<Service>,
        options: ListenerOptions,
        tls: Option<&Tls>,
    ) -> io::Result<Self> {
        let shared = Arc::clone(service);
        let app = move || {
            let worker = Rc::new(Worker::new(Arc::clone(&shared)));
            // All routing is ours: one comparison instead of patterns, and no way around the guards.
            App::new().default_service(fn_service(move |request| {
                Rc::clone(&worker).answer(request)
            }))
        };
        let service = Arc::clone(service);
        let on_connect = move |connection: &dyn Any, extensions: &mut Extensions| {
            receive(connection, extensions, &service);
        };
        let connections = (options.connections / options.workers).max(1);
        let mut server = HttpServer::new(app)
            .workers(options.workers)
            .max_connections(connections)
            // Of handshakes too: those that never end must not keep others out sooner than open connections would.
            .max_connection_rate(connections)
            .keep_alive(options.keep_alive)
            .client_request_timeout(options.head_timeout + CLOCK_LAG)
            .tls_handshake_timeout(options.head_timeout)
            .shutdown_timeout(whole_seconds(options.drain_timeout))
            .tcp_nodelay(true)
            .h1_allow_half_closed(false)
            .h1_write_buffer_size(STREAM_BYTES)
            .on_connect(on_connect)
            .disable_signals();
        for socket in sockets {
            server = match tls {
                None => server.listen(socket)?,
                // It adds both versions of HTTP to what is offered.
                Some(tls) => server.listen_rustls_0_23(socket, tls.server_config())?,
            };
        }
        Ok(Self(server.run()))
    }

    /// Prepares to serve probes and figures on `sockets`, in the clear and without a token: see [`ops`].
    pub fn for_operations(
        sockets: Vec<TcpListener>,
        service: &Arc<Service>,
        hosts: Option<Vec<String>>,
        options: ListenerOptions,
    ) -> io::Result<Self> {
        let service = Arc::clone(service);
        let read_stall = service.limits().read_stall;
        let hosts = service.ops_hosts(hosts);
        let app = move || {
            let worker = Rc::new(Worker::new(Arc::clone(&service)));
            let hosts = Arc::clone(&hosts);
            App::new().default_service(fn_service(move |request| {
                ops::answer(Rc::clone(&worker), &hosts, request)
            }))
        };
        let mut server = HttpServer::new(app)
            .workers(1)
            .max_connections(OPERATORS)
            .keep_alive(options.keep_alive)
            .client_request_timeout(options.head_timeout + CLOCK_LAG)
            .shutdown_timeout(1)
            .tcp_nodelay(true)
            .h1_allow_half_closed(false)
            .on_connect(move |connection, _| {
                if let Some(stream) = stream_of(connection) {
                    cut_stopped_readers(&SockRef::from(stream), read_stall);
                }
            })
            .disable_signals();
        for socket in sockets {
            server = server.listen(socket)?;
        }
        Ok(Self(server.run()))
    }

    /// What ends this listener.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.0.handle())
    }

    /// Accepts and serves until it is stopped.
    pub async fn run(self) -> io::Result<()> {
        self.0.await
    }
}

/// Rounded up: nobody is given less time than was said.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The socket of a connection, whatever runs over it.
fn stream_of(connection: &dyn Any) -> Option<&TcpStream> {
    connection.downcast_ref::<TcpStream>().or_else(|| {
        let tls = connection.downcast_ref::<TlsStream<TcpStream>>()?;
        Some(tls.get_ref().0)
    })
}

/// Whether the client chose HTTP/2 in its handshake; in the clear nobody can.
fn speaks_http_2(connection: &dyn Any) -> bool {
    connection
        .downcast_ref::<TlsStream<TcpStream>>()
        .is_some_and(|tls| tls.get_ref().1.alpn_protocol() == Some(b"h2"))
}

/// Treats a new connection, once it has shaken hands where it has to: one too many of its address is closed at once,
/// without an answer, which costs the least.
fn receive(connection: &dyn Any, extensions: &mut Extensions, service: &Service) {
    // Without an address it is gone already.
    let Some((stream, Ok(peer))) = stream_of(connection).map(|stream| (stream, stream.peer_addr()))
    else {
        return;
    };
    let socket = SockRef::from(stream);
    let Some(present) = service.addresses.enter(peer.ip()) else {
        service.metrics.http.connections_refused.inc();
        tracing::debug!(%peer, "a connection over limits.connections_per_address was closed");
        return close(&socket);
    };
    extensions.insert(present);
    let stall = service.limits().read_stall;
    cut_stopped_readers(&socket, stall);
    bound_unsent(&socket);
    if speaks_http_2(connection) {
        match Http2::watch(&socket, stall) {
            Ok(watched) => drop(extensions.insert(watched)),
            Err(error) => {
                tracing::warn!(%peer, %error, "an HTTP/2 connection cannot be watched over: closed");
                close(&socket);
            }
        }
    }
}

fn close(socket: &SockRef<'_>) {
    if let Err(error) = socket.shutdown(Shutdown::Both) {
        tracing::debug!(%error, "the connection was closed already");
    }
}

/// Lets the kernel end a connection whose reader has taken nothing for `stall`: neither an acknowledgement nor room in its
/// window. No timer of ours runs for that, and it holds for every answer, however small its pieces.
fn cut_stopped_readers(socket: &SockRef<'_>, stall: Duration) {
    if let Err(error) = socket.set_tcp_user_timeout(Some(stall)) {
        tracing::debug!(%error, "the deadline for readers could not be set on a connection");
    }
}

/// Bounds what the kernel takes from us before the reader's side wants it: a stopped reader of a stream would otherwise
/// cost megabytes of it.
fn bound_unsent(socket: &SockRef<'_>) {
    if let Err(error) = socket.set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!(%error, "what may wait unsent could not be bounded on a connection");
    }
}

/// Runs `future` on a runtime of this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    System::new().block_on(future)
}
