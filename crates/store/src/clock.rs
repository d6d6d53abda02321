//! The only reader of clocks. Wall time is taken once at start and carried on by `CLOCK_BOOTTIME`, so that a step of the
//! wall clock in a running process changes nothing; at start it is raised to the newest time in the log, so that a clock
//! set back cannot revive expired keys. What the wall clock itself shows is there for rules of the calendar alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of wall time in Unix milliseconds, and of time that never goes back.
#[derive(Debug)]
pub struct Clock {
    /// Unix milliseconds minus milliseconds since boot; for a manual clock the time itself.
    base_ms: AtomicU64,
    /// A manual clock stands until it is moved.
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    System,
    Manual,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self {
            base_ms: AtomicU64::new(wall_ms().saturating_sub(boot_ms())),
            kind: Kind::System,
        }
    }

    /// A clock for tests that stands at `now_ms` until [`Clock::advance`] moves it.
    pub fn manual(now_ms: u64) -> Self {
        Self {
            base_ms: AtomicU64::new(now_ms),
            kind: Kind::Manual,
        }
    }

    /// Unix milliseconds; never goes back within a process.
    pub fn now_ms(&self) -> u64 {
        let base = self.base_ms.load(Ordering::Relaxed);
        match self.kind {
            Kind::System => base + boot_ms(),
            Kind::Manual => base,
        }
    }

    /// What the machine's clock shows, in Unix milliseconds: people and time servers set it, forward and back. Only for what
    /// is due by the calendar.
    pub fn wall_ms(&self) -> u64 {
        match self.kind {
            Kind::System => wall_ms(),
            Kind::Manual => self.now_ms(),
        }
    }

    /// Moves the clock forward so that it shows at least `floor_ms`. Returns by how many milliseconds it was behind.
    pub fn raise(&self, floor_ms: u64) -> u64 {
        let behind = floor_ms.saturating_sub(self.now_ms());
        self.base_ms.fetch_add(behind, Ordering::Relaxed);
        behind
    }

    /// Moves the clock forward by `ms`.
    pub fn advance(&self, ms: u64) {
        self.base_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Time since boot, suspended time included: for durations.
    #[expect(clippy::unused_self, reason = "who measures time has to hold a clock")]
    pub fn monotonic(&self) -> Duration {
        boot()
    }
}

fn wall_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    millis(wall)
}

fn boot() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(t.tv_sec).unwrap_or(0),
        u32::try_from(t.tv_nsec).unwrap_or(0),
    )
}

fn boot_ms() -> u64 {
    millis(boot())
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_clock_never_shows_less_than_its_floor() {
        let clock = Clock::system();
        let floor = clock.now_ms() + 10_000;
        assert!(clock.raise(floor) > 9_000);
        assert!(clock.now_ms() >= floor);
        assert_eq!(clock.raise(floor - 5_000), 0);
    }
}
