//! Smart Core's `PublicationApi` under either of its names, over a connection that is dialled by our own rules. It must not know
//! what becomes of what it answers.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use super::api::bos::publication::v1::publication_api_client::PublicationApiClient as BosClient;
use super::api::traits::publication_api_client::PublicationApiClient as TraitsClient;
use super::api::traits::{
    GetPublicationRequest, Publication, PullPublicationRequest, PullPublicationResponse,
};
use crate::mirror::trouble::Trouble;
use crate::outbound::{Connection, Outbound, Url, origin};

/// How often the server is asked whether it is still there while a stream is open. Servers in Go take more than one such
/// question in five minutes for abuse and close the connection; a peer that vanished is noticed earlier by TCP's own.
const PING_EVERY: Duration = Duration::from_mins(5);
/// How long that may take.
const PING_WAIT: Duration = Duration::from_secs(20);
/// How long a single publication may take to come.
const GET_WAIT: Duration = Duration::from_mins(1);
/// What a message holds beside the body of a publication.
const FACTS_BYTES: usize = 64 << 10;

/// Who we say that we are.
const USER_AGENT: &str = concat!("standpipe/", env!("CARGO_PKG_VERSION"));

/// One of the names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Name {
    /// `smartcore.bos.publication.v1.PublicationApi`
    Bos,
    /// `smartcore.traits.PublicationApi`
    Traits,
}

/// The service, under both names. Cheap to clone; the clones share a connection, which is made when it is needed.
#[derive(Clone, Debug)]
pub(super) struct Api {
    channel: Channel,
    message_bytes: usize,
}

impl Api {
    /// The service of `endpoint`, http or https, whose publications have at most `body_bytes`. To be used on the runtime for
    /// outbound calls.
    pub(super) fn new(
        outbound: &Outbound,
        endpoint: &Url,
        ca: Option<PathBuf>,
        body_bytes: usize,
    ) -> Result<Self, Trouble> {
        let unusable = |reason: String| Trouble::Unreachable {
            origin: origin(endpoint),
            reason,
        };
        let uri: Uri = endpoint
            .as_str()
            .parse()
            .map_err(|_no_uri| unusable("the endpoint cannot be called".to_owned()))?;
        let endpoint = endpoint.clone();
        let endpoint_of_tonic = Endpoint::from(uri)
            .user_agent(USER_AGENT)
            .map_err(|error| unusable(error.to_string()))?
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT);
        let channel = endpoint_of_tonic.connect_with_connector_lazy(Connector {
            outbound: outbound.clone(),
            endpoint,
            ca,
        });
        Ok(Self {
            channel,
            message_bytes: body_bytes.saturating_add(FACTS_BYTES),
        })
    }

    /// The publication `id` of `device` as it is now.
    pub(super) async fn get(
        &self,
        name: Name,
        device: &str,
        id: &str,
    ) -> Result<Publication, Status> {
        let request = GetPublicationRequest {
            name: device.to_owned(),
            id: id.to_owned(),
        };
        let answered = async {
            match name {
                Name::Bos => self.bos().get_publication(request).await,
                Name::Traits => self.traits().get_publication(request).await,
            }
        };
        let answered = tokio::time::timeout(GET_WAIT, answered).await;
        let answered = answered.unwrap_or_else(|_elapsed| {
            let why = format!("no publication within {} s", GET_WAIT.as_secs());
            Err(Status::deadline_exceeded(why))
        });
        answered.map(Response::into_inner)
    }

    /// The publication `id` of `device` as it is now, then as it changes.
    pub(super) async fn pull(
        &self,
        name: Name,
        device: &str,
        id: &str,
    ) -> Result<Streaming<PullPublicationResponse>, Status> {
        let request = PullPublicationRequest {
            name: device.to_owned(),
            id: id.to_owned(),
            updates_only: false,
        };
        let stream = match name {
            Name::Bos => self.bos().pull_publication(request).await,
            Name::Traits => self.traits().pull_publication(request).await,
        };
        stream.map(Response::into_inner)
    }

    fn bos(&self) -> BosClient<Channel> {
        BosClient::new(self.channel.clone()).max_decoding_message_size(self.message_bytes)
    }

    fn traits(&self) -> TraitsClient<Channel> {
        TraitsClient::new(self.channel.clone()).max_decoding_message_size(self.message_bytes)
    }
}

/// Makes the connections, by the rules for every address that is called.
#[derive(Clone, Debug)]
struct Connector {
    outbound: Outbound,
    endpoint: Url,
    ca: Option<PathBuf>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _where_we_know_better: Uri) -> Self::Future {
        let Self {
            outbound,
            endpoint,
            ca,
        } = self.clone();
        Box::pin(async move {
            let connected = outbound.connect(&endpoint, ca.as_deref(), b"h2").await?;
            Ok(TokioIo::new(connected))
        })
    }
}
