//! Keyspaces that follow what somebody else publishes, and stay readable while that one is away: pubcache's work. It must not
//! know how values are kept.
//!
//! Each mirror has one task on the runtime for outbound calls, which holds the keyspace's feed: calls the upstream, takes what
//! it says in order, and after a failure comes back, later each time. Whoever reads or watches the keyspace has nothing to
//! do with that: there is one stream upstream, whatever the number of readers.

mod backoff;
mod common;
mod options;
mod shown;
mod smartcore;
mod standpipe;
mod status;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use options::{OnDelete, Options, Service, SmartCore, Standpipe, Upstream};
pub use shown::{Key, Mirror};
pub use status::{Audience, Facts, Followed, Receipt, State};

use crate::keyspace::{Feed, Keyspaces, Refusal};
use crate::metrics::{AllMirrors, MirrorMetrics};
use crate::outbound::Outbound;
use common::Common;
use status::Board;

/// The mirrors of this service.
#[derive(Clone, Debug)]
pub struct Mirrors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    outbound: Outbound,
    keyspaces: Keyspaces,
    metrics: AllMirrors,
    running: Mutex<BTreeMap<String, Running>>,
    /// Held while mirrors are started and stopped.
    applying: tokio::sync::Mutex<()>,
}

/// A mirror that runs.
#[derive(Debug)]
struct Running {
    options: Options,
    board: Arc<Board>,
    feed: Feed,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mirrors {
    /// None yet.
    pub fn new(outbound: Outbound, keyspaces: Keyspaces, metrics: AllMirrors) -> Self {
        Self(Arc::new(Inner {
            outbound,
            keyspaces,
            metrics,
            running: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
        }))
    }

    /// Ends those mirrors that are not among these: their keyspaces keep their data. To be called before clients may write there.
    pub async fn end_others(&self, mirrors: &BTreeMap<String, Options>) {
        let inner = &self.0;
        let _one = inner.applying.lock().await;
        let ended: Vec<_> = {
            let mut running = inner.running.lock();
            let ends = |name: &String, _: &mut Running| !mirrors.contains_key(name);
            running.extract_if(.., ends).collect()
        };
        for (name, running) in ended {
            running.task.abort();
            let lost = running.feed.store_the_rest().await;
            if lost > 0 {
                tracing::warn!(
                    keyspace = name,
                    lost,
                    "values that could not be stored are gone"
                );
            }
            tracing::info!(keyspace = name, "the keyspace follows nobody any more");
        }
    }

    /// Lets these keyspaces follow just that from now on; what stays the same goes on undisturbed. To be called when clients
    /// cannot write there any more. A keyspace that cannot follow is named in the log.
    pub async fn apply(&self, mirrors: &BTreeMap<String, Options>) {
        let inner = &self.0;
        let _one = inner.applying.lock().await;
        for (name, options) in mirrors {
            let before = {
                let mut running = inner.running.lock();
                if running.get(name).is_some_and(|one| one.options == *options) {
                    continue;
                }
                running.remove(name)
            };
            if let Some(running) = &before {
                running.task.abort();
            }
            let before = before.as_ref().map(|running| &running.options);
            match self.start(name, options, before).await {
                Ok(started) => {
                    inner.running.lock().insert(name.clone(), started);
                }
                Err(refusal) => {
                    tracing::error!(keyspace = name, "the keyspace follows nobody: {refusal}");
                }
            }
        }
        let running = inner.running.lock();
        let metrics = running.values().map(|one| Arc::clone(one.board.metrics()));
        inner.metrics.set(metrics.collect());
    }

    async fn start(
        &self,
        name: &str,
        options: &Options,
        before: Option<&Options>,
    ) -> Result<Running, Refusal> {
        let Inner {
            outbound,
            keyspaces,
            ..
        } = &*self.0;
        let feed = keyspaces.feed(name, options.unstored_bytes).await?;
        let board = Arc::new(Board::new(name, MirrorMetrics::new(name)));
        let common = Arc::new(Common::new(options, feed.clone(), Arc::clone(&board)));
        let left = left_out(options, before);
        let work = follow(outbound.clone(), options.upstream.clone(), common, left);
        let followed = Followed::of(options);
        tracing::info!(keyspace = name, upstream = %followed, "the keyspace follows");
        Ok(Running {
            options: options.clone(),
            board,
            feed,
            task: outbound.spawn(work),
        })
    }

    /// Every mirror as it is, in the order of their names; of each at most `keys` keys.
    pub fn list(&self, keys: usize) -> Vec<Mirror> {
        let running = self.0.running.lock();
        let mirror = |(name, running): (&String, &Running)| {
            let Running {
                options,
                board,
                feed,
                ..
            } = running;
            Mirror::of(name, options, board, feed, keys)
        };
        running.iter().map(mirror).collect()
    }

    /// Writes the current figures into the metrics.
    pub fn observe(&self) {
        for (name, running) in &*self.0.running.lock() {
            let Running {
                options,
                board,
                feed,
                ..
            } = running;
            let mirror = Mirror::of(name, options, board, feed, 0);
            board.metrics().set(mirror.figures());
        }
    }

    /// Stops all of them; the keyspaces stay as they are.
    pub async fn stop(&self) {
        let _one = self.0.applying.lock().await;
        let running = std::mem::take(&mut *self.0.running.lock());
        for (_, mut running) in running {
            running.task.abort();
            // What it was in the middle of has ended before the store is closed. That it was cancelled is no news.
            drop((&mut running.task).await);
        }
    }
}

/// Publications that were listed before and are not now: they leave at once, whether or not the server can be reached.
fn left_out(options: &Options, before: Option<&Options>) -> Vec<String> {
    let (Upstream::SmartCore(now), Some(Upstream::SmartCore(before))) =
        (&options.upstream, before.map(|before| &before.upstream))
    else {
        return Vec::new();
    };
    let left = |id: &&String| !now.publications.contains(id);
    before.publications.iter().filter(left).cloned().collect()
}

/// Follows for as long as it is polled.
async fn follow(outbound: Outbound, upstream: Upstream, common: Arc<Common>, left: Vec<String>) {
    let storing = common.feed.keep_storing();
    let following = async {
        common.remove(left).await;
        match upstream {
            Upstream::Standpipe(options) => {
                common.feed.follow_each(&[]);
                let follower = standpipe::Follower::new(outbound, Arc::clone(&common), options);
                match follower.follow().await {}
            }
            Upstream::SmartCore(options) => {
                common.feed.follow_each(&options.publications);
                let mut backoff = common.backoff();
                loop {
                    let (shared, options) = (Arc::clone(&common), options.clone());
                    let trouble = match smartcore::Follower::new(&outbound, shared, options) {
                        Ok(follower) => match follower.follow().await {},
                        Err(trouble) => trouble,
                    };
                    let pause = backoff.pause();
                    let Common { board, feed, .. } = &*common;
                    board.failed("", &trouble, feed.now_ms(), pause);
                    sleep(pause).await;
                }
            }
        }
    };
    tokio::select! {
        never = storing => match never {},
        () = following => {}
    }
}
