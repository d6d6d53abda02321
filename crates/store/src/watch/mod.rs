//! The hub: tells watchers of changes, in revision order, once each may be told.
//!
//! 1. Whoever makes a change leaves its event in a [`lane`], under the lock that gave it its revision.
//! 2. The log tells how far changes are written and durable: two atomic stores, and a bell where somebody watches.
//! 3. The hub's thread carries the events to the ring, walks over those that may be told by now, calls the watchers
//!    whom they concern ([`desk`]), and wakes them a few at a time, so that requests are served in between.
//! 4. A watcher that is woken reads the ring from the first event that concerns it.
//!
//! What is only announced is no change and has no place in their order. It stands in the ring like an event, so that it comes
//! in order, but only those who watched then are told.
//!
//! A watcher holds a place in the ring and nothing else, so a slow one costs nothing and slows nobody; where events that it
//! has not seen have left the ring, it is told so. It must not know the log, nor who sends what to whom.

mod desk;
mod event;
mod lane;
mod refill;
mod ring;
mod watcher;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

pub use event::{Change, Event, Filter, Flushed, Position};
pub(crate) use refill::Refill;
pub(crate) use ring::Bounds;
pub use watcher::{Seen, Watcher};

use crate::map::Keyspace;
use crate::options::Durability;
use desk::{Desk, SeatId, pass_of};
use lane::{Lane, Pending};
use ring::Ring;
use watcher::Start;

/// Revisions of keyspaces that are never logged start here, so that the log has no gap.
pub(crate) const MEMORY_REVISIONS: u64 = 1 << 63;
/// Events that are walked over with the desk locked.
const STEP: u64 = 256;
/// Watchers that are called with the desk locked.
const MANY: usize = 4_096;
/// Watchers that are woken at once; the next ones when these have looked.
const SLICE: usize = 64;
/// How long those who were woken are waited for: one whose reader has stopped never looks.
const PATIENCE: Duration = Duration::from_millis(2);

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// With the next change that may be told.
    Now,
    /// With the first event behind this one.
    Behind(Position),
}

/// Events that a watch would have to begin with are not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the events behind that one are not kept any more")]
pub struct NotKept;

/// What the store, the log and the watchers share.
#[derive(Debug)]
pub(crate) struct Hub {
    logged: Lane,
    memory: Lane,
    written: AtomicU64,
    durable: AtomicU64,
    desk: Mutex<Desk>,
    watchers: AtomicUsize,
    /// Behind which place each keyspace came into being, where that was not before the ring begins.
    births: Mutex<HashMap<u32, Position>>,
    /// Nobody is served any more.
    ended: AtomicBool,
    rung: AtomicBool,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The same, to be woken without a lock.
    sleeper: OnceLock<Thread>,
}

impl Hub {
    /// A hub whose log goes on behind `last_revision`; its thread runs until [`Hub::stop`].
    pub(crate) fn spawn(bounds: Bounds, refill: Refill, last_revision: u64) -> Arc<Self> {
        let hub = Arc::new(Self::new(bounds, refill, last_revision));
        let weak = Arc::downgrade(&hub);
        let run = move || {
            // Only while it works does the thread keep the hub: who drops the last other reference ends it.
            while let Some(hub) = weak.upgrade() {
                if hub.stop.load(Ordering::SeqCst) {
                    return;
                }
                if hub.rung.swap(false, Ordering::SeqCst) {
                    hub.round();
                } else {
                    drop(hub);
                    thread::park();
                }
            }
        };
        let thread = thread::Builder::new()
            .name("store-watch".to_owned())
            .spawn(run)
            .expect("the system lets a service start its threads");
        hub.sleeper.get_or_init(|| thread.thread().clone());
        *hub.thread.lock() = Some(thread);
        hub
    }

    fn new(bounds: Bounds, mut refill: Refill, last_revision: u64) -> Self {
        refill.ring.set_bounds(bounds);
        let memory = Ring::new(bounds, Position::whole(MEMORY_REVISIONS - 1));
        Self {
            logged: Lane::new(refill.ring, bounds, last_revision),
            memory: Lane::new(memory, bounds, MEMORY_REVISIONS - 1),
            written: AtomicU64::new(last_revision),
            durable: AtomicU64::new(last_revision),
            desk: Mutex::default(),
            watchers: AtomicUsize::new(0),
            births: Mutex::new(refill.births),
            ended: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
            sleeper: OnceLock::new(),
        }
    }

    /// Begins to tell what `revision` did to a logged keyspace. The caller holds the lock of the log's queue, under which the
    /// revision was taken, and tells the events in the order in which the record names them: that gives them their index.
    #[inline]
    pub(crate) fn tell_logged(&self, keyspace: u32, revision: u64) -> Teller<'_> {
        self.teller(&self.logged, keyspace, Some(revision))
    }

    /// Takes the next revision of those that are never logged, and begins to tell what it did.
    #[inline]
    pub(crate) fn tell_memory(&self, keyspace: u32) -> Teller<'_> {
        self.teller(&self.memory, keyspace, None)
    }

    /// Tells those who watch a logged keyspace now of something that has no place in the log: behind everything up to
    /// `newest`, the newest revision that was given out. The caller holds the lock of the log's queue, and lets it be
    /// revealed when it has given that back.
    pub(crate) fn announce_logged(&self, keyspace: u32, newest: u64, change: Change) {
        let mut pending = self.logged.pending();
        pending.push(keyspace, Position::whole(newest), change);
    }

    /// The same for a keyspace that is never logged.
    pub(crate) fn announce_in_memory(&self, keyspace: u32, change: Change) {
        let mut pending = self.memory.pending();
        let newest = Position::whole(pending.revision());
        pending.push(keyspace, newest, change);
    }

    /// Takes a revision that no change will ever have.
    pub(crate) fn take_unlogged(&self) -> u64 {
        self.memory.pending().take_revision()
    }

    fn teller<'h>(&'h self, lane: &'h Lane, keyspace: u32, revision: Option<u64>) -> Teller<'h> {
        let mut pending = lane.pending();
        Teller {
            revision: revision.unwrap_or_else(|| pending.take_revision()),
            bell: revision.is_none() && self.watchers.load(Ordering::SeqCst) > 0,
            pending,
            hub: self,
            keyspace,
            index: 0,
        }
    }

    /// The newest revision of those that are never logged.
    pub(crate) fn newest_in_memory(&self) -> u64 {
        self.memory.pending().revision()
    }

    /// A keyspace came into being by `revision`: nobody can have watched it before.
    pub(crate) fn born(&self, keyspace: &Keyspace, revision: u64) {
        let position = match keyspace.durability() {
            Durability::Synced | Durability::Written => revision,
            Durability::Memory => self.newest_in_memory(),
        };
        self.births
            .lock()
            .insert(keyspace.id(), Position::whole(position));
    }

    /// A keyspace was dropped by `revision`: who watches it is told so, once that is as durable as it promised.
    pub(crate) fn died(&self, keyspace: &Keyspace, revision: u64) {
        self.births.lock().remove(&keyspace.id());
        match keyspace.durability() {
            Durability::Synced | Durability::Written => self.tell_logged(keyspace.id(), revision),
            Durability::Memory => self.tell_memory(keyspace.id()),
        }
        .tell(Change::Dropped);
    }

    /// Everything up to `revision` was handed to the operating system.
    pub(crate) fn written(&self, revision: u64) {
        self.written.store(revision, Ordering::SeqCst);
    }

    /// Everything up to `revision` is on disk.
    pub(crate) fn durable(&self, revision: u64) {
        self.durable.store(revision, Ordering::SeqCst);
    }

    /// Lets watchers hear of what has been written or become durable.
    #[inline]
    pub(crate) fn reveal(&self) {
        if self.watchers.load(Ordering::SeqCst) > 0 {
            self.ring();
        }
    }

    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.sleeper.get()
        {
            thread.unpark();
        }
    }

    /// Changes how much is kept.
    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        self.logged.set_bounds(bounds);
        self.memory.set_bounds(bounds);
    }

    /// How many watch.
    pub(crate) fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    fn lane(&self, durability: Durability) -> &Lane {
        match durability {
            Durability::Synced | Durability::Written => &self.logged,
            Durability::Memory => &self.memory,
        }
    }

    /// The newest revision that may be told of a keyspace with this promise.
    fn told(&self, durability: Durability) -> u64 {
        match durability {
            Durability::Synced if cfg!(feature = "bug-watch-before-durable") => u64::MAX,
            Durability::Synced => self.durable.load(Ordering::SeqCst),
            Durability::Written => self.written.load(Ordering::SeqCst),
            Durability::Memory => u64::MAX,
        }
    }

    /// Begins a watch of `keyspace`.
    ///
    /// # Errors
    /// [`NotKept`] where events behind the given one have left.
    pub(crate) fn watch(
        self: &Arc<Self>,
        keyspace: &Arc<Keyspace>,
        filter: Filter,
        from: From,
    ) -> Result<Watcher, NotKept> {
        let durability = keyspace.durability();
        if let From::Behind(position) = from
            && self
                .births
                .lock()
                .get(&keyspace.id())
                .is_some_and(|birth| position < *birth)
        {
            return Err(NotKept);
        }
        // Counted before anything is read, so that whatever comes after rings the bell.
        self.watchers.fetch_add(1, Ordering::SeqCst);
        let begun = self.begin(durability, from);
        let Ok(start) = begun else {
            self.watchers.fetch_sub(1, Ordering::SeqCst);
            return Err(NotKept);
        };
        let seat = self.desk.lock().sit(keyspace, &filter);
        self.ring();
        let (hub, keyspace) = (Arc::clone(self), Arc::clone(keyspace));
        Ok(Watcher::new(hub, keyspace, filter, (seat, start)))
    }

    /// Where a watch begins.
    fn begin(&self, durability: Durability, from: From) -> Result<Start, NotKept> {
        let lane = self.lane(durability);
        let told = self.told(durability);
        let newest_memory = lane.settle();
        let ring = lane.ring();
        let (next, last) = match from {
            From::Now => {
                let told = told.min(newest_memory.max(self.written.load(Ordering::SeqCst)));
                (ring.up_to(told), Position::whole(told))
            }
            From::Behind(position) => (ring.behind(position).ok_or(NotKept)?, position),
        };
        let since = ring.end();
        drop(ring);
        Ok(Start { next, last, since })
    }

    fn rise(&self, seat: SeatId) {
        let all_answered = self.desk.lock().rise(seat);
        self.watchers.fetch_sub(1, Ordering::SeqCst);
        self.answered(all_answered);
    }

    fn answered(&self, all: bool) {
        if all && let Some(thread) = self.sleeper.get() {
            thread.unpark();
        }
    }

    /// Ends all watches; those to come end at once.
    pub(crate) fn end_watches(&self) {
        self.ended.store(true, Ordering::SeqCst);
        let wakers = self.desk.lock().end();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Ends all watches and the thread.
    pub(crate) fn stop(&self) {
        self.end_watches();
        self.stop.store(true, Ordering::SeqCst);
        self.ring();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the watchers panicked");
        }
    }

    /// Carries events on and calls whom they concern.
    fn round(&self) {
        // In this order: the events of everything that may be told are in the ring then, and a promise is read later.
        let [durable, written] =
            [Durability::Synced, Durability::Written].map(|one| self.told(one));
        self.logged.settle();
        let memory = self.memory.settle();
        for (durability, told) in [
            (Durability::Synced, durable),
            (Durability::Written, written),
            (Durability::Memory, memory),
        ] {
            while self.walk(durability, told) {}
        }
    }

    /// Walks over some events up to the revision `told` and wakes whom they concern. `true` where there are more.
    fn walk(&self, durability: Durability, told: u64) -> bool {
        let pass = pass_of(durability);
        let mut called = Vec::new();
        let mut desk = self.desk.lock();
        let Some(cursor) = desk.cursors.get(pass).copied() else {
            return false;
        };
        let ring = self.lane(durability).ring();
        let end = ring.up_to(told);
        let mut seq = cursor.seq;
        if seq < ring.base() {
            desk.call_all(pass, seq, ring.base(), &mut called);
            seq = ring.base();
        }
        let to = end.min(seq.saturating_add(STEP)).max(seq);
        let mut to = to;
        for (seq, slot) in ring.range(seq, to) {
            desk.call(pass, slot.keyspace, seq, slot.change.reach(), &mut called);
            if called.len() > MANY {
                to = seq + 1;
                break;
            }
        }
        drop(ring);
        let more = to < end;
        if let Some(cursor) = desk.cursors.get_mut(pass) {
            cursor.seq = to;
            if !more {
                cursor.revision = cursor.revision.max(told);
            }
        }
        drop(desk);
        self.wake(&called);
        more
    }

    /// Wakes slice by slice. The next slice waits until those of the last have looked, so that however many watch, a request
    /// finds a short queue before it.
    fn wake(&self, called: &[SeatId]) {
        for slice in called.chunks(SLICE) {
            let wakers = self.desk.lock().begin_slice(slice);
            for waker in wakers {
                waker.wake();
            }
            if called.len() > SLICE && !self.desk.lock().all_answered() {
                thread::park_timeout(PATIENCE);
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // The thread finds nothing to come back to.
        if let Some(thread) = self.sleeper.get() {
            thread.unpark();
        }
    }
}

/// Tells what one revision did. While it is there, nothing else gets a place in its order of changes.
#[derive(Debug)]
pub(crate) struct Teller<'h> {
    pending: MutexGuard<'h, Pending>,
    hub: &'h Hub,
    keyspace: u32,
    revision: u64,
    index: u32,
    /// The hub's thread has something to do.
    bell: bool,
}

impl Teller<'_> {
    /// The revision that it tells of.
    #[inline]
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The next thing that the revision did.
    #[inline]
    pub(crate) fn tell(&mut self, change: Change) {
        let position = Position {
            revision: self.revision,
            index: self.index,
        };
        self.index += 1;
        self.bell |= self.pending.push(self.keyspace, position, change);
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        if self.bell {
            self.hub.ring();
        }
    }
}
