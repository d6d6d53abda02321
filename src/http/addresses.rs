//! How many connections each address holds open. An address is what the socket says: behind a reverse proxy that is the
//! proxy's. It must not know what is sent over a connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by address.
#[derive(Debug)]
pub(crate) struct Addresses {
    most: AtomicUsize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Present {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// At most so many connections from one address; `None` is no limit.
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self {
            most: AtomicUsize::new(most.unwrap_or(usize::MAX)),
            open: Mutex::default(),
        }
    }

    /// Changes the limit; connections that are open already stay.
    pub(crate) fn set_most(&self, most: Option<usize>) {
        self.most
            .store(most.unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Counts one more connection from `address`; `None` where it has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Present> {
        let address = holder(address);
        // Counted without a limit too: there may be one while this connection is still open.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.most.load(Ordering::Relaxed) {
            return None;
        }
        *count += 1;
        Some(Present {
            addresses: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut open = self
            .addresses
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Who holds an address: an IPv4 address stands for itself, however it is written; of IPv6 each customer has at least a
/// network of 64 bits (RFC 6177), in which addresses cost nothing.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        other @ (IpAddr::V4(_) | IpAddr::V6(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_count_and_gets_its_place_back() {
        let addresses = Arc::new(Addresses::new(Some(2)));
        let first = addresses.enter(ip("192.0.2.1")).unwrap();
        let _second = addresses.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(addresses.enter(ip("192.0.2.1")).is_none());
        let _other = addresses.enter(ip("192.0.2.2")).unwrap();
        drop(first);
        let _again = addresses.enter(ip("192.0.2.1")).unwrap();
        assert!(addresses.enter(ip("192.0.2.1")).is_none());
    }

    #[test]
    fn a_network_of_64_bits_is_one_holder() {
        let addresses = Arc::new(Addresses::new(Some(1)));
        let _one = addresses.enter(ip("2001:db8:0:1::1")).unwrap();
        assert!(addresses.enter(ip("2001:db8:0:1:ffff::2")).is_none());
        let _other = addresses.enter(ip("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn a_changed_limit_holds_for_what_comes_next_and_nothing_is_left_behind() {
        let addresses = Arc::new(Addresses::new(None));
        let many: Vec<_> = (0..100)
            .map(|_| addresses.enter(ip("::1")).unwrap())
            .collect();
        addresses.set_most(Some(100));
        assert!(addresses.enter(ip("::1")).is_none());
        drop(many);
        assert!(addresses.open.lock().unwrap().is_empty());
    }
}
