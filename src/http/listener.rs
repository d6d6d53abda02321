//! The actix server: workers, deadlines of connections, the end of accepting. It must not know what is served.

use std::any::Any;
use std::future::Future;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use actix_web::dev::{Server, ServerHandle, fn_service};
use actix_web::rt::System;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer};
use socket2::SockRef;

use super::service::Service;
use super::worker::Worker;

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
    /// Prepares to serve `service` on `sockets`.
    pub fn new(
        sockets: Vec<TcpListener>,
        service: &Arc<Service>,
        options: ListenerOptions,
    ) -> io::Result<Self> {
        let shared = Arc::clone(service);
        let app = move || {
            let worker = Rc::new(Worker::new(Arc::clone(&shared)));
            // All routing is ours: one comparison instead of patterns, and no way around the guards.
            App::new().default_service(fn_service(move |request| {
                Rc::clone(&worker).answer(request)
            }))
        };
        let on_connect = {
            let service = Arc::clone(service);
            move |connection: &dyn Any| cut_stopped_readers(connection, service.limits().read_stall)
        };
        let mut server = HttpServer::new(app)
            .workers(options.workers)
            .max_connections((options.connections / options.workers).max(1))
            .keep_alive(options.keep_alive)
            .client_request_timeout(options.head_timeout)
            .shutdown_timeout(whole_seconds(options.drain_timeout))
            .tcp_nodelay(true)
            .h1_allow_half_closed(false)
            .on_connect(move |connection, _| on_connect(connection))
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

/// Lets the kernel end a connection whose reader has taken nothing for `stall`: neither an acknowledgement nor room in its
/// window. No timer of ours runs for that, and it holds for every answer, however small its pieces.
fn cut_stopped_readers(connection: &dyn Any, stall: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(stall)) {
        tracing::debug!(%error, "the deadline for readers could not be set on a connection");
    }
}

/// Runs `future` on a runtime of this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    System::new().block_on(future)
}
