//! Who waits for a revision to be written or durable, and their waking: once per published batch.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
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

#[derive(Debug)]
struct Waiter {
    id: u64,
    revision: u64,
    waker: Waker,
}

/// One level: the newest revision that reached it, and who waits for more.
#[derive(Debug, Default)]
struct Line {
    reached: AtomicU64,
    waiters: Mutex<Vec<Waiter>>,
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
        let mut waiters = line.waiters.lock();
        // Under the lock, so that nobody can look before and register after.
        line.reached.store(revision, Ordering::Release);
        let woken: Vec<Waiter> = waiters
            .extract_if(.., |waiter| waiter.revision <= revision)
            .collect();
        drop(waiters);
        for waiter in woken {
            waiter.waker.wake();
        }
    }

    /// Tells everybody that nothing more will become durable. Only the first reason is kept.
    pub(crate) fn fail(&self, lost: Lost) {
        drop(self.lost.set(lost));
        for line in [&self.written, &self.durable] {
            let woken = std::mem::take(&mut *line.waiters.lock());
            for waiter in woken {
                waiter.waker.wake();
            }
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
            id: None,
        }
    }
}

/// Resolves when its revision has reached its level, or durability is lost.
#[derive(Debug)]
pub(crate) struct Wait {
    acks: Arc<Acks>,
    level: Level,
    revision: u64,
    id: Option<u64>,
}

impl Future for Wait {
    type Output = Result<(), Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let acks = Arc::clone(&self.acks);
        let mut waiters = acks.line(self.level).waiters.lock();
        let outcome = if acks.reached(self.level) >= self.revision {
            Some(Ok(()))
        } else {
            acks.lost().cloned().map(Err)
        };
        if let Some(outcome) = outcome {
            forget(&mut waiters, self.id.take());
            return Poll::Ready(outcome);
        }
        forget(&mut waiters, self.id.take());
        let id = acks.next_id.fetch_add(1, Ordering::Relaxed);
        waiters.push(Waiter {
            id,
            revision: self.revision,
            waker: context.waker().clone(),
        });
        self.id = Some(id);
        Poll::Pending
    }
}

fn forget(waiters: &mut Vec<Waiter>, id: Option<u64>) {
    let position = id.and_then(|id| waiters.iter().position(|waiter| waiter.id == id));
    if let Some(position) = position {
        waiters.swap_remove(position);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.id.is_some() {
            forget(&mut self.acks.line(self.level).waiters.lock(), self.id);
        }
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
        assert_eq!(acks.durable.waiters.lock().len(), 1);
        drop(wait);
        assert!(acks.durable.waiters.lock().is_empty());
    }
}
