//! Connections for protocols that bring their own client: dialled by the rules for every address, under TLS where the URL
//! says so. It must not know what is spoken over them.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Outbound, Url};

/// When the system first asks whether a silent peer is still there, how often it asks again, and how many times.
const PROBE_AFTER: Duration = Duration::from_mins(1);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// A connection, in the clear or under TLS.
#[derive(Debug)]
pub enum Connection {
    /// http
    Plain(TcpStream),
    /// https
    Tls(Box<TlsStream<TcpStream>>),
}

impl Outbound {
    /// A connection to the host of `url`, http or https, which believes the authorities of `ca` beside the others and agrees
    /// on `protocol` (ALPN). Polled on this runtime.
    ///
    /// # Errors
    /// What kept it from coming about; never with more of the URL than its host.
    pub async fn connect(
        &self,
        url: &Url,
        ca: Option<&Path>,
        protocol: &[u8],
    ) -> io::Result<Connection> {
        let host = url.host_str().ok_or_else(|| failed("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url
            .port_or_known_default()
            .ok_or_else(|| failed("no port"))?;
        let stream = self.dial(host, port).await?;
        let keepalive = TcpKeepalive::new()
            .with_time(PROBE_AFTER)
            .with_interval(PROBE_EVERY)
            .with_retries(PROBES);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        match url.scheme() {
            "http" => Ok(Connection::Plain(stream)),
            "https" => {
                let mut trust = (*self.trust(ca).map_err(io::Error::other)?).clone();
                trust.alpn_protocols = vec![protocol.to_vec()];
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                let shaken = TlsConnector::from(Arc::new(trust)).connect(name, stream);
                let patience = self.options().connect_timeout;
                let stream = timeout(patience, shaken).await.map_err(|_elapsed| {
                    let why = format!("no TLS handshake within {} ms", patience.as_millis());
                    io::Error::new(io::ErrorKind::TimedOut, why)
                })??;
                Ok(Connection::Tls(Box::new(stream)))
            }
            _ => Err(failed("only http and https are called")),
        }
    }
}

fn failed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
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
