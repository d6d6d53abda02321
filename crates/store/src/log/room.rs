//! Room in the log, taken before the map is touched: once a change has room, nothing about it can fail any more.
//!
//! Room is what the active and the prepared segments still hold. A change claims its bytes before its shard lock; the
//! claim ends when the writer has written them. A rotation may leave unused what the next record did not fit into, less
//! than the largest record that waits, so as much is kept free for each prepared segment.
//! A record larger than half a segment is granted alone: everybody else waits until it has been written, and a segment is
//! prepared to its size. It knows neither files nor records.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::clock::Clock;
use crate::error::{Lost, WriteError};

/// What the room is for: on a full disk they are not equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A change that makes the data grow.
    Grow,
    /// A deletion or an expiry, which the reserve is for.
    Shrink,
    /// A flush or a drop, for which the last part of the reserve is kept.
    Empty,
}

/// Kept of the reserve for flushes and drops, in bytes.
const FOR_EMPTY: u64 = 64 << 10;

#[derive(Debug, Default)]
struct State {
    /// Free record bytes of the active and the prepared segments.
    physical: u64,
    /// What of it belongs to the active segment, and to each prepared one in order.
    active: u64,
    prepared: VecDeque<u64>,
    /// Granted, not yet written.
    claimed: u64,
    /// The largest grant since nothing was claimed.
    largest: u64,
    /// A record too large for its segment to be shared: wanted by a waiter, then held until written.
    alone: Alone,
    /// Part of `physical` that only deletions may use.
    set_aside: u64,
    /// The preparer met a full disk.
    full: bool,
    closed: Option<Closed>,
    waiters: Vec<(u64, Waker)>,
    next_waiter: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Alone {
    #[default]
    Nobody,
    Wanted {
        waiter: u64,
        bytes: u64,
    },
    Held,
}

#[derive(Debug, Clone)]
enum Closed {
    Lost(Lost),
    Closing,
}

/// The room of a log.
#[derive(Debug)]
pub(crate) struct Room {
    state: Mutex<State>,
    clock: Arc<Clock>,
    /// Records above this are granted alone.
    half: u64,
    /// Most bytes that may wait to be written.
    pending: u64,
    wait: Duration,
}

/// Room that was granted; what is not used goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    room: Arc<Room>,
    bytes: u64,
}

impl Grant {
    /// Ends the grant: a record of `used` bytes was queued, which the writer will account for.
    pub(crate) fn used(mut self, used: u64) {
        debug_assert!(
            used <= self.bytes,
            "a record is never larger than its grant"
        );
        self.bytes -= used.min(self.bytes);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.room.unclaim(self.bytes);
        }
    }
}

impl State {
    fn wake_all(&mut self) -> Vec<(u64, Waker)> {
        std::mem::take(&mut self.waiters)
    }

    fn claim(&mut self, bytes: u64) {
        self.claimed += bytes;
        self.largest = self.largest.max(bytes);
    }

    fn fits(&self, bytes: u64, purpose: Purpose) -> bool {
        let kept = match purpose {
            Purpose::Grow => self.set_aside,
            Purpose::Shrink => self.set_aside.min(FOR_EMPTY),
            Purpose::Empty => 0,
        };
        let boundaries = crate::int::wide(self.prepared.len());
        let unused = self.largest.max(bytes).saturating_mul(boundaries);
        self.claimed + bytes + unused + kept <= self.physical
    }

    /// Whether a record of `bytes`, alone, finds a segment that holds it.
    fn fits_alone(&self, bytes: u64) -> bool {
        let in_prepared = || self.prepared.iter().any(|room| *room >= bytes);
        self.active >= bytes || (self.set_aside == 0 && in_prepared())
    }
}

impl Room {
    pub(crate) fn new(clock: Arc<Clock>, segment_room: u64, pending: u64, wait: Duration) -> Self {
        Self {
            state: Mutex::default(),
            clock,
            half: segment_room / 2,
            pending,
            wait,
        }
    }

    /// The most that a claim takes without being granted alone.
    pub(crate) fn shared_bytes(&self) -> u64 {
        self.half
    }

    /// Waits for room for `bytes`, at most the configured time.
    pub(crate) fn claim(self: &Arc<Self>, bytes: u64, purpose: Purpose) -> Claim {
        let deadline = self.clock.monotonic() + self.wait;
        Claim {
            room: Arc::clone(self),
            bytes,
            purpose,
            deadline,
            waiter: None,
        }
    }

    /// Takes room at once or not at all.
    pub(crate) fn try_claim(self: &Arc<Self>, bytes: u64, purpose: Purpose) -> Option<Grant> {
        let mut state = self.state.lock();
        let open = state.closed.is_none() && state.alone == Alone::Nobody && bytes <= self.half;
        if !(open && state.fits(bytes, purpose)) {
            return None;
        }
        state.claim(bytes);
        drop(state);
        Some(Grant {
            room: Arc::clone(self),
            bytes,
        })
    }

    fn attempt(
        &self,
        state: &mut State,
        bytes: u64,
        purpose: Purpose,
        waiter: u64,
    ) -> Option<Result<(), WriteError>> {
        match &state.closed {
            Some(Closed::Lost(lost)) => return Some(Err(lost.clone().into())),
            Some(Closed::Closing) => return Some(Err(WriteError::Closing)),
            None => {}
        }
        match state.alone {
            Alone::Wanted { waiter: other, .. } if other != waiter => return None,
            Alone::Held => return None,
            Alone::Nobody | Alone::Wanted { .. } => {}
        }
        if bytes > self.half {
            state.alone = Alone::Wanted { waiter, bytes };
            if state.claimed == 0 && state.fits_alone(bytes) {
                state.alone = Alone::Held;
                state.claim(bytes);
                return Some(Ok(()));
            }
            if state.full && state.claimed == 0 {
                state.alone = Alone::Nobody;
                return Some(Err(WriteError::DiskFull));
            }
            return None;
        }
        if state.fits(bytes, purpose) {
            if state.claimed > 0 && state.claimed + bytes > self.pending {
                return None;
            }
            state.claim(bytes);
            return Some(Ok(()));
        }
        // What is claimed comes back only where nobody else took it; on a full disk that is not worth waiting for.
        state.full.then_some(Err(WriteError::DiskFull))
    }

    fn unclaim(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.claimed = state.claimed.saturating_sub(bytes);
        Self::settle(state);
    }

    fn settle(mut state: MutexGuard<'_, State>) {
        if state.claimed == 0 {
            state.largest = 0;
            if state.alone == Alone::Held {
                state.alone = Alone::Nobody;
            }
        }
        let woken = if state.waiters.is_empty() {
            Vec::new()
        } else {
            state.wake_all()
        };
        drop(state);
        wake(woken);
    }

    /// The writer has written `bytes` of records into the active segment.
    pub(crate) fn written(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.physical = state.physical.saturating_sub(bytes);
        state.active = state.active.saturating_sub(bytes);
        state.claimed = state.claimed.saturating_sub(bytes);
        Self::settle(state);
    }

    /// The writer goes on in the next prepared segment; what the active one had left is gone.
    pub(crate) fn rotated(&self) {
        let mut state = self.state.lock();
        state.physical = state.physical.saturating_sub(state.active);
        state.active = state.prepared.pop_front().unwrap_or(0);
    }

    /// Gives up what the active segment has left, where all that is claimed fits behind it. For a rotation that somebody
    /// asked for.
    pub(crate) fn burn_active(&self) -> bool {
        let mut state = self.state.lock();
        let Some(boundaries) = state.prepared.len().checked_sub(1) else {
            return false;
        };
        let unused = state.largest.saturating_mul(crate::int::wide(boundaries));
        let left = state.physical.saturating_sub(state.active);
        if state.alone == Alone::Held || state.claimed + unused > left {
            return false;
        }
        state.physical = left;
        state.active = 0;
        true
    }

    /// A segment was prepared. `set_aside` where it was made out of the reserve.
    pub(crate) fn added(&self, room: u64, set_aside: bool) {
        let mut state = self.state.lock();
        state.physical += room;
        state.prepared.push_back(room);
        if set_aside {
            state.set_aside += room;
            state.full = true;
        }
        Self::settle(state);
    }

    /// The active segment that the log starts with.
    pub(crate) fn start(&self, room: u64) {
        let mut state = self.state.lock();
        state.physical += room;
        state.active += room;
    }

    /// The disk is full, or has space again.
    pub(crate) fn set_full(&self, full: bool) {
        let mut state = self.state.lock();
        state.full = full;
        if !full {
            state.set_aside = 0;
        }
        Self::settle(state);
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        self.state.lock().full
    }

    /// The size of a record that waits for a segment of its own, once nothing else is claimed and none holds it.
    pub(crate) fn wants_segment(&self) -> Option<u64> {
        let state = self.state.lock();
        match state.alone {
            Alone::Wanted { bytes, .. } if state.claimed == 0 && !state.fits_alone(bytes) => {
                Some(bytes)
            }
            Alone::Nobody | Alone::Wanted { .. } | Alone::Held => None,
        }
    }

    /// Bytes that a change could still take.
    pub(crate) fn free(&self) -> u64 {
        let state = self.state.lock();
        state.physical.saturating_sub(state.claimed)
    }

    /// Nobody gets room any more, because durability is lost.
    pub(crate) fn close_lost(&self, lost: &Lost) {
        self.close(Closed::Lost(lost.clone()));
    }

    /// Nobody gets room any more, because the store is closing.
    pub(crate) fn close_closing(&self) {
        self.close(Closed::Closing);
    }

    fn close(&self, why: Closed) {
        let mut state = self.state.lock();
        if !matches!(state.closed, Some(Closed::Lost(_))) {
            state.closed = Some(why);
        }
        Self::settle(state);
    }

    /// Lets waiters look at their deadlines.
    pub(crate) fn tick(&self) {
        let mut state = self.state.lock();
        let woken = state.wake_all();
        drop(state);
        wake(woken);
    }
}

fn wake(woken: Vec<(u64, Waker)>) {
    for (_, waker) in woken {
        waker.wake();
    }
}

/// A wait for room.
#[derive(Debug)]
pub(crate) struct Claim {
    room: Arc<Room>,
    bytes: u64,
    purpose: Purpose,
    deadline: Duration,
    waiter: Option<u64>,
}

impl Future for Claim {
    type Output = Result<Grant, WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let room = Arc::clone(&self.room);
        let mut state = room.state.lock();
        let waiter = *self.waiter.get_or_insert_with(|| {
            state.next_waiter += 1;
            state.next_waiter
        });
        if let Some(result) = room.attempt(&mut state, self.bytes, self.purpose, waiter) {
            drop(state);
            // Nothing is left to be withdrawn when this is dropped.
            self.waiter = None;
            let grant = |()| Grant {
                room: Arc::clone(&room),
                bytes: self.bytes,
            };
            return Poll::Ready(result.map(grant));
        }
        if room.clock.monotonic() >= self.deadline {
            let waited_ms = u64::try_from(room.wait.as_millis()).unwrap_or(u64::MAX);
            return Poll::Ready(Err(WriteError::Overloaded { waited_ms }));
        }
        state.waiters.retain(|(other, _)| *other != waiter);
        state.waiters.push((waiter, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter else { return };
        let mut state = self.room.state.lock();
        state.waiters.retain(|(other, _)| *other != waiter);
        if matches!(state.alone, Alone::Wanted { waiter: wanted, .. } if wanted == waiter) {
            state.alone = Alone::Nobody;
        }
        Room::settle(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(half: u64, pending: u64) -> Arc<Room> {
        Arc::new(Room::new(
            Arc::new(Clock::manual(1)),
            half * 2,
            pending,
            Duration::from_secs(5),
        ))
    }

    fn poll(claim: &mut Claim) -> Poll<Result<Grant, WriteError>> {
        Pin::new(claim).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_grant_leaves_what_a_rotation_may_leave_unused() {
        let room = room(100, 10_000);
        room.start(50);
        room.added(100, false);
        // 60 does not fit into the active 50, so 50 may be lost: 150 - 60 - 60 is what a second one finds.
        let first = room.try_claim(60, Purpose::Grow).unwrap();
        assert!(room.try_claim(31, Purpose::Grow).is_none());
        let second = room.try_claim(30, Purpose::Grow).unwrap();
        first.used(60);
        drop(second);
        room.rotated();
        room.written(60);
        assert_eq!(room.free(), 40);
        assert!(room.try_claim(40, Purpose::Grow).is_some());
    }

    #[test]
    fn a_record_above_half_a_segment_is_alone_and_gets_a_segment() {
        let room = room(100, 10_000);
        room.start(50);
        let other = room.try_claim(10, Purpose::Grow).unwrap();
        let mut large = room.claim(150, Purpose::Grow);
        assert!(poll(&mut large).is_pending());
        assert!(
            room.try_claim(1, Purpose::Grow).is_none(),
            "nobody passes a large record that waits"
        );
        assert_eq!(
            room.wants_segment(),
            None,
            "not before the others are written"
        );
        other.used(10);
        room.written(10);
        assert_eq!(room.wants_segment(), Some(150));
        room.added(150, false);
        let Poll::Ready(Ok(grant)) = poll(&mut large) else {
            panic!("it has its segment")
        };
        assert!(
            room.try_claim(1, Purpose::Grow).is_none(),
            "alone until it is written"
        );
        grant.used(150);
        room.rotated();
        room.written(150);
        room.added(200, false);
        assert!(room.try_claim(1, Purpose::Grow).is_some());
    }

    #[test]
    fn a_waiter_that_leaves_lets_the_others_go_on() {
        let room = room(100, 10_000);
        room.start(150);
        let small = room.try_claim(10, Purpose::Grow).unwrap();
        let mut large = room.claim(140, Purpose::Grow);
        assert!(poll(&mut large).is_pending());
        drop(large);
        assert!(room.try_claim(10, Purpose::Grow).is_some());
        drop(small);
    }

    #[test]
    fn on_a_full_disk_deletes_use_the_reserve_and_the_last_of_it_is_for_flushes() {
        let room = room(1 << 20, 1 << 30);
        room.start(100);
        let mut put = room.claim(200, Purpose::Grow);
        assert!(poll(&mut put).is_pending());
        room.added(FOR_EMPTY + 1_000, true);
        assert!(matches!(
            poll(&mut put),
            Poll::Ready(Err(WriteError::DiskFull))
        ));
        assert!(room.try_claim(300, Purpose::Shrink).is_some());
        assert!(room.try_claim(2_000, Purpose::Shrink).is_none());
        assert!(room.try_claim(2_000, Purpose::Empty).is_some());
        room.set_full(false);
        assert!(room.try_claim(2_000, Purpose::Grow).is_some());
    }

    #[test]
    fn bytes_that_wait_to_be_written_are_bounded() {
        let room = room(1_000, 100);
        room.start(10_000);
        let first = room.try_claim(90, Purpose::Grow).unwrap();
        let mut second = room.claim(20, Purpose::Grow);
        assert!(poll(&mut second).is_pending());
        first.used(90);
        room.written(90);
        assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
    }

    #[test]
    fn who_waits_too_long_is_told() {
        let clock = Arc::new(Clock::manual(1));
        let room = Arc::new(Room::new(clock, 100, 100, Duration::ZERO));
        assert!(matches!(
            poll(&mut room.claim(1, Purpose::Grow)),
            Poll::Ready(Err(WriteError::Overloaded { .. }))
        ));
    }
}
