//! The life of a source: it runs at once, then whenever its rule says so, somebody asks for it, or its value is gone; one run
//! after the other. It must not know what a run does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::record::{Change, Record};
use super::run::Run;
use super::schedule::{Look, Schedule};
use crate::keyspace::{Keyspaces, News};

/// How often it is looked whether the value is still there, although nobody has told of anything.
const CHECK: Duration = Duration::from_mins(1);

/// A source that lives.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) run: Run,
    pub(super) record: Arc<Record>,
    pub(super) schedule: Schedule,
    /// A run by the rule begins up to so much later.
    pub(super) jitter: Duration,
    /// What happens to its keyspace as a whole.
    pub(super) news: News,
}

impl Life {
    /// Never ends.
    pub(super) async fn live(mut self) {
        let keyspaces = self.run.keyspaces.clone();
        loop {
            // Whoever has claimed it already wants this one.
            self.record.claim(keyspaces.wall_ms());
            let ended = self.run.once().await;
            // What was due while it ran is let go.
            self.schedule.pass(clock(&keyspaces));
            self.record.set_next_run(self.schedule.due());
            let change = self
                .record
                .end(ended.as_ref().copied(), keyspaces.wall_ms());
            if let Err(error) = &ended {
                tracing::debug!(source = &**self.record.name(), code = error.code(), %error, "a run failed");
            }
            self.tell(change);
            self.pause(&keyspaces).await;
        }
    }

    /// Resolves when it is to run again.
    async fn pause(&mut self, keyspaces: &Keyspaces) {
        let Self {
            run,
            record,
            schedule,
            jitter,
            news,
        } = self;
        let jitter = *jitter;
        let happened = tokio::select! {
            () = record.asked() => false,
            () = news.about(&run.keyspace) => true,
            () = gone(run, record) => true,
            () = due(schedule, record, keyspaces, jitter) => false,
        };
        if happened && is_gone(run).await {
            record.lose_held();
        }
    }

    /// Says it once where something has changed.
    fn tell(&self, change: Change) {
        let facts = self.record.facts();
        let source = &*facts.name;
        match (change, facts.last_failure) {
            (Change::Broken, Some(failure)) => tracing::warn!(
                source,
                code = failure.code,
                reason = &*failure.detail,
                "a source fails: what it wrote last stays"
            ),
            (Change::Mended, _) => tracing::info!(source, "a source works again"),
            (Change::Broken | Change::None, _) => {}
        }
    }
}

/// What the clock on the wall shows.
pub(super) fn clock(keyspaces: &Keyspaces) -> Timestamp {
    let shown = i64::try_from(keyspaces.wall_ms()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(shown).unwrap_or(Timestamp::MAX)
}

/// Resolves when the rule asks for a run and the jitter is over. What is due meanwhile is the same run.
async fn due(schedule: &mut Schedule, record: &Record, keyspaces: &Keyspaces, jitter: Duration) {
    loop {
        match schedule.look(clock(keyspaces)) {
            Look::Wait(wait) => {
                record.set_next_run(schedule.due());
                sleep(wait).await;
            }
            Look::Due => return sleep(part_of(jitter)).await,
        }
    }
}

/// Resolves when a value that was kept is not there any more.
async fn gone(run: &Run, record: &Record) {
    loop {
        sleep(CHECK).await;
        if record.is_held() && is_gone(run).await {
            return;
        }
    }
}

/// Whether the value is surely not there any more.
async fn is_gone(run: &Run) -> bool {
    match run.is_kept().await {
        Ok(kept) => !kept,
        // What cannot be found out is taken to be as it was.
        Err(_unknown) => false,
    }
}

/// Any part of a time, each as likely as any other.
fn part_of(whole: Duration) -> Duration {
    if whole.is_zero() {
        return whole;
    }
    // Without random numbers all wait for the whole of it.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    whole.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_never_more_than_the_whole() {
        let whole = Duration::from_millis(100);
        let parts: Vec<_> = (0..1000).map(|_| part_of(whole)).collect();
        assert!(parts.iter().all(|part| *part <= whole));
        assert!(parts.iter().any(|part| *part > whole / 2));
        assert!(parts.iter().any(|part| *part < whole / 2));
        assert_eq!(part_of(Duration::ZERO), Duration::ZERO);
    }
}
