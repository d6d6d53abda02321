//! From the words of `server.endpoint` to listening sockets. It must not know what is served on them.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};

use socket2::{Domain, Protocol, Socket, Type};

use super::ServerError;

/// Connections that the kernel holds for us between two turns of the accepting thread.
const BACKLOG: i32 = 1024;

/// Listens on every address that the endpoint stands for. An empty host is every interface, `localhost` may be two
/// addresses. With port 0 each address gets a free port of its own.
pub(super) fn listen(
    setting: &'static str,
    endpoint: &str,
) -> Result<Vec<TcpListener>, ServerError> {
    let addresses = resolve(setting, endpoint)?;
    let bind_failed = |source| ServerError::Bind {
        setting,
        endpoint: endpoint.to_owned(),
        source,
    };
    if let [any] = addresses.as_slice() {
        let v6_is_missing = |error: &io::Error| any.ip() == Ipv6Addr::UNSPECIFIED && !in_use(error);
        return match bind(*any) {
            // A machine without IPv6: every interface is then every IPv4 one.
            Err(error) if v6_is_missing(&error) => {
                bind(SocketAddr::from(([0, 0, 0, 0], any.port())))
            }
            listener => listener,
        }
        .map(|listener| vec![listener])
        .map_err(bind_failed);
    }
    addresses
        .into_iter()
        .map(bind)
        .collect::<io::Result<_>>()
        .map_err(bind_failed)
}

fn in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn resolve(setting: &'static str, endpoint: &str) -> Result<Vec<SocketAddr>, ServerError> {
    let refused = |reason: &str| ServerError::Endpoint {
        setting,
        endpoint: endpoint.to_owned(),
        reason: reason.to_owned(),
    };
    let (host, port) = endpoint
        .rsplit_once(':')
        .ok_or_else(|| refused("there is no port"))?;
    let port: u16 = port
        .parse()
        .map_err(|error| refused(&format!("the port is unreadable: {error}")))?;
    if host.is_empty() {
        return Ok(vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))]);
    }
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let mut addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| refused(&format!("the host has no address: {error}")))?
        .collect();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(refused("the host has no address"));
    }
    Ok(addresses)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Without it a restart within a minute would meet the old connections' remains.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: &str = "server.endpoint";

    #[test]
    fn an_empty_host_is_every_interface() {
        let addresses = resolve(SETTING, ":8080").unwrap();
        assert_eq!(addresses, [SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080))]);
    }

    #[test]
    fn brackets_around_an_ipv6_address_are_taken_off() {
        let addresses = resolve(SETTING, "[::1]:80").unwrap();
        assert_eq!(addresses, [SocketAddr::from((Ipv6Addr::LOCALHOST, 80))]);
    }

    #[test]
    fn an_endpoint_without_a_readable_port_is_refused() {
        for endpoint in [
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:http",
            "127.0.0.1:65536",
            "",
        ] {
            let error = resolve(SETTING, endpoint).unwrap_err();
            assert_eq!(error.exit_code(), 78, "{endpoint}");
        }
    }

    #[test]
    fn an_address_in_use_is_refused() {
        let first = listen(SETTING, "127.0.0.1:0").unwrap();
        let taken = first[0].local_addr().unwrap().to_string();
        let error = listen(SETTING, &taken).unwrap_err();
        assert_eq!(error.exit_code(), 69);
        assert!(error.to_string().contains(&taken), "{error}");
    }
}
