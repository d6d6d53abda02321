//! Values that are fetched by the clock: cachepump's work. It must not know how a value is fetched, or how it is kept.
//!
//! Each source has a task of its own, which runs it at once and then by its rule, one run after the other. What it writes
//! carries its name, durably, and that decides whose a key is:
//!
//! | the key | a run | a source that is not there any more |
//! |---|---|---|
//! | is absent | writes it | |
//! | is the source's own | writes it, where the value has changed | takes it along |
//! | is a client's | fails with `key_taken` | leaves it |
//!
//! A source whose words change is stopped before anything else happens: no run of it goes on, so none can bring back what is
//! removed afterwards. Only then are the leftovers looked for, in every keyspace, by the names that the entries carry; so it
//! makes no difference whether a source left while the service ran or while it was stopped.

mod error;
mod leftovers;
mod life;
mod options;
mod record;
mod rule;
mod run;
mod schedule;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::keyspace::Keyspaces;
use crate::metrics::AllSources;
use crate::source::{Bounds, Sources};

pub use options::{Options, Scheduled, Supply, Task};
pub use record::{Facts, Held, Kind, LastFailure, State, Work};
pub use rule::{FieldError, Rule, RuleError, Wrong};

use life::{Life, clock};
use record::{Asked, Record};
use run::{Run, absence};
use schedule::Schedule;

/// Names of keyspaces that follow somebody else, so that no source writes there.
pub type Mirrored = BTreeSet<String>;

/// When leftovers that could not be removed are looked for again.
const AGAIN: Duration = Duration::from_secs(30);

/// Everything that is fetched by the clock. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pump(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keyspaces: Keyspaces,
    sources: Sources,
    figures: AllSources,
    mirrored: Arc<ArcSwap<Mirrored>>,
    /// By name; what requests look at.
    records: ArcSwap<Records>,
    /// Held while sources are begun and ended.
    lives: Mutex<Lives>,
}

type Records = BTreeMap<Arc<str>, Arc<Record>>;

/// What runs.
#[derive(Debug, Default)]
struct Lives {
    by_name: HashMap<Arc<str>, Running>,
    /// Removes what could not be removed at once.
    again: Option<JoinHandle<()>>,
    stopped: bool,
}

#[derive(Debug)]
struct Running {
    /// What it was told.
    task: Result<Task, String>,
    /// `None` where that cannot be done.
    life: Option<JoinHandle<()>>,
}

/// Why a source was not run.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotRun {
    /// There is none of that name.
    #[error("there is no source {name:?}")]
    NotFound {
        /// The name that was asked for.
        name: String,
    },
    /// It is running.
    #[error("the source {name:?} is running already")]
    AlreadyRunning {
        /// Its name.
        name: String,
    },
    /// What is said of it cannot be done.
    #[error("the source {name:?} cannot run: {reason}")]
    Invalid {
        /// Its name.
        name: String,
        /// Why not.
        reason: Arc<str>,
    },
}

impl Pump {
    /// Nothing is fetched before the first [`Pump::apply`].
    pub fn new(keyspaces: Keyspaces, sources: Sources, figures: AllSources) -> Self {
        Self(Arc::new(Inner {
            keyspaces,
            sources,
            figures,
            mirrored: Arc::default(),
            records: ArcSwap::default(),
            lives: Mutex::default(),
        }))
    }

    /// Does from now on what `options` say. A source of which the same is said goes on undisturbed; one that is new or of
    /// which something else is said is run at once; one that is gone takes its value along.
    ///
    /// 1. Sources that are gone or changed are stopped, and waited for.
    /// 2. Values of sources that are gone are removed; where that fails, again and again until it does not.
    /// 3. From here on requests see the sources that are new or changed.
    /// 4. These are run.
    pub async fn apply(&self, options: &Options, mirrored: Mirrored) {
        self.0.mirrored.store(Arc::new(mirrored));
        if let Some(reason) = &options.unreadable {
            tracing::error!(reason, "the sources cannot be read: those before stay");
            return;
        }
        let mut lives = self.0.lives.lock().await;
        if lives.stopped {
            return;
        }
        let news = self.0.end_changed(&mut lives, options).await;
        let records = self.0.records_of(options);
        let mut begun = Vec::with_capacity(news.len());
        for scheduled in news {
            if let Some(record) = records.get(&*scheduled.name) {
                begun.push((scheduled, self.0.prepare(record, scheduled)));
            }
        }
        if let Some(again) = lives.again.take() {
            again.abort();
        }
        if !self.0.remove_leftovers(&records).await {
            let pump = self.clone();
            let again = async move { pump.remove_leftovers_again().await };
            lives.again = Some(self.0.sources.spawn(again));
        }
        self.0.show(&records);
        for (scheduled, life) in begun {
            let running = Running {
                task: scheduled.task.clone(),
                life: life.map(|life| self.0.sources.spawn(life.live())),
            };
            lives
                .by_name
                .insert(scheduled.name.as_str().into(), running);
        }
    }

    /// Stops everything for good: runs that go on are given up, and nothing is written when this has returned.
    pub async fn stop(&self) {
        let mut lives = self.0.lives.lock().await;
        lives.stopped = true;
        if let Some(again) = lives.again.take() {
            again.abort();
        }
        let tasks = lives
            .by_name
            .drain()
            .filter_map(|(_, running)| running.life);
        end(tasks.collect()).await;
    }

    /// Every source, in the order of their names.
    pub fn list(&self) -> Vec<Facts> {
        let records = self.0.records.load();
        records.values().map(|record| record.facts()).collect()
    }

    /// Has a source run now, and says how it is.
    pub fn run(&self, name: &str) -> Result<Facts, NotRun> {
        let records = self.0.records.load();
        let record = records.get(name).ok_or_else(|| NotRun::NotFound {
            name: name.to_owned(),
        })?;
        let name = name.to_owned();
        match record.ask(self.0.keyspaces.wall_ms()) {
            Asked::Begun(facts) => Ok(*facts),
            Asked::Running => Err(NotRun::AlreadyRunning { name }),
            Asked::Invalid(reason) => Err(NotRun::Invalid { name, reason }),
        }
    }

    /// How long ago the value of the source `name` was known to be the newest one: by a run since the start, or else when it
    /// was written. In milliseconds.
    pub fn age_ms(&self, name: &str, created_at_ms: u64) -> u64 {
        let records = self.0.records.load();
        let confirmed = records
            .get(name)
            .and_then(|record| record.confirmed_at_ms())
            .unwrap_or(created_at_ms);
        self.0.keyspaces.now_ms().saturating_sub(confirmed)
    }

    async fn remove_leftovers_again(&self) {
        loop {
            sleep(AGAIN).await;
            let lives = self.0.lives.lock().await;
            let records = self.0.records.load_full();
            if lives.stopped || self.0.remove_leftovers(&records).await {
                return;
            }
        }
    }
}

impl Inner {
    /// Ends what is not said any more, and returns what is said newly.
    async fn end_changed<'o>(&self, lives: &mut Lives, options: &'o Options) -> Vec<&'o Scheduled> {
        let said: HashMap<&str, &Scheduled> = options
            .scheduled
            .iter()
            .map(|scheduled| (&*scheduled.name, scheduled))
            .collect();
        let same = |name: &str, running: &Running| {
            said.get(name)
                .is_some_and(|scheduled| scheduled.task == running.task)
        };
        let ended = lives
            .by_name
            .extract_if(|name, running| !same(name, running));
        end(ended.filter_map(|(_, running)| running.life).collect()).await;
        said.into_values()
            .filter(|scheduled| !lives.by_name.contains_key(&*scheduled.name))
            .collect()
    }

    /// The records of the sources of `options`; those that were there already go on with theirs.
    fn records_of(&self, options: &Options) -> Arc<Records> {
        let before = self.records.load();
        let record = |scheduled: &Scheduled| {
            let known = before.get(&*scheduled.name).cloned();
            let record = known.unwrap_or_else(|| Arc::new(Record::new(&scheduled.name)));
            (Arc::clone(record.name()), record)
        };
        Arc::new(options.scheduled.iter().map(record).collect())
    }

    /// Shows these sources from now on, and no others.
    fn show(&self, records: &Arc<Records>) {
        let figures = records.values().map(|record| Arc::clone(record.figures()));
        self.figures.set(figures.collect());
        self.records.store(Arc::clone(records));
    }

    /// A life for a source, or none where what is said of it cannot be done; either is noted.
    fn prepare(&self, record: &Arc<Record>, scheduled: &Scheduled) -> Option<Life> {
        let understood = scheduled.task.as_ref().map_err(String::clone);
        let understood = understood.and_then(|task| match task.rule.parse::<Rule>() {
            Ok(rule) => Ok((task, rule)),
            Err(error) => Err(format!("rule: {error}")),
        });
        match understood {
            Ok((task, rule)) => Some(self.life(record, task, rule)),
            Err(reason) => {
                // Whoever has read the file has said so already.
                tracing::debug!(source = scheduled.name, reason, "a source cannot run");
                record.begin(Err(reason.into()), None);
                None
            }
        }
    }

    fn life(&self, record: &Arc<Record>, task: &Task, rule: Rule) -> Life {
        let bounds = Bounds {
            timeout: task.timeout,
            bytes: task.max_bytes,
        };
        let (kind, source) = match &task.supply {
            Supply::Static(words) => (Kind::Static, self.sources.fixed(words)),
            Supply::Http(options) => (Kind::Http, self.sources.http(options, bounds)),
            Supply::File(options) => (Kind::File, self.sources.file(options, bounds)),
        };
        let keyspace: Arc<str> = task.keyspace.as_str().into();
        let schedule = Schedule::new(rule, clock(&self.keyspaces));
        let work = Work {
            keyspace: Arc::clone(&keyspace),
            kind,
            rule: task.rule.as_str().into(),
        };
        record.begin(Ok(work), schedule.due());
        Life {
            run: Run {
                keyspaces: self.keyspaces.clone(),
                mirrored: Arc::clone(&self.mirrored),
                name: Arc::clone(record.name()),
                keyspace,
                source,
                absent: absence(&task.supply),
                known: None,
            },
            record: Arc::clone(record),
            schedule,
            jitter: task.jitter,
            // From here on, so that nothing is missed before the first run.
            news: self.keyspaces.news(),
        }
    }

    /// `false` where something of it could not be removed.
    async fn remove_leftovers(&self, records: &Records) -> bool {
        match leftovers::remove(&self.keyspaces, records).await {
            Ok(()) => true,
            Err(refusal) => {
                tracing::warn!(
                    %refusal,
                    "the values of sources that are not there any more could not be removed; it is tried again"
                );
                false
            }
        }
    }
}

/// Ends tasks and waits until they have ended: they do nothing any more then.
async fn end(tasks: Vec<JoinHandle<()>>) {
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        if let Err(error) = task.await
            && error.is_panic()
        {
            tracing::error!("the task of a source panicked, which is a fault of Standpipe");
        }
    }
}
