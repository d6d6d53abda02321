//! A Smart Core server: the real interface over real connections, under one of its names or both, with publications that tests
//! make, change and delete, and with whatever goes wrong with such servers.

#[expect(
    clippy::absolute_paths,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::pedantic,
    unused_qualifications,
    unreachable_pub,
    reason = "the generators write it as they do"
)]
mod traits {
    include!("traits.rs");
}

mod bos {
    mod publication {
        #[expect(
            clippy::absolute_paths,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            clippy::as_conversions,
            clippy::pedantic,
            unused_qualifications,
            unreachable_pub,
            reason = "the generators write it as they do"
        )]
        pub(in super::super::super) mod v1 {
            include!("bos.rs");
        }
    }
    pub(super) use publication::v1;
}

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status};

pub(crate) use traits::publication::Audience;
pub(crate) use traits::publication::audience::Receipt;
use traits::{
    GetPublicationRequest, PullPublicationRequest, PullPublicationResponse,
    pull_publication_response::Change,
};
pub(crate) use traits::{Publication, Timestamp};

/// The most streams on one connection, as many servers have it.
const MOST_STREAMS: u32 = 100;

/// The device that publishes everything.
pub(crate) const DEVICE: &str = "test/area-controller-1";

type Answer = Result<PullPublicationResponse, Status>;

/// Under which names the service is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Names {
    Both,
    /// The one of 2026.
    Bos,
    /// The older one.
    Traits,
    Neither,
}

/// How a server behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) names: Names,
    pub(crate) streams: bool,
    pub(crate) answers_get: bool,
    /// What everything fails with.
    pub(crate) fails: Option<(Code, &'static str)>,
    /// Publications that are never answered about.
    pub(crate) silent: Vec<&'static str>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            names: Names::Both,
            streams: true,
            answers_get: true,
            fails: None,
            silent: Vec::new(),
        }
    }
}

/// What was asked so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Asked {
    pub(crate) gets: usize,
    pub(crate) pulls: usize,
    /// Requests under the older name.
    pub(crate) traits: usize,
}

#[derive(Debug, Default)]
struct State {
    manners: Manners,
    publications: BTreeMap<String, Publication>,
    streams: BTreeMap<String, Vec<UnboundedSender<Answer>>>,
    asked: Asked,
}

/// A server, on a runtime of its own.
#[derive(Debug)]
pub(crate) struct Publications {
    state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

#[derive(Clone, Debug)]
struct Api<const BOS: bool>(Arc<Mutex<State>>);

/// What a stream tells.
#[derive(Debug)]
pub(crate) struct Changes(UnboundedReceiver<Answer>);

impl Stream for Changes {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.0.poll_recv(context)
    }
}

impl Publications {
    pub(crate) fn start() -> Self {
        Self::with(Manners::default())
    }

    pub(crate) fn with(manners: Manners) -> Self {
        Self::listen("127.0.0.1:0", manners, None)
    }

    /// Where one was before, without what it had.
    pub(crate) fn again_at(address: SocketAddr) -> Self {
        Self::listen(&address.to_string(), Manners::default(), None)
    }

    pub(crate) fn under_tls(acceptor: TlsAcceptor) -> Self {
        Self::listen("127.0.0.1:0", Manners::default(), Some(acceptor))
    }

    fn listen(address: &str, manners: Manners, tls: Option<TlsAcceptor>) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            manners,
            ..State::default()
        }));
        let bos = Api::<true>(Arc::clone(&state));
        let traits = Api::<false>(Arc::clone(&state));
        let (sender, connections) = unbounded_channel();
        runtime.spawn(accept(listener, tls, sender));
        runtime.spawn(
            Server::builder()
                .max_concurrent_streams(MOST_STREAMS)
                .add_service(bos::v1::publication_api_server::PublicationApiServer::new(
                    bos,
                ))
                .add_service(traits::publication_api_server::PublicationApiServer::new(
                    traits,
                ))
                .serve_with_incoming(Incoming(connections)),
        );
        Self {
            state,
            address,
            runtime: Some(runtime),
        }
    }

    /// Publishes that from now on: a new version.
    pub(crate) fn publish(&self, id: &str, body: &str) {
        self.publish_as(Publication {
            id: id.to_owned(),
            version: format!("v-{body}"),
            body: body.to_owned().into(),
            ..Publication::default()
        });
    }

    pub(crate) fn publish_as(&self, publication: Publication) {
        let mut state = self.state.lock().unwrap();
        let id = publication.id.clone();
        state.tell(&id, &Ok(told(Some(publication.clone()))));
        state.publications.insert(id, publication);
    }

    /// Tells something about `id` that is not there.
    pub(crate) fn tell(&self, id: &str, publication: Option<Publication>) {
        self.state.lock().unwrap().tell(id, &Ok(told(publication)));
    }

    /// Deletes it: its streams end.
    pub(crate) fn delete(&self, id: &str) {
        let mut state = self.state.lock().unwrap();
        state.publications.remove(id);
        state.streams.remove(id);
    }

    /// Ends the streams of `id`, without an error, as a server does that stops.
    pub(crate) fn end_streams(&self, id: &str) {
        self.state.lock().unwrap().streams.remove(id);
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.state.lock().unwrap().manners);
    }

    pub(crate) fn asked(&self) -> Asked {
        self.state.lock().unwrap().asked.clone()
    }

    /// Streams of `id` that somebody still listens to.
    pub(crate) fn open_streams(&self, id: &str) -> usize {
        let mut state = self.state.lock().unwrap();
        let Some(streams) = state.streams.get_mut(id) else {
            return 0;
        };
        streams.retain(|stream| !stream.is_closed());
        streams.len()
    }

    /// As a process that is killed: every connection breaks.
    pub(crate) fn die(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Publications {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn told(publication: Option<Publication>) -> PullPublicationResponse {
    PullPublicationResponse {
        changes: vec![Change {
            name: DEVICE.to_owned(),
            change_time: None,
            publication,
        }],
    }
}

impl State {
    fn tell(&mut self, id: &str, answer: &Answer) {
        if let Some(streams) = self.streams.get_mut(id) {
            streams.retain(|stream| stream.send(answer.clone()).is_ok());
        }
    }

    fn check(&self, bos: bool, device: &str) -> Result<(), Status> {
        let served = match self.manners.names {
            Names::Both => true,
            Names::Bos => bos,
            Names::Traits => !bos,
            Names::Neither => false,
        };
        if !served {
            return Err(Status::unimplemented("unknown service"));
        }
        if let Some((code, message)) = self.manners.fails {
            return Err(Status::new(code, message));
        }
        if device != DEVICE {
            return Err(Status::invalid_argument("another device"));
        }
        Ok(())
    }
}

impl<const BOS: bool> Api<BOS> {
    fn asked(&self, count: impl FnOnce(&mut Asked)) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap();
        count(&mut state.asked);
        state.asked.traits += usize::from(!BOS);
        state
    }

    async fn get(
        &self,
        request: Request<GetPublicationRequest>,
    ) -> Result<Response<Publication>, Status> {
        let request = request.into_inner();
        let found = {
            let state = self.asked(|asked| asked.gets += 1);
            state.check(BOS, &request.name)?;
            if !state.manners.answers_get {
                return Err(Status::unimplemented("no GetPublication"));
            }
            if state.manners.silent.contains(&&*request.id) {
                None
            } else {
                Some(state.publications.get(&request.id).cloned())
            }
        };
        match found {
            None => std::future::pending().await,
            Some(None) => Err(Status::not_found("no such publication")),
            Some(Some(publication)) => Ok(Response::new(publication)),
        }
    }

    async fn pull(
        &self,
        request: Request<PullPublicationRequest>,
    ) -> Result<Response<Changes>, Status> {
        let request = request.into_inner();
        let silent = {
            let mut state = self.asked(|asked| asked.pulls += 1);
            state.check(BOS, &request.name)?;
            if !state.manners.streams {
                return Err(Status::unimplemented("no PullPublication"));
            }
            if !state.manners.silent.contains(&&*request.id) {
                let Some(current) = state.publications.get(&request.id).cloned() else {
                    return Err(Status::not_found("no such publication"));
                };
                let (sender, receiver) = unbounded_channel();
                if !request.updates_only {
                    sender.send(Ok(told(Some(current)))).unwrap();
                }
                let streams = state.streams.entry(request.id).or_default();
                streams.push(sender);
                return Ok(Response::new(Changes(receiver)));
            }
            true
        };
        assert!(silent);
        std::future::pending().await
    }
}

#[tonic::async_trait]
impl bos::v1::publication_api_server::PublicationApi for Api<true> {
    type PullPublicationStream = Changes;

    async fn get_publication(
        &self,
        request: Request<GetPublicationRequest>,
    ) -> Result<Response<Publication>, Status> {
        self.get(request).await
    }

    async fn pull_publication(
        &self,
        request: Request<PullPublicationRequest>,
    ) -> Result<Response<Changes>, Status> {
        self.pull(request).await
    }
}

#[tonic::async_trait]
impl traits::publication_api_server::PublicationApi for Api<false> {
    type PullPublicationStream = Changes;

    async fn get_publication(
        &self,
        request: Request<GetPublicationRequest>,
    ) -> Result<Response<Publication>, Status> {
        self.get(request).await
    }

    async fn pull_publication(
        &self,
        request: Request<PullPublicationRequest>,
    ) -> Result<Response<Changes>, Status> {
        self.pull(request).await
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: UnboundedSender<io::Result<Connection>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = match &tls {
            None => Connection::Plain(stream),
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => Connection::Tls(Box::new(stream)),
                // Somebody did not like the certificate.
                Err(_) => continue,
            },
        };
        if connections.send(Ok(connection)).is_err() {
            return;
        }
    }
}

struct Incoming(UnboundedReceiver<io::Result<Connection>>);

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
