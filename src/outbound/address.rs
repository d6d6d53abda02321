//! Which addresses are called at all, and how a name becomes one. It must not know what is said to them.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Whether addresses of this link, where clouds hand out credentials, may be called. Shared, because it may change while
/// clients are in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach(Arc<AtomicBool>);

/// An address that is never called.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{address} is a link-local or metadata address; outbound.allow_link_local allows such ones"
)]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
}

impl Reach {
    pub(super) fn set(&self, allow_link_local: bool) {
        self.0.store(allow_link_local, Ordering::Relaxed);
    }

    /// Refuses what may not be called.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Refused> {
        if is_link_local(address) && !self.0.load(Ordering::Relaxed) {
            return Err(Refused { address });
        }
        Ok(())
    }

    /// The addresses of `host` that may be called. Where none of them may, that is the failure.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in lookup_host((host, port)).await? {
            match self.check(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            Some(why) if allowed.is_empty() => Err(io::Error::other(why)),
            _ => Ok(allowed),
        }
    }

    /// Connects to the first address of `host` that answers, each within `patience`.
    pub(super) async fn dial(
        &self,
        host: &str,
        port: u16,
        patience: Duration,
    ) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.resolve(host, port).await? {
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_elapsed) => {
                    let why = format!("no connection within {} ms", patience.as_millis());
                    last = io::Error::new(io::ErrorKind::TimedOut, why);
                }
            }
        }
        Err(last)
    }
}

/// `169.254.0.0/16`, `fe80::/10`, and the fixed addresses at which clouds serve credentials.
fn is_link_local(address: IpAddr) -> bool {
    /// `fd00:ec2::/32`, of Amazon.
    const EC2: [u16; 2] = [0xfd00, 0x0ec2];
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.octets() == [100, 100, 100, 200],
        IpAddr::V6(v6) => v6.is_unicast_link_local() || starts_with(v6, EC2),
    }
}

fn starts_with(address: Ipv6Addr, [first, second]: [u16; 2]) -> bool {
    let [one, two, ..] = address.segments();
    (one, two) == (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_refused_unless_allowed() {
        let reach = Reach::default();
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "fd00:ec2::254",
            "fe80::1",
            "::ffff:169.254.169.254",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(reach.check(address), Err(Refused { address }), "{text}");
        }
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "100.100.100.201",
            "::1",
            "fd00::1",
            "8.8.8.8",
        ] {
            assert_eq!(reach.check(text.parse().unwrap()), Ok(()), "{text}");
        }
        reach.set(true);
        assert_eq!(reach.check("169.254.169.254".parse().unwrap()), Ok(()));
    }

    #[tokio::test]
    async fn a_name_that_leads_only_there_is_refused_before_a_connection() {
        let error = Reach::default()
            .dial("169.254.169.254", 80, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("allow_link_local"), "{error}");
    }
}
