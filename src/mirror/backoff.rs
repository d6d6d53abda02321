//! How long to wait before the next attempt: twice as long after each failure, up to a most, each time a little less than
//! that by chance, so that those who lost the same upstream in the same moment do not come back in the same moment. It must
//! not know what is attempted.

use std::time::Duration;

/// The pauses between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with `min`, and never waits longer than `max`.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            next: min.min(max),
        }
    }

    /// Begins anew: the upstream has sent something.
    pub(super) fn reset(&mut self) {
        self.next = self.min.min(self.max);
    }

    /// The pause after a failure.
    pub(super) fn pause(&mut self) -> Duration {
        self.pause_by(chance())
    }

    /// The same for a chance from 0 to 255: the whole pause at 0, little more than half of it at 255.
    fn pause_by(&mut self, chance: u8) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.max);
        whole.saturating_sub(whole / 512 * u32::from(chance))
    }
}

fn chance() -> u8 {
    let mut byte = [0];
    // A system without randomness is one on which all wait equally long.
    if getrandom::fill(&mut byte).is_err() {
        return 0;
    }
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn each_pause_is_twice_the_one_before_until_the_longest() {
        let mut backoff = Backoff::new(MS(10_000), MS(60_000));
        for expected in [10_000, 20_000, 40_000, 60_000, 60_000] {
            assert_eq!(backoff.pause_by(0), MS(expected));
        }
        backoff.reset();
        assert_eq!(backoff.pause_by(0), MS(10_000));
    }

    #[test]
    fn chance_takes_less_than_half_of_a_pause_and_nothing_of_the_next() {
        let mut backoff = Backoff::new(MS(1_024), MS(10_240));
        assert_eq!(backoff.pause_by(128), MS(768));
        let shortest = backoff.pause_by(255);
        assert!(MS(1_024) < shortest && shortest < MS(1_040), "{shortest:?}");
        for _ in 0..100 {
            let mut backoff = Backoff::new(MS(512), MS(512));
            let pause = backoff.pause();
            assert!(MS(256) < pause && pause <= MS(512), "{pause:?}");
        }
    }

    #[test]
    fn a_most_below_the_first_pause_holds() {
        let mut backoff = Backoff::new(MS(512), MS(100));
        assert_eq!(backoff.pause_by(0), MS(100));
        assert_eq!(backoff.pause_by(0), MS(100));
    }
}
