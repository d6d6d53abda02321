//! A read of one key: from what is stored where that will do, else by a fetch, else from what is stored although its time is
//! over. It must not know how a fetch is made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fetching::Reason;
use super::flights::{Boarded, Waiter};
use super::served::{Accepts, Forwarded, Read, Served, SourceFailure, Stale};
use super::{Landing, Through};
use crate::engine::Entry;
use crate::keyspace::values::{Refusal, Values};
use crate::metrics::OneMore;

/// What is stored under a key.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A value whose time is not over.
    Fresh(Entry),
    /// A value whose time is over for so long.
    Over(Entry, Duration),
}

impl Found {
    pub(super) fn judge(entry: Option<Entry>, now_ms: u64) -> Self {
        match entry {
            None => Self::Nothing,
            Some(entry) => match entry.stale_at_ms {
                Some(at) if at <= now_ms => Self::Over(entry, Duration::from_millis(now_ms - at)),
                _ => Self::Fresh(entry),
            },
        }
    }
}

impl Through {
    /// The value of `key`.
    pub(in crate::keyspace) async fn read(
        self: &Arc<Self>,
        values: &Values,
        key: &str,
        accepts: Accepts,
    ) -> Result<Read, Refusal> {
        if accepts == Accepts::Nothing {
            return Err(SourceFailure::NotStored.into());
        }
        let found = self.find(values, key).await?;
        if accepts != Accepts::Fetched
            && let Some(read) = self.stored(values, key, &found, accepts)
        {
            return Ok(read);
        }
        // A fetch that asks nobody says nothing about the source either.
        if !self.source.can_have(key) {
            return Ok(Read::absent(Served::NegativeHit));
        }
        if accepts == Accepts::Stored {
            return Err(SourceFailure::NotStored.into());
        }
        self.fetched(values, key, found, accepts).await
    }

    pub(super) async fn find(&self, values: &Values, key: &str) -> Result<Found, Refusal> {
        let entry = values.entries.find(key.as_bytes()).await?;
        Ok(Found::judge(entry, values.engine.now_ms()))
    }

    /// The answer without a fetch, where there is one. What is soon over, or is over but will do, is fetched anew beside it,
    /// where the reader leaves that open.
    fn stored(
        self: &Arc<Self>,
        values: &Values,
        key: &str,
        found: &Found,
        accepts: Accepts,
    ) -> Option<Read> {
        let renew = || {
            if accepts == Accepts::Anything {
                self.renew(values, key);
            }
        };
        match found {
            Found::Fresh(entry) => {
                if self.is_soon_over(entry, values.engine.now_ms()) {
                    renew();
                }
                Some(Read::of(entry, Served::Hit))
            }
            Found::Over(entry, over_for) => {
                if *over_for > self.options.stale_while_revalidate? {
                    return None;
                }
                renew();
                Some(self.stale(entry, *over_for, Stale::WhileRevalidating))
            }
            Found::Nothing => {
                let negative = self.is_negative(key);
                negative.then(|| Read::absent(Served::NegativeHit))
            }
        }
    }

    /// Whether the source has said lately that it does not have `key`.
    pub(super) fn is_negative(&self, key: &str) -> bool {
        let Some(negatives) = &self.negatives else {
            return false;
        };
        let negative = negatives.lock().has(key, Instant::now());
        if negative {
            self.figures.negative.inc();
        }
        negative
    }

    /// Whether a value is to be fetched anew before its time is over.
    pub(super) fn is_soon_over(&self, entry: &Entry, now_ms: u64) -> bool {
        let (Some(ahead), Some(at)) = (self.options.refresh_ahead, entry.stale_at_ms) else {
            return false;
        };
        Duration::from_millis(at.saturating_sub(now_ms)) <= ahead
    }

    fn stale(&self, entry: &Entry, over_for: Duration, because: Stale) -> Read {
        self.figures.stale.inc();
        Read::of(entry, Served::Stale { over_for, because })
    }

    /// Joins or begins a fetch and waits for it.
    async fn fetched(
        self: &Arc<Self>,
        values: &Values,
        key: &str,
        found: Found,
        accepts: Accepts,
    ) -> Result<Read, Refusal> {
        let (landing, collapsed) = self.landing(values, key, accepts).await;
        let forwarded = match &found {
            Found::Nothing => Forwarded::Miss,
            Found::Fresh(_) => Forwarded::Request,
            Found::Over(..) => Forwarded::Stale,
        };
        let served = |stored| Served::Fetched {
            forwarded,
            stored,
            collapsed,
        };
        let failure = match landing {
            Landing::Value { entry, stored } => return Ok(Read::of(&entry, served(stored))),
            Landing::Found(entry) => return Ok(Read::of(&entry, Served::Hit)),
            Landing::Absent => return Ok(Read::absent(served(false))),
            Landing::FoundAbsent => return Ok(Read::absent(Served::NegativeHit)),
            Landing::Failed(failure) => failure,
            Landing::Lost => SourceFailure::broken_off(),
        };
        if accepts == Accepts::Anything
            && let Found::Over(entry, over_for) = &found
            && self.may_be_stale(*over_for)
        {
            return Ok(self.stale(entry, *over_for, Stale::If(failure)));
        }
        Err(failure.into())
    }

    /// What becomes of a fetch that is joined or begun here, and whether it was joined.
    async fn landing(
        self: &Arc<Self>,
        values: &Values,
        key: &str,
        accepts: Accepts,
    ) -> (Landing, bool) {
        loop {
            match self.flights.board(key) {
                Boarded::First(leader, waiter) => {
                    let reason = match accepts {
                        Accepts::Fetched => Reason::Demand,
                        Accepts::Anything | Accepts::Stored | Accepts::Nothing => Reason::NotFresh,
                    };
                    self.launch(values.clone(), leader, reason, None);
                    return (self.wait(waiter).await, false);
                }
                Boarded::Joined(waiter) => {
                    let landing = self.wait(waiter).await;
                    let fetched = !matches!(landing, Landing::Found(_) | Landing::FoundAbsent);
                    if fetched || accepts != Accepts::Fetched {
                        return (landing, true);
                    }
                    // It needed no fetch for those who began it.
                }
            }
        }
    }

    async fn wait(&self, waiter: Waiter) -> Landing {
        let _waiting = OneMore::of(&self.figures.waiters);
        waiter.landed().await
    }

    /// Whether a value whose time is over for so long will do where the source fails.
    fn may_be_stale(&self, over_for: Duration) -> bool {
        self.options
            .stale_if_error
            .is_some_and(|grace| over_for <= grace)
    }
}

impl Read {
    fn of(entry: &Entry, served: Served) -> Self {
        Self {
            entry: Some(entry.clone()),
            served: Some(served),
        }
    }

    fn absent(served: Served) -> Self {
        Self {
            entry: None,
            served: Some(served),
        }
    }
}
