//! `standpipe healthcheck`: asks the server of this configuration whether it is ready, for a container that has no
//! shell and no curl. It must not need anything but a socket, and its only answers are 0 and 1.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::{Exit, Failure};
use crate::config::{Config, ConfigError};
use crate::tls;

/// How long each step may take. Docker's own default for the whole check is 30 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// Ready or not. Whatever else is wrong, the configuration included, is "not".
pub(super) fn run(config: Result<Config, ConfigError>) -> Result<(), Failure> {
    let unhealthy = |why: String| Failure::new(Exit::UNHEALTHY, format_args!("not healthy: {why}"));
    let config = config.map_err(|error| unhealthy(error.to_string()))?;
    let server = &config.server;
    // The port for that is plain and asks nobody for a certificate.
    let (endpoint, tls) = match &server.ops_endpoint {
        Some(endpoint) => (endpoint, None),
        None => (&server.endpoint, server.tls.as_ref()),
    };
    if tls.is_some_and(|tls| tls.client_ca.is_some()) {
        let why = "server.tls.client_ca asks for a certificate that this command has not; set server.ops_endpoint";
        return Err(unhealthy(why.to_owned()));
    }
    let status = ask(endpoint, tls)
        .map_err(|error| unhealthy(format!("{endpoint} does not answer: {error}")))?;
    if status == "200" {
        Ok(())
    } else {
        Err(unhealthy(format!(
            "{endpoint} answers /readyz with {status:?}"
        )))
    }
}

/// The status code of `GET /readyz`.
fn ask(endpoint: &str, tls: Option<&tls::Options>) -> io::Result<String> {
    let address = nearest(endpoint)?;
    let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut stream = match tls {
        None => Box::new(socket),
        Some(options) => tls::connect(options, socket).map_err(io::Error::other)?,
    };
    // In one write: a request in pieces would wait for acknowledgements between them.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // The status line is `HTTP/1.1 200 OK`: twelve bytes hold the code.
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let head = String::from_utf8_lossy(&head).into_owned();
    match head.strip_prefix("HTTP/1.") {
        Some(rest) => Ok(rest.chars().skip(2).collect()),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "what answers is not HTTP",
        )),
    }
}

/// The address to ask at: every interface includes loopback.
fn nearest(endpoint: &str) -> io::Result<SocketAddr> {
    let named = if endpoint.starts_with(':') {
        format!("127.0.0.1{endpoint}")
    } else {
        endpoint.to_owned()
    };
    let mut address = named
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))?;
    if address.port() == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "port 0 is a different port at each start",
        ));
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn every_interface_is_asked_at_loopback() {
        let asked = |endpoint: &str| nearest(endpoint).map(|address| address.to_string()).ok();
        assert_eq!(asked(":81").as_deref(), Some("127.0.0.1:81"));
        assert_eq!(asked("0.0.0.0:81").as_deref(), Some("127.0.0.1:81"));
        assert_eq!(asked("[::]:81").as_deref(), Some("[::1]:81"));
        assert_eq!(asked("127.0.0.2:81").as_deref(), Some("127.0.0.2:81"));
        assert_eq!(asked("127.0.0.1:0"), None);
    }

    /// Answers one connection with these bytes and gives the address.
    fn answering(bytes: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // To its end: closing with unread bytes would reset the connection under the answer.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(bytes.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn the_status_code_is_read_and_nothing_else_counts_as_an_answer() {
        assert_eq!(
            ask(&answering("HTTP/1.1 200 OK\r\n\r\n"), None).unwrap(),
            "200"
        );
        assert_eq!(
            ask(&answering("HTTP/1.1 503 Service Unavailable\r\n\r\n"), None).unwrap(),
            "503"
        );
        let refused = ask(&answering("SSH-2.0-OpenSSH_9.2\r\n"), None).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let cut = ask(&answering("HTTP/1.1 2"), None).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}
