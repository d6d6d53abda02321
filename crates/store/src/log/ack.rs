//! Who waits for a revision to be written or durable, and their waking.
//!
//! Waiters are kept per thread that polls them. A published batch wakes one waiter of each such thread, and that one wakes
//! the others: waking a task from another thread costs a system call, waking it from its own costs a push. A waiter that
//! goes away before it was polled passes the duty on.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::Lost;

/// How far a change has come on its way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Handed to the operating system.
    Written,
    /// On disk.
    Durable,
}

/// Most groups of waiters; threads beyond that share.
const GROUPS: usize = 32;

thread_local! {
    static THREAD: usize = {
        static NEXT: AtomicUsize = const { AtomicUsize::new(0) };
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    revision: u64,
    waker: Waker,
}

/// The waiters of one thread.
#[derive(Debug, Default)]
struct Group {
    waiters: Mutex<Vec<Waiter>>,
}

impl Group {
    /// Wakes every waiter up to `revision`.
    fn wake_all(&self, revision: u64) {
        let mut waiters = self.waiters.lock();
        let woken: Vec<Waiter> = waiters
            .extract_if(.., |waiter| waiter.revision <= revision)
            .collect();
        drop(waiters);
        for waiter in woken {
            waiter.waker.wake();
        }
    }

    /// Wakes one waiter up to `revision`, who wakes the others.
    fn wake_one(&self, revision: u64) {
        let mut waiters = self.waiters.lock();
        let first = waiters
            .iter()
            .position(|waiter| waiter.revision <= revision);
        let woken = first.map(|first| waiters.swap_remove(first));
        drop(waiters);
        if let Some(waiter) = woken {
            waiter.waker.wake();
        }
    }
}

/// One level: the newest revision that reached it, and who waits for more.
#[derive(Debug, Default)]
struct Line {
    reached: AtomicU64,
    groups: [Group; GROUPS],
    /// Groups from this one on have never had a waiter.
    used: AtomicUsize,
}

/// The two levels of a log and its end.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    written: Line,
    durable: Line,
    lost: OnceLock<Lost>,
    next_id: AtomicU64,
}

impl Acks {
    /// Everything up to `revision` is durable already.
    pub(crate) fn starting_at(revision: u64) -> Self {
        let acks = Self::default();
        acks.written.reached.store(revision, Ordering::Release);
        acks.durable.reached.store(revision, Ordering::Release);
        acks
    }

    fn line(&self, level: Level) -> &Line {
        match level {
            Level::Written => &self.written,
            Level::Durable => &self.durable,
        }
    }

    /// The newest revision that reached `level`.
    #[inline]
    pub(crate) fn reached(&self, level: Level) -> u64 {
        self.line(level).reached.load(Ordering::Acquire)
    }

    /// Tells that everything up to `revision` has reached `level`.
    pub(crate) fn publish(&self, level: Level, revision: u64) {
        let line = self.line(level);
        // Before any group is locked: who registers after its group was looked at sees this.
        line.reached.store(revision, Ordering::SeqCst);
        for group in line.groups.iter().take(line.used.load(Ordering::SeqCst)) {
            group.wake_one(revision);
        }
    }

    /// Tells everybody that nothing more will become durable. Only the first reason is kept.
    pub(crate) fn fail(&self, lost: Lost) {
        drop(self.lost.set(lost));
        for group in self.written.groups.iter().chain(&self.durable.groups) {
            group.wake_all(u64::MAX);
        }
    }

    /// Why nothing more becomes durable, where that is so.
    pub(crate) fn lost(&self) -> Option<&Lost> {
        self.lost.get()
    }

    /// A wait until `revision` has reached `level`.
    pub(crate) fn wait(self: &Arc<Self>, level: Level, revision: u64) -> Wait {
        Wait {
            acks: Arc::clone(self),
            level,
            revision,
            registered: None,
        }
    }
}

/// Resolves when its revision has reached its level, or durability is lost.
#[derive(Debug)]
pub(crate) struct Wait {
    acks: Arc<Acks>,
    level: Level,
    revision: u64,
    /// Its group and its id there, from the first poll on.
    registered: Option<(usize, u64)>,
}

impl Wait {
    /// Takes the waiter out of its group; where it was woken, the duty to wake the others comes with that.
    fn leave(&mut self) {
        let Some((group, id)) = self.registered.take() else {
            return;
        };
        let line = self.acks.line(self.level);
        let Some(group) = line.groups.get(group) else {
            return;
        };
        let mut waiters = group.waiters.lock();
        let position = waiters.iter().position(|waiter| waiter.id == id);
        if let Some(position) = position {
            waiters.swap_remove(position);
            return;
        }
        drop(waiters);
        group.wake_all(line.reached.load(Ordering::Acquire));
    }
}

impl Future for Wait {
    type Output = Result<(), Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.leave();
        let acks = Arc::clone(&self.acks);
        let line = acks.line(self.level);
        let thread = THREAD.with(|thread| *thread) % GROUPS;
        let Some(group) = line.groups.get(thread) else {
            return Poll::Pending;
        };
        // Written once per thread: afterwards all threads only read it.
        if line.used.load(Ordering::SeqCst) <= thread {
            line.used.fetch_max(thread + 1, Ordering::SeqCst);
        }
        let mut waiters = group.waiters.lock();
        if line.reached.load(Ordering::SeqCst) >= self.revision {
            return Poll::Ready(Ok(()));
        }
        if let Some(lost) = acks.lost() {
            return Poll::Ready(Err(lost.clone()));
        }
        let id = acks.next_id.fetch_add(1, Ordering::Relaxed);
        waiters.push(Waiter {
            id,
            revision: self.revision,
            waker: context.waker().clone(),
        });
        drop(waiters);
        self.registered = Some((thread, id));
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(wait: &mut Wait) -> Poll<Result<(), Lost>> {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_waiter_is_released_by_its_own_level_and_revision() {
        let acks = Arc::new(Acks::starting_at(3));
        assert!(poll(&mut acks.wait(Level::Durable, 3)).is_ready());
        let mut wait = acks.wait(Level::Durable, 5);
        assert!(poll(&mut wait).is_pending());
        acks.publish(Level::Written, 5);
        acks.publish(Level::Durable, 4);
        assert!(poll(&mut wait).is_pending());
        acks.publish(Level::Durable, 5);
        assert!(matches!(poll(&mut wait), Poll::Ready(Ok(()))));
    }

    #[test]
    fn a_lost_log_fails_what_was_not_durable_and_nothing_else() {
        let acks = Arc::new(Acks::starting_at(3));
        let mut wait = acks.wait(Level::Durable, 4);
        assert!(poll(&mut wait).is_pending());
        acks.fail(Lost {
            reason: "sync failed".into(),
        });
        assert!(matches!(poll(&mut wait), Poll::Ready(Err(_))));
        assert!(matches!(
            poll(&mut acks.wait(Level::Durable, 3)),
            Poll::Ready(Ok(()))
        ));
    }

    #[test]
    fn who_stops_waiting_leaves_nothing_behind() {
        let acks = Arc::new(Acks::starting_at(0));
        let mut wait = acks.wait(Level::Durable, 4);
        assert!(poll(&mut wait).is_pending());
        assert!(poll(&mut wait).is_pending());
        assert_eq!(waiting(&acks), 1);
        drop(wait);
        assert_eq!(waiting(&acks), 0);
    }

    fn waiting(acks: &Acks) -> usize {
        acks.durable
            .groups
            .iter()
            .map(|group| group.waiters.lock().len())
            .sum()
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_batch_wakes_one_waiter_of_a_thread_and_that_one_the_others() {
        let acks = Arc::new(Acks::starting_at(0));
        let counts: Vec<_> = (0..5).map(|_| Arc::new(Count::default())).collect();
        let mut waits: Vec<_> = (0..5).map(|n| acks.wait(Level::Durable, n + 1)).collect();
        for (wait, count) in waits.iter_mut().zip(&counts) {
            let waker = Waker::from(Arc::clone(count));
            assert!(
                Pin::new(wait)
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        let woken = || {
            counts
                .iter()
                .map(|count| count.0.load(Ordering::Relaxed))
                .collect::<Vec<_>>()
        };
        acks.publish(Level::Durable, 3);
        assert_eq!(woken().iter().sum::<usize>(), 1, "one for the thread");
        let leader = woken().iter().position(|count| *count == 1).unwrap();
        assert!(poll(&mut waits[leader]).is_ready());
        assert_eq!(
            woken(),
            [1, 1, 1, 0, 0],
            "and it wakes the others that are served"
        );
        // One that goes away before it was polled passes the duty on.
        acks.publish(Level::Durable, 5);
        let leader = woken()
            .iter()
            .skip(3)
            .position(|count| *count == 1)
            .unwrap()
            + 3;
        drop(waits.remove(leader));
        assert_eq!(woken(), [1, 1, 1, 1, 1]);
    }
}
