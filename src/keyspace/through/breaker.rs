//! When a source that fails is left alone (M. Nygard, "Release It!", Circuit Breaker): so many failures in a row open the
//! breaker; while it is open nothing is asked; after a time one fetch tries whether it can close. It must not read a clock,
//! nor know what a failure is.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::metrics::Figure;
use crate::source;

/// How long others are told to wait while one fetch tries.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// Lets fetches through, or none, or one.
#[derive(Debug)]
pub(super) struct Breaker {
    options: source::Breaker,
    state: Mutex<State>,
    shown: Figure,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Everything is let through.
    Closed {
        /// So many in a row have failed.
        failures: u32,
    },
    /// Nothing is, before this time.
    Open { until: Instant },
    /// One fetch is under way, and nothing else is let through.
    HalfOpen,
}

/// What a fetch may do that was let through. Where it is dropped before it was reported, nothing is known of the source, and
/// the next fetch may try.
#[derive(Debug)]
#[must_use]
pub(super) struct Admitted<'b> {
    breaker: &'b Breaker,
    /// When it was let through to try whether the source has recovered.
    probes_since: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(options: source::Breaker, shown: Figure) -> Self {
        let breaker = Self {
            options,
            state: Mutex::new(State::Closed { failures: 0 }),
            shown,
        };
        breaker.show(State::Closed { failures: 0 });
        breaker
    }

    /// Whether a fetch would be let through now, or after which time one may be.
    pub(super) fn look(&self, now: Instant) -> Result<(), Duration> {
        let state = *self.state.lock();
        match state {
            State::Closed { .. } => Ok(()),
            State::Open { until } if now >= until => Ok(()),
            State::Open { until } => Err(until - now),
            State::HalfOpen => Err(WHILE_PROBING),
        }
    }

    /// Lets a fetch through, or says after which time one may be.
    pub(super) fn admit(&self, now: Instant) -> Result<Admitted<'_>, Duration> {
        let mut state = self.state.lock();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if now >= until => true,
            State::Open { until } => return Err(until - now),
            State::HalfOpen => return Err(WHILE_PROBING),
        };
        if is_probe {
            self.turn(&mut state, State::HalfOpen);
        }
        drop(state);
        Ok(Admitted {
            breaker: self,
            probes_since: is_probe.then_some(now),
        })
    }

    fn turn(&self, state: &mut State, to: State) {
        *state = to;
        self.show(to);
    }

    fn show(&self, state: State) {
        self.shown.set(match state {
            State::Closed { .. } => 0,
            State::HalfOpen => 1,
            State::Open { .. } => 2,
        });
    }
}

impl Admitted<'_> {
    /// The source answered.
    pub(super) fn succeeded(mut self) {
        let probed = self.probes_since.take().is_some();
        let mut state = self.breaker.state.lock();
        // What was let through before the breaker opened says nothing about now.
        if probed || matches!(*state, State::Closed { .. }) {
            self.breaker.turn(&mut state, State::Closed { failures: 0 });
        }
    }

    /// The source failed.
    pub(super) fn failed(mut self, now: Instant) {
        let probed = self.probes_since.take().is_some();
        let options = self.breaker.options;
        let open = State::Open {
            until: now + options.reset,
        };
        let mut state = self.breaker.state.lock();
        let to = match *state {
            State::Closed { failures } if failures + 1 < options.failures => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => open,
            State::HalfOpen | State::Open { .. } if probed => open,
            other @ (State::HalfOpen | State::Open { .. }) => other,
        };
        self.breaker.turn(&mut state, to);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if let Some(until) = self.probes_since.take() {
            let mut state = self.breaker.state.lock();
            self.breaker.turn(&mut state, State::Open { until });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Duration = Duration::from_secs(10);

    fn breaker(failures: u32) -> Breaker {
        let options = source::Breaker {
            failures,
            reset: RESET,
        };
        Breaker::new(options, Figure::default())
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let (breaker, now) = (breaker(3), Instant::now());
        for _ in 0..10 {
            breaker.admit(now).unwrap().failed(now);
            breaker.admit(now).unwrap().failed(now);
            breaker.admit(now).unwrap().succeeded();
        }
        assert_eq!(breaker.shown.get(), 0);
        for _ in 0..3 {
            breaker.admit(now).unwrap().failed(now);
        }
        assert_eq!(breaker.look(now), Err(RESET));
        assert_eq!(breaker.admit(now).unwrap_err(), RESET);
        assert_eq!(breaker.shown.get(), 2);
    }

    #[test]
    fn one_fetch_tries_and_closes_it_or_leaves_it_open() {
        let (breaker, now) = (breaker(1), Instant::now());
        breaker.admit(now).unwrap().failed(now);
        let later = now + RESET;
        assert_eq!(breaker.look(later), Ok(()));
        let probe = breaker.admit(later).unwrap();
        assert_eq!(breaker.shown.get(), 1);
        assert_eq!(breaker.admit(later).unwrap_err(), WHILE_PROBING);
        probe.failed(later);
        assert_eq!(breaker.admit(later).unwrap_err(), RESET);
        let probe = breaker.admit(later + RESET).unwrap();
        probe.succeeded();
        assert_eq!(breaker.shown.get(), 0);
        drop(breaker.admit(later).unwrap());
        drop(breaker.admit(later).unwrap());
    }

    #[test]
    fn a_fetch_from_before_it_opened_changes_nothing() {
        let (breaker, now) = (breaker(1), Instant::now());
        let (good, bad) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        breaker.admit(now).unwrap().failed(now);
        good.succeeded();
        bad.failed(now + RESET / 2);
        assert_eq!(breaker.admit(now).unwrap_err(), RESET);
    }

    #[test]
    fn a_probe_that_breaks_off_leaves_its_turn_to_the_next() {
        let (breaker, now) = (breaker(1), Instant::now());
        breaker.admit(now).unwrap().failed(now);
        let later = now + RESET;
        drop(breaker.admit(later).unwrap());
        let probe = breaker.admit(later).unwrap();
        assert_eq!(breaker.admit(later).unwrap_err(), WHILE_PROBING);
        probe.succeeded();
    }
}
