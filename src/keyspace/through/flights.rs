//! Fetches that are under way, one for each key, and how a client's change overtakes them. It must not know how anything is
//! fetched or stored.
//!
//! A client that changes a key while it is fetched wins: what was fetched is shown to whoever waits for it and is not stored.
//! That holds whatever comes between what, because
//!
//! 1. whoever changes a key first takes its flight out of the map, so that a later read begins one of its own, then marks it
//!    under the flight's lock, and only then makes the change;
//! 2. the leader of a flight looks for the mark and stores what it has fetched under the same lock, and stores it only over
//!    what it met when it began.
//!
//! So either the mark is there before the leader looks, or the change is made after the leader has stored. A flight that
//! begins between a mark and its change has asked the source after the client asked for the change, and meets the change as
//! something else than what it met.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, watch};

use super::Landing;
use crate::keyspace::role::Changing;

/// Fetches that are under way, by their keys: as many as there are requests that wait, and fetches that may be made at one
/// time.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    by_key: HashMap<Arc<str>, Arc<Flight>>,
    /// What flights that begin from now on are born as.
    born: Overtaken,
}

/// A fetch that is under way.
#[derive(Debug)]
struct Flight {
    key: Arc<str>,
    overtaken: AsyncMutex<Overtaken>,
    landed: watch::Sender<Option<Landing>>,
}

/// Whether a client has changed the key since its fetch began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Overtaken {
    #[default]
    No,
    Yes,
}

/// The one who has to land a flight. Where it is dropped before that, the waiters are told that it is lost.
#[derive(Debug)]
pub(super) struct Leader {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

/// Someone who waits for a flight to land.
#[derive(Debug)]
pub(super) struct Waiter(watch::Receiver<Option<Landing>>);

/// What a caller is to a flight.
#[derive(Debug)]
pub(super) enum Boarded {
    /// The first: somebody has to lead it, whoever goes on waiting.
    First(Leader, Waiter),
    /// One more.
    Joined(Waiter),
}

impl Flights {
    /// Joins the flight of `key`, or begins one.
    pub(super) fn board(self: &Arc<Self>, key: &str) -> Boarded {
        let mut under_way = self.0.lock();
        if let Some(flight) = under_way.by_key.get(key) {
            return Boarded::Joined(Waiter(flight.landed.subscribe()));
        }
        let key: Arc<str> = key.into();
        let (landed, waiter) = watch::channel(None);
        let flight = Arc::new(Flight {
            key: Arc::clone(&key),
            overtaken: AsyncMutex::new(under_way.born),
            landed,
        });
        under_way.by_key.insert(key, Arc::clone(&flight));
        drop(under_way);
        let flights = Arc::clone(self);
        Boarded::First(Leader { flights, flight }, Waiter(waiter))
    }

    /// To be awaited before a client's change is made.
    pub(super) async fn overtake(&self, changing: Changing<'_>) {
        let taken = self.0.lock().take(changing);
        for flight in taken {
            *flight.overtaken.lock().await = Overtaken::Yes;
        }
    }

    /// Nothing that is fetched from now on, or is being fetched, is stored any more.
    pub(super) async fn retire(&self) {
        self.0.lock().born = Overtaken::Yes;
        self.overtake(Changing::All).await;
    }

    /// Whether `key` is being fetched.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.lock().by_key.contains_key(key)
    }

    /// Takes a flight out, unless another one has taken its place already.
    fn forget(&self, flight: &Arc<Flight>) {
        self.0.lock().forget(flight);
    }
}

impl UnderWay {
    fn take(&mut self, changing: Changing<'_>) -> Vec<Arc<Flight>> {
        match changing {
            Changing::Key(key) => {
                let key = std::str::from_utf8(key).ok();
                key.and_then(|key| self.by_key.remove(key))
                    .into_iter()
                    .collect()
            }
            Changing::Prefix(prefix) => {
                let taken = self
                    .by_key
                    .extract_if(|key, _| key.as_bytes().starts_with(prefix));
                taken.map(|(_, flight)| flight).collect()
            }
            Changing::All => self.by_key.drain().map(|(_, flight)| flight).collect(),
        }
    }

    fn forget(&mut self, flight: &Arc<Flight>) {
        let known = self.by_key.get(&flight.key);
        if known.is_some_and(|known| Arc::ptr_eq(known, flight)) {
            self.by_key.remove(&flight.key);
        }
    }
}

impl Leader {
    /// The key that is fetched.
    pub(super) fn key(&self) -> &str {
        &self.flight.key
    }

    /// Whether a client has changed the key. While what is returned is held, none does.
    pub(super) async fn overtaken(&self) -> MutexGuard<'_, Overtaken> {
        self.flight.overtaken.lock().await
    }

    /// Resolves once nobody waits for this flight; from then on nobody joins it.
    pub(super) async fn left_alone(&self) {
        loop {
            self.flight.landed.closed().await;
            let mut under_way = self.flights.0.lock();
            // Somebody may have come while the map was free.
            if self.flight.landed.is_closed() {
                under_way.forget(&self.flight);
                return;
            }
        }
    }

    /// Tells the waiters what has become of it.
    pub(super) fn land(self, landing: Landing) {
        self.flights.forget(&self.flight);
        self.flight.landed.send_replace(Some(landing));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.flights.forget(&self.flight);
        self.flight.landed.send_if_modified(|landed| {
            let lost = landed.is_none();
            if lost {
                *landed = Some(Landing::Lost);
            }
            lost
        });
    }
}

impl Waiter {
    /// What has become of the flight.
    pub(super) async fn landed(mut self) -> Landing {
        let landed = self.0.wait_for(Option::is_some).await;
        landed.map_or(Landing::Lost, |landed| {
            landed.clone().unwrap_or(Landing::Lost)
        })
    }
}
