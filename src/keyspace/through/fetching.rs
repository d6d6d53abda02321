//! A fetch, from its turn to its landing. It runs by itself, whoever goes on waiting for it. It must not know how what it
//! brings is stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::breaker::{Admitted, Breaker};
use super::flights::{Boarded, Leader};
use super::reading::Found;
use super::served::SourceFailure;
use super::turns::{NoTurn, Turn};
use super::{Landing, Through};
use crate::engine::Version;
use crate::keyspace::values::Values;
use crate::metrics::OneMore;
use crate::source::{FetchError, Fetched, Validators};

/// How long nothing is fetched that nobody waits for, once a fetch has failed: a key that is read often would otherwise be
/// fetched without a pause.
const REST: Duration = Duration::from_secs(1);

/// Why a fetch is made, which says when it need not be made after all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// What was there would not do: unless it has become fresh.
    NotFresh,
    /// What was there is soon over, or already: unless it has been renewed.
    Renewal,
    /// A reader wants it.
    Demand,
}

impl Through {
    /// Lets the flight of `leader` go its way; with a `turn`, where it has one already.
    pub(super) fn launch(
        self: &Arc<Self>,
        values: Values,
        leader: Leader,
        reason: Reason,
        turn: Option<Turn>,
    ) {
        let through = Arc::clone(self);
        let mut ended = self.ended.subscribe();
        let flight = async move {
            let landing = tokio::select! {
                landing = through.fly(&values, &leader, reason, turn) => landing,
                // It is lost to whoever waits for it.
                _ended = ended.wait_for(|ended| *ended) => return,
            };
            leader.land(landing);
        };
        // Nobody joins it: what has become of it is told by its landing.
        drop(self.sources.spawn(flight));
    }

    /// Fetches `key` anew where nobody waits for it, if that is possible at once.
    pub(super) fn renew(self: &Arc<Self>, values: &Values, key: &str) {
        let now = Instant::now();
        let rests = self.rests_until.lock().is_some_and(|until| now < until);
        let open = |breaker: &Breaker| breaker.look(now).is_err();
        if rests || self.flights.has(key) || self.breaker.as_ref().is_some_and(open) {
            return;
        }
        let Some(turn) = self.turns.now() else { return };
        if let Boarded::First(leader, _waiter) = self.flights.board(key) {
            self.launch(values.clone(), leader, Reason::Renewal, Some(turn));
        }
    }

    /// 1. Somebody may have fetched the key while this flight was being prepared.
    /// 2. It waits for its turn, unless its readers leave before that.
    /// 3. The source is asked, if it is not to be left alone.
    /// 4. What it says is kept, unless a client has changed the key meanwhile.
    async fn fly(
        &self,
        values: &Values,
        leader: &Leader,
        reason: Reason,
        turn: Option<Turn>,
    ) -> Landing {
        let met = match self.look_again(values, leader.key(), reason).await {
            Ok(met) => met,
            Err(landing) => return landing,
        };
        if let Err(retry_after) = self.look_at_breaker() {
            return Landing::Failed(SourceFailure::BreakerOpen { retry_after });
        }
        let waited = async {
            match turn {
                Some(turn) => Ok(turn),
                None => self.turns.within(self.options.timeout).await,
            }
        };
        let turn = tokio::select! {
            turn = waited => turn,
            () = leader.left_alone(), if reason != Reason::Renewal => return Landing::Lost,
        };
        let _turn = match turn {
            Ok(turn) => turn,
            Err(NoTurn { retry_after }) => {
                return Landing::Failed(SourceFailure::RateLimited { retry_after });
            }
        };
        self.ask(values, leader, met).await
    }

    /// The version that is to be replaced; or how the flight lands without a fetch.
    async fn look_again(
        &self,
        values: &Values,
        key: &str,
        reason: Reason,
    ) -> Result<Option<Version>, Landing> {
        match self.find(values, key).await {
            Ok(Found::Fresh(entry)) => {
                let enough = match reason {
                    Reason::NotFresh => true,
                    Reason::Renewal => !self.is_soon_over(&entry, values.engine.now_ms()),
                    Reason::Demand => false,
                };
                if enough {
                    return Err(Landing::Found(entry));
                }
                Ok(Some(entry.version))
            }
            Ok(Found::Over(entry, _)) => Ok(Some(entry.version)),
            Ok(Found::Nothing) => {
                if reason != Reason::Demand && self.is_negative(key) {
                    return Err(Landing::FoundAbsent);
                }
                Ok(None)
            }
            // The store is lost or ends: nothing is stored there either.
            Err(_refusal) => Ok(None),
        }
    }

    fn look_at_breaker(&self) -> Result<(), Duration> {
        let breaker = self.breaker.as_ref();
        breaker.map_or(Ok(()), |breaker| breaker.look(Instant::now()))
    }

    /// Asks the source, and keeps what it says.
    async fn ask(&self, values: &Values, leader: &Leader, met: Option<Version>) -> Landing {
        let breaker = self.breaker.as_ref();
        let admitted = breaker.map(|breaker| breaker.admit(Instant::now()));
        let admitted = match admitted.transpose() {
            Ok(admitted) => admitted,
            Err(retry_after) => return Landing::Failed(SourceFailure::BreakerOpen { retry_after }),
        };
        let fetched = {
            let _in_flight = OneMore::of(&self.figures.in_flight);
            let known = Validators::default();
            self.source.fetch(Some(leader.key()), &known).await
        };
        self.note(&fetched, leader.key(), admitted);
        match fetched {
            Ok(Fetched::Value(value)) => self.keep(values, leader, met, value).await,
            Ok(Fetched::Absent) => self.forget(values, leader, met).await,
            Ok(Fetched::NotModified { .. }) => Landing::Failed(SourceFailure::Failed {
                told: "the source speaks of a value that it was not shown".into(),
            }),
            Err(error) => Landing::Failed(SourceFailure::from(&error)),
        }
    }

    /// What a fetch says about its source.
    fn note(
        &self,
        fetched: &Result<Fetched, FetchError>,
        key: &str,
        admitted: Option<Admitted<'_>>,
    ) {
        let error = match fetched {
            Ok(Fetched::Value(_)) => {
                self.figures.fetched("value");
                None
            }
            Ok(Fetched::Absent) => {
                self.figures.fetched("absent");
                None
            }
            Ok(Fetched::NotModified { .. }) => {
                self.figures.fetched("not_modified");
                None
            }
            Err(error) => {
                self.figures.fetched(error.kind());
                tracing::debug!(keyspace = self.keyspace, key, %error, "a fetch failed");
                Some(error).filter(|error| !error.is_of_value())
            }
        };
        match error {
            None => {
                if let Some(admitted) = admitted {
                    admitted.succeeded();
                }
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(keyspace = self.keyspace, "the source answers again");
                }
            }
            Some(error) => {
                let now = Instant::now();
                if let Some(admitted) = admitted {
                    admitted.failed(now);
                }
                *self.rests_until.lock() = Some(now + REST);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(keyspace = self.keyspace, %error, "the source fails");
                }
            }
        }
    }
}
