//! When a fetch may begin: so many at one time, and so many in a while. It must not know what is fetched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::source::RateLimit;

/// How long who got no turn is told to wait: nobody knows when a fetch ends.
const SOON: Duration = Duration::from_secs(1);

/// Gives out turns, in the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Turns {
    at_once: Arc<Semaphore>,
    rate: Option<Mutex<Bucket>>,
}

/// A turn, for as long as it is kept.
#[derive(Debug)]
#[must_use]
pub(super) struct Turn {
    #[expect(dead_code, reason = "it is given back when it is dropped")]
    permit: OwnedSemaphorePermit,
}

/// There was no turn in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NoTurn {
    /// When there may be one.
    pub(super) retry_after: Duration,
}

impl Turns {
    pub(super) fn new(most: usize, rate: Option<RateLimit>) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            at_once: Arc::new(Semaphore::new(most)),
            rate: rate.map(|rate| Mutex::new(Bucket::new(rate))),
        }
    }

    /// A turn, where there is one within `patience`.
    pub(super) async fn within(&self, patience: Duration) -> Result<Turn, NoTurn> {
        let until = Instant::now() + patience;
        let permit = Arc::clone(&self.at_once).acquire_owned();
        let permit = timeout(patience, permit).await;
        let Ok(Ok(permit)) = permit else {
            return Err(NoTurn { retry_after: SOON });
        };
        if let Some(rate) = &self.rate {
            let now = Instant::now();
            let left = until.saturating_duration_since(now);
            let wait = rate.lock().take(now, left);
            let wait = wait.map_err(|retry_after| NoTurn { retry_after })?;
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
        Ok(Turn { permit })
    }

    /// A turn, where there is one now.
    pub(super) fn now(&self) -> Option<Turn> {
        let permit = Arc::clone(&self.at_once).try_acquire_owned().ok()?;
        if let Some(rate) = &self.rate {
            rate.lock().take(Instant::now(), Duration::ZERO).ok()?;
        }
        Some(Turn { permit })
    }
}

/// A bucket of tokens that fills steadily, kept as the time at which it will be full (the Generic Cell Rate Algorithm of
/// ATM, as a virtual scheduler).
#[derive(Debug)]
struct Bucket {
    /// From one token to the next.
    interval: Duration,
    /// What a full bucket is worth.
    burst: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    fn new(rate: RateLimit) -> Self {
        let interval = Duration::try_from_secs_f64(rate.per_second.recip());
        let interval = interval.unwrap_or(Duration::MAX);
        Self {
            interval,
            burst: interval.saturating_mul(rate.burst.max(1)),
            full_at: None,
        }
    }

    /// Takes a token and says how long to wait for it, at most `patience`; or says how long that would be, and takes none.
    fn take(&mut self, now: Instant, patience: Duration) -> Result<Duration, Duration> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let Some(next) = full_at.checked_add(self.interval) else {
            return Err(self.interval);
        };
        let wait = next
            .saturating_duration_since(now)
            .saturating_sub(self.burst);
        if wait > patience {
            return Err(wait);
        }
        self.full_at = Some(next);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(per_second: f64, burst: u32) -> Bucket {
        Bucket::new(RateLimit { per_second, burst })
    }

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_by_the_clock() {
        let (mut bucket, now) = (bucket(2.0, 3), Instant::now());
        for _ in 0..3 {
            assert_eq!(bucket.take(now, Duration::ZERO), Ok(Duration::ZERO));
        }
        assert_eq!(bucket.take(now, Duration::ZERO), Err(SECOND / 2));
        assert_eq!(bucket.take(now, SECOND), Ok(SECOND / 2));
        assert_eq!(bucket.take(now, SECOND), Ok(SECOND));
        assert_eq!(bucket.take(now, SECOND), Err(SECOND * 3 / 2));
        // Two more tokens, which are spoken for.
        let later = now + SECOND;
        assert_eq!(bucket.take(later, Duration::ZERO), Err(SECOND / 2));
        // Full again, and not more than full.
        let much_later = now + SECOND * 100;
        for _ in 0..3 {
            assert_eq!(bucket.take(much_later, Duration::ZERO), Ok(Duration::ZERO));
        }
        assert_eq!(bucket.take(much_later, Duration::ZERO), Err(SECOND / 2));
    }

    #[test]
    fn a_rate_that_means_never_refuses_and_does_not_break() {
        let mut bucket = bucket(f64::MIN_POSITIVE, 1);
        let wait = bucket.take(Instant::now(), SECOND).unwrap_err();
        assert!(wait > SECOND);
    }

    #[tokio::test]
    async fn there_are_so_many_turns_at_one_time_and_the_next_waits() {
        let turns = Arc::new(Turns::new(2, None));
        let (first, _second) = (turns.now().unwrap(), turns.now().unwrap());
        assert!(turns.now().is_none());
        let refused = turns.within(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(refused, NoTurn { retry_after: SOON });
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.within(Duration::from_secs(20)).await }
        });
        drop(first);
        let _third = waiting.await.unwrap().unwrap();
        assert!(turns.now().is_none());
    }

    #[tokio::test]
    async fn who_would_wait_too_long_for_a_token_leaves_its_turn() {
        let rate = RateLimit {
            per_second: 0.01,
            burst: 1,
        };
        let turns = Turns::new(1, Some(rate));
        drop(turns.within(SECOND).await.unwrap());
        let refused = turns.within(SECOND).await.unwrap_err();
        assert!(refused.retry_after > SECOND * 90, "{refused:?}");
        assert!(turns.now().is_none());
        assert_eq!(turns.at_once.available_permits(), 1);
    }
}
