//! What is known of one source: shown to whoever asks, changed by the task that runs it. It must not run anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::RunError;
use crate::metrics::SourceMetrics;

/// A source as it is.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name, and its key.
    pub name: Arc<str>,
    /// What it does; `None` where that cannot be done.
    pub work: Option<Work>,
    /// How it is.
    pub state: State,
    /// Why what it should do cannot be done.
    pub reason: Option<Arc<str>>,
    /// When a run last began, by the clock on the wall, in Unix milliseconds.
    pub last_run_ms: Option<u64>,
    /// When a run last ended well, likewise.
    pub last_success_ms: Option<u64>,
    /// Why a run last failed, whatever came after.
    pub last_failure: Option<LastFailure>,
    /// When the rule asks for the next run, likewise; one that is asked for otherwise comes sooner.
    pub next_run_ms: Option<i64>,
    /// Runs since the start.
    pub runs: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// The value that is kept, where there is one.
    pub held: Option<Held>,
    /// Whether that is older than it should be.
    pub stale: bool,
}

/// What a source does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Work {
    /// Where its value goes.
    pub keyspace: Arc<str>,
    /// Where its value comes from.
    pub kind: Kind,
    /// When, as it was said.
    pub rule: Arc<str>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Fixed words.
    Static,
    /// An HTTP request.
    Http,
    /// A file.
    File,
}

/// How a source is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// What is said of it cannot be done.
    Invalid,
    /// It has not run yet.
    Waiting,
    /// It runs now.
    Running,
    /// The last run went well.
    Ok,
    /// The last run failed.
    Failing,
}

/// Why a run failed, and when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastFailure {
    /// By the clock on the wall, in Unix milliseconds.
    pub at_ms: u64,
    /// The kind of failure in a word.
    pub code: &'static str,
    /// The same as a sentence without secrets.
    pub detail: Arc<str>,
}

/// A value that is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held {
    /// Its bytes.
    pub len: usize,
    /// When it was last known to be the newest one, in Unix milliseconds of the engine's clock.
    pub confirmed_at_ms: u64,
}

/// What is known of one source. Who edits a source goes on with its record.
#[derive(Debug)]
pub(super) struct Record {
    name: Arc<str>,
    known: Mutex<Known>,
    /// [`Held::confirmed_at_ms`], for those who answer the value; 0 where nothing is held.
    confirmed_at_ms: AtomicU64,
    asked: Notify,
    figures: Arc<SourceMetrics>,
}

#[derive(Debug)]
struct Known {
    work: Result<Work, Arc<str>>,
    /// Somebody has begun a run, or asked for one that begins at once.
    running: bool,
    /// How the last run ended.
    last: Option<Ended>,
    /// It was told that it fails, and not yet that it works again.
    told: bool,
    last_run_ms: Option<u64>,
    last_success_ms: Option<u64>,
    last_failure: Option<LastFailure>,
    next_run: Option<Timestamp>,
    held: Option<Held>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    Well,
    Badly,
}

/// What has become of the wish for a run.
#[derive(Debug)]
pub(super) enum Asked {
    /// It begins. How the source is now.
    Begun(Box<Facts>),
    /// One goes on.
    Running,
    /// None is possible, and why.
    Invalid(Arc<str>),
}

/// What has become of a source by a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// It works, or fails, as before.
    None,
    /// It fails, and did not before.
    Broken,
    /// It works again.
    Mended,
}

impl Known {
    /// `false` where somebody has claimed it already.
    fn claim(&mut self, now_ms: u64) -> bool {
        let claimed = !self.running;
        if claimed {
            (self.running, self.last_run_ms) = (true, Some(now_ms));
        }
        claimed
    }

    fn state(&self) -> State {
        match (&self.work, self.running, self.last) {
            (Err(_), _, _) => State::Invalid,
            (Ok(_), true, _) => State::Running,
            (Ok(_), false, None) => State::Waiting,
            (Ok(_), false, Some(Ended::Well)) => State::Ok,
            (Ok(_), false, Some(Ended::Badly)) => State::Failing,
        }
    }

    fn is_failing(&self) -> bool {
        self.work.is_err() || self.last == Some(Ended::Badly)
    }

    fn is_stale(&self) -> bool {
        self.held.is_some() && self.is_failing()
    }
}

/// Whether the value that is kept by what was done before is surely that of what is done from now on.
fn is_kept_on(before: &Result<Work, Arc<str>>, now: &Result<Work, Arc<str>>) -> bool {
    match (before, now) {
        (_, Err(_)) => true,
        (Ok(before), Ok(now)) => before.keyspace == now.keyspace,
        (Err(_), Ok(_)) => false,
    }
}

impl Record {
    pub(super) fn new(name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self {
            figures: SourceMetrics::new(Arc::clone(&name)),
            name,
            known: Mutex::new(Known {
                work: Err("".into()),
                running: false,
                last: None,
                told: false,
                last_run_ms: None,
                last_success_ms: None,
                last_failure: None,
                next_run: None,
                held: None,
            }),
            confirmed_at_ms: AtomicU64::new(0),
            asked: Notify::new(),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn figures(&self) -> &Arc<SourceMetrics> {
        &self.figures
    }

    /// Something else is to be done from now on, and whatever was being done has ended.
    pub(super) fn begin(&self, work: Result<Work, Arc<str>>, next_run: Option<Timestamp>) {
        self.change(|known| {
            if !is_kept_on(&known.work, &work) {
                known.held = None;
            }
            (known.work, known.next_run) = (work, next_run);
            (known.running, known.last) = (false, None);
        });
    }

    /// Claims the next run, unless somebody has.
    pub(super) fn claim(&self, now_ms: u64) {
        self.change(|known| known.claim(now_ms));
    }

    /// Claims a run and has it begun, where one is possible and none is claimed.
    pub(super) fn ask(&self, now_ms: u64) -> Asked {
        let asked = self.change(|known| {
            if let Err(reason) = &known.work {
                Asked::Invalid(Arc::clone(reason))
            } else if known.claim(now_ms) {
                Asked::Begun(Box::new(self.facts_of(known)))
            } else {
                Asked::Running
            }
        });
        if matches!(asked, Asked::Begun(_)) {
            self.asked.notify_one();
        }
        asked
    }

    /// Resolves when somebody else has claimed a run.
    pub(super) async fn asked(&self) {
        // What was asked for may have been done already, by a run that began just then.
        while !self.known.lock().running {
            self.asked.notified().await;
        }
    }

    /// A run has ended, and at `now_ms` by the clock on the wall.
    pub(super) fn end(&self, ended: Result<Held, &RunError>, now_ms: u64) -> Change {
        let change = self.change(|known| {
            known.running = false;
            let before = known.last;
            match &ended {
                Ok(held) => {
                    (known.last, known.last_success_ms) = (Some(Ended::Well), Some(now_ms));
                    known.held = Some(*held);
                }
                Err(error) => {
                    known.last = Some(Ended::Badly);
                    known.last_failure = Some(LastFailure {
                        at_ms: now_ms,
                        code: error.code(),
                        detail: error.to_string().into(),
                    });
                }
            }
            let was_told = known.told;
            known.told = known.last == Some(Ended::Badly);
            match (known.told, was_told) {
                (true, _) if before != Some(Ended::Badly) => Change::Broken,
                (false, true) => Change::Mended,
                _ => Change::None,
            }
        });
        match ended {
            Ok(_) => self.figures.count_success(now_ms / 1000),
            Err(_) => self.figures.count_failure(),
        }
        change
    }

    /// The rule asks for the next run then.
    pub(super) fn set_next_run(&self, next_run: Option<Timestamp>) {
        self.known.lock().next_run = next_run;
    }

    /// The value is not there any more.
    pub(super) fn lose_held(&self) {
        self.change(|known| known.held = None);
    }

    /// This was found, where nothing was known to be kept.
    pub(super) fn find_held(&self, held: Held) {
        self.change(|known| {
            known.held.get_or_insert(held);
        });
    }

    pub(super) fn is_held(&self) -> bool {
        self.known.lock().held.is_some()
    }

    /// When the value was last known to be the newest one, where that was since the start.
    #[inline]
    pub(super) fn confirmed_at_ms(&self) -> Option<u64> {
        match self.confirmed_at_ms.load(Ordering::Relaxed) {
            0 => None,
            at_ms => Some(at_ms),
        }
    }

    pub(super) fn facts(&self) -> Facts {
        self.facts_of(&self.known.lock())
    }

    fn facts_of(&self, known: &Known) -> Facts {
        let (runs, failures) = self.figures.counts();
        Facts {
            name: Arc::clone(&self.name),
            work: known.work.clone().ok(),
            state: known.state(),
            reason: known.work.clone().err(),
            last_run_ms: known.last_run_ms,
            last_success_ms: known.last_success_ms,
            last_failure: known.last_failure.clone(),
            next_run_ms: known.next_run.map(Timestamp::as_millisecond),
            runs,
            failures,
            held: known.held,
            stale: known.is_stale(),
        }
    }

    /// Changes what is known, and everything that follows from it.
    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock();
        let changed = change(&mut known);
        let confirmed = known.held.map_or(0, |held| held.confirmed_at_ms);
        self.confirmed_at_ms.store(confirmed, Ordering::Relaxed);
        self.figures.set_state(known.is_failing(), known.is_stale());
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(record: &Record) {
        begin_in(record, "default");
    }

    fn begin_in(record: &Record, keyspace: &str) {
        let work = Work {
            keyspace: keyspace.into(),
            kind: Kind::Static,
            rule: "@hourly".into(),
        };
        record.begin(Ok(work), None);
    }

    const HELD: Held = Held {
        len: 3,
        confirmed_at_ms: 9_000,
    };

    fn record() -> Record {
        let record = Record::new("a");
        begin(&record);
        record
    }

    #[test]
    fn a_run_is_claimed_once_at_a_time() {
        let record = record();
        assert_eq!(record.facts().state, State::Waiting);
        let Asked::Begun(facts) = record.ask(1) else {
            panic!()
        };
        assert_eq!(facts.state, State::Running);
        assert!(matches!(record.ask(2), Asked::Running));
        record.claim(2);
        assert_eq!(record.facts().last_run_ms, Some(1));
        record.end(Ok(HELD), 3);
        assert_eq!(record.facts().state, State::Ok);
        record.claim(4);
        assert_eq!(record.facts().last_run_ms, Some(4));
        assert!(matches!(record.ask(5), Asked::Running));
        record.begin(Err("no".into()), None);
        assert!(matches!(record.ask(6), Asked::Invalid(_)));
        assert_eq!(record.facts().reason.as_deref(), Some("no"));
    }

    #[test]
    fn a_change_is_told_once_and_an_edit_begins_anew() {
        let (record, error) = (record(), RunError::Panicked);
        for (ended, change) in [
            (Ok(HELD), Change::None),
            (Err(&error), Change::Broken),
            (Err(&error), Change::None),
            (Ok(HELD), Change::Mended),
            (Ok(HELD), Change::None),
            (Err(&error), Change::Broken),
        ] {
            assert_eq!(record.end(ended, 1), change);
        }
        begin(&record);
        assert_eq!(record.end(Err(&error), 1), Change::Broken);
        begin(&record);
        assert_eq!(record.end(Ok(HELD), 1), Change::Mended);
        assert_eq!((record.facts().runs, record.facts().failures), (8, 4));
    }

    #[test]
    fn a_value_is_kept_in_mind_for_as_long_as_it_is_surely_there() {
        let record = record();
        record.end(Ok(HELD), 1);
        begin(&record);
        assert_eq!(record.facts().held, Some(HELD));
        record.begin(Err("no".into()), None);
        assert_eq!(record.facts().held, Some(HELD));
        // Who knows where that was to be.
        begin(&record);
        assert_eq!(record.facts().held, None);
        record.find_held(HELD);
        assert_eq!(record.facts().held, Some(HELD));
        begin_in(&record, "other");
        assert_eq!(record.facts().held, None);
    }

    #[test]
    fn a_value_is_stale_while_the_source_does_not_work() {
        let (record, error) = (record(), RunError::Panicked);
        record.end(Err(&error), 1_000);
        assert!(!record.facts().stale, "nothing is held");
        record.end(Ok(HELD), 2_000);
        assert_eq!(record.confirmed_at_ms(), Some(9_000));
        record.end(Err(&error), 3_000);
        let facts = record.facts();
        assert!(facts.stale);
        assert_eq!((facts.state, facts.held), (State::Failing, Some(HELD)));
        assert_eq!(facts.last_success_ms, Some(2_000));
        assert_eq!(facts.last_failure.unwrap().code, "internal");
        record.begin(Err("no".into()), None);
        assert!(record.facts().stale);
        record.lose_held();
        assert!(!record.facts().stale);
        assert_eq!(record.confirmed_at_ms(), None);
    }
}
