//! The budget for request bodies that are held at one time, over all connections: a flood of large bodies gets 503, not
//! the attention of the kernel's memory killer.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::code::Code;
use super::problem::{Exceeded, Problem};
use crate::metrics::Figure;

/// Bytes that may be held, and that are.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicUsize,
    held: AtomicUsize,
    shown: Figure,
}

impl Budget {
    /// Nothing is held yet; `shown` follows what is.
    pub(crate) fn new(limit: usize, shown: Figure) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            held: AtomicUsize::new(0),
            shown,
        }
    }

    /// Allows this many bytes from now on; what is held already stays so.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// A hold on nothing yet.
    pub(crate) fn hold(&self) -> Hold<'_> {
        Hold {
            budget: self,
            bytes: 0,
        }
    }
}

/// Bytes held by one request; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Hold<'_> {
    /// Holds `bytes` more, or refuses because that would be more than may be held.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let budget = self.budget;
        let held = budget.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        // What was added is given back by the drop, also after a refusal.
        let limit = budget.limit.load(Ordering::Relaxed);
        if held > limit {
            let (limit, actual) = (wide(limit), wide(held));
            let detail = "too many bytes of request bodies are held at once; nothing was changed";
            let exceeded = Exceeded {
                limit,
                actual,
                setting: "limits.inflight_bytes",
            };
            return Err(Problem::new(Code::Overloaded, detail).exceeding(exceeded));
        }
        budget.shown.set(wide(held));
        Ok(())
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let before = self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
            self.budget
                .shown
                .set(wide(before.saturating_sub(self.bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Budget::new(10, Figure::default());
        let mut first = budget.hold();
        first.grow(6).unwrap();
        let mut second = budget.hold();
        assert_eq!(second.grow(5).unwrap_err().code(), Code::Overloaded);
        drop(second);
        first.grow(4).unwrap();
        drop(first);
        budget.hold().grow(10).unwrap();
        budget.set_limit(9);
        assert!(budget.hold().grow(10).is_err());
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
