//! How many may watch at one time. It must not know what they watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::http::code::Code;
use crate::http::problem::{Exceeded, Problem};
use crate::metrics::Figure;

/// The seats that are taken.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Seats {
    taken: Arc<AtomicUsize>,
    shown: Figure,
}

/// A seat that is taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat(Seats);

impl Seats {
    /// Nobody watches yet; `shown` follows how many do.
    pub(in crate::http) fn new(shown: Figure) -> Self {
        Self {
            taken: Arc::default(),
            shown,
        }
    }

    /// Takes one of `limit` seats, or refuses because all are taken.
    pub(super) fn take(&self, limit: usize) -> Result<Seat, Problem> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Given back by the drop, also where it is one too many.
        let seat = Seat(self.clone());
        seat.show();
        if before < limit {
            return Ok(seat);
        }
        let exceeded = Exceeded {
            limit: wide(limit),
            actual: wide(before + 1),
            setting: "limits.watchers",
        };
        let detail = "too many watch at once; try again when one has left";
        Err(Problem::new(Code::Overloaded, detail).exceeding(exceeded))
    }
}

impl Seat {
    fn show(&self) {
        let Seats { taken, shown } = &self.0;
        shown.set(wide(taken.load(Ordering::Relaxed)));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.show();
    }
}

fn wide(count: usize) -> u64 {
    count.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_seats_and_no_more() {
        let seats = Seats::new(Figure::default());
        let one = seats.take(2).unwrap();
        let two = seats.take(2).unwrap();
        assert_eq!(seats.take(2).unwrap_err().code(), Code::Overloaded);
        assert_eq!(seats.shown.get(), 2);
        drop(one);
        let three = seats.take(2).unwrap();
        drop((two, three));
        assert_eq!(seats.shown.get(), 0);
    }
}
