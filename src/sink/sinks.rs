//! Every sink of this service: started, given new options, stopped, and asked. It must not know how one works.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::backlog::Backlog as _;
use super::kept::Kept;
use super::ledger::Choice;
use super::options::Options;
use super::shared::{Ended, Shared};
use super::status::{Passed, State, Status, Trouble};
use super::worker::Worker;
use crate::keyspace::{Keyspaces, Refusal, Waiting};
use crate::metrics::{SinkFigures, SinkMetrics};
use crate::outbound::Outbound;

/// How long a sink that has nothing more to do may take to end, after it was told to give up.
const LEAVE: Duration = Duration::from_secs(1);

/// The sinks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sinks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    outbound: Outbound,
    keyspaces: Keyspaces,
    /// By the keyspace's name.
    running: Mutex<BTreeMap<String, Running>>,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    kept: Kept,
    task: JoinHandle<()>,
}

/// Why a sink did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    /// The keyspace has none.
    #[error("the keyspace {keyspace:?} has no sink")]
    NotFound {
        /// The keyspace.
        keyspace: String,
    },
    /// Not everything was passed on.
    #[error("{0}")]
    Trouble(Trouble),
}

impl Sinks {
    /// None yet.
    pub fn new(outbound: Outbound, keyspaces: Keyspaces) -> Self {
        Self(Arc::new(Inner {
            outbound,
            keyspaces,
            running: Mutex::default(),
        }))
    }

    /// Starts the sinks of these keyspaces, gives those that run their options, and ends the others. The keyspaces are there.
    ///
    /// What waits already when a sink starts is closed before anything new comes: behind a restored backup a person can then
    /// decide about exactly what was in it.
    pub async fn set(&self, options: &BTreeMap<String, Options>) {
        for running in self.gone(options) {
            // What it does now is finished, and what remains is kept.
            running.shared.stop(Instant::now());
            leave(running).await;
        }
        for (keyspace, options) in options {
            if !self.is_changed(keyspace, options) {
                continue;
            }
            if let Err(error) = self.start(keyspace, options.clone()).await {
                tracing::error!(keyspace, %error, "the sink cannot be started");
            }
        }
    }

    fn gone(&self, options: &BTreeMap<String, Options>) -> Vec<Running> {
        let mut running = self.0.running.lock();
        let gone = running.extract_if(.., |keyspace, _| !options.contains_key(keyspace));
        gone.map(|(_, running)| running).collect()
    }

    /// Whether there is something to start; a sink that runs is given other options here.
    fn is_changed(&self, keyspace: &str, options: &Options) -> bool {
        let running = self.0.running.lock();
        let Some(running) = running.get(keyspace) else {
            return true;
        };
        if *running.shared.options() != *options {
            running.kept.set_max_dead(options.max_dead);
            running.shared.set_options(Arc::new(options.clone()));
        }
        false
    }

    async fn start(&self, keyspace: &str, options: Options) -> Result<(), Refusal> {
        let waiting = self.0.keyspaces.values(keyspace)?.waiting();
        let kept = Kept::new(keyspace, waiting, options.max_dead);
        if let Err(error) = kept.freeze().await {
            tracing::warn!(keyspace, %error, "what waits was not closed before the start");
        }
        let shared = Arc::new(Shared::new(Arc::new(options)));
        let worker = Worker {
            keyspace: keyspace.to_owned(),
            backlog: kept.clone(),
            outbound: self.0.outbound.clone(),
            shared: Arc::clone(&shared),
        };
        let task = self.0.outbound.spawn(worker.run());
        let running = Running { shared, kept, task };
        self.0.running.lock().insert(keyspace.to_owned(), running);
        Ok(())
    }

    /// Passes on what waits, as far as that goes until `deadline`, and ends every sink.
    pub async fn stop(&self, deadline: Instant) {
        let running = std::mem::take(&mut *self.0.running.lock());
        for running in running.values() {
            running.shared.stop(deadline);
        }
        for (_, running) in running {
            leave(running).await;
        }
    }

    /// Every sink, in the order of the keyspaces' names.
    pub fn list(&self) -> Vec<Status> {
        let running = self.0.running.lock();
        running
            .iter()
            .map(|(keyspace, running)| status(keyspace, running))
            .collect()
    }

    /// Passes on what waits now.
    pub async fn sync(&self, keyspace: &str) -> Result<Passed, SinkError> {
        let shared = self.of(keyspace, |running| Arc::clone(&running.shared))?;
        told(shared.attempt(None).await)
    }

    /// Passes on what waits now; where the target is ahead, `choice` says what becomes of the generation that is concerned.
    pub async fn resume(&self, keyspace: &str, choice: Choice) -> Result<Passed, SinkError> {
        let shared = self.of(keyspace, |running| Arc::clone(&running.shared))?;
        told(shared.attempt(Some(choice)).await)
    }

    /// What waits in a keyspace, and what was refused.
    pub fn waiting(&self, keyspace: &str) -> Result<Waiting, SinkError> {
        self.of(keyspace, |running| running.kept.waiting().clone())
    }

    /// Writes the current figures into `metrics`.
    pub fn observe(&self, metrics: &SinkMetrics) {
        let now_ms = self.0.keyspaces.now_ms();
        let figures = self.list().into_iter();
        metrics.set(figures.map(|status| shown(status, now_ms)).collect());
    }

    fn of<T>(&self, keyspace: &str, take: impl FnOnce(&Running) -> T) -> Result<T, SinkError> {
        let running = self.0.running.lock();
        let found = running.get(keyspace).map(take);
        found.ok_or_else(|| SinkError::NotFound {
            keyspace: keyspace.to_owned(),
        })
    }
}

fn told(ended: Ended) -> Result<Passed, SinkError> {
    ended.map_err(SinkError::Trouble)
}

/// Waits until a sink that was told to end has ended; one that does not is cut off, which is no worse than a crash.
async fn leave(running: Running) {
    let Running { shared, task, .. } = running;
    let last = shared.deadline().unwrap_or_else(Instant::now) + LEAVE;
    let abort = task.abort_handle();
    match timeout_at(last, task).await {
        Ok(Ok(())) => {}
        Ok(Err(panicked)) => tracing::error!(%panicked, "a sink ended badly"),
        Err(_elapsed) => abort.abort(),
    }
}

fn status(keyspace: &str, running: &Running) -> Status {
    let (place, state, done) = running.shared.shown();
    Status {
        keyspace: keyspace.to_owned(),
        place,
        mode: running.shared.options().mode,
        state,
        counts: running.kept.counts(),
        done,
    }
}

fn shown(status: Status, now_ms: u64) -> SinkFigures {
    SinkFigures {
        lag: status.lag(now_ms),
        keyspace: status.keyspace,
        state: status.state.name(),
        states: State::NAMES,
        pending: status.counts.pending,
        dead: status.counts.dead,
        passed_on: status.done.passed.passed_on,
        set_aside: status.done.passed.set_aside,
        successes: status.done.successes,
        failures: status.done.failures,
        last_success_seconds: status.done.last_success_ms.unwrap_or_default() / 1000,
    }
}
