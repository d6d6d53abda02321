//! Following a keyspace of another Standpipe by its watch: what is there first, then every change in order; after a lost
//! connection from the last event on. It must not know how values are kept.
//!
//! 1. Without a place to go on from, the upstream tells what is there. Keys that were here before and are not told are
//!    *in doubt*: gone upstream, or changed while the rest was told, so that their event is still to come.
//! 2. `synced`, and behind it the events of what changed meanwhile.
//! 3. *Caught up*: what is still in doubt is gone upstream. From now on a lost connection is taken up behind the last event.
//!
//! A place is held in memory alone: after a start it begins with 1, which is right whatever happened meanwhile, and writes
//! nothing that is there already.

mod lines;
mod stream;
mod told;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use tokio::time::sleep;

use super::backoff::Backoff;
use super::status::State;
use super::trouble::Trouble;
use super::{Common, Standpipe};
use crate::keyspace::{Contact, Content, Received, Whom};
use crate::outbound::Outbound;
use stream::{Heard, Stream};
use told::{Told, Value};

/// The most changes that are taken at once, of those that have come already.
const MANY: usize = 256;
/// The most bytes of them.
const MUCH: usize = 1 << 20;
/// All keys of the keyspace are one line on the board.
const LINE: &str = "";
/// Why an upstream ends a watch that has lasted long enough: it is no failure, and the next one begins at once.
const TIMELY: &[&str] = &["timeout", "watch_duration"];

/// Follows one keyspace.
#[derive(Debug)]
pub(super) struct Follower {
    outbound: Outbound,
    common: Arc<Common>,
    options: Standpipe,
    place: Place,
}

/// How far a follower is.
#[derive(Debug)]
enum Place {
    /// Nothing is known of what is there.
    Nowhere,
    /// What is there is being told, or has been without what changed meanwhile. These keys are in doubt.
    Told { in_doubt: BTreeSet<String> },
    /// Everything before this event was taken; `None` while there was none.
    Behind { id: Option<String> },
}

/// Changes that came together, each with the event that it was.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Received>,
    ids: Vec<Option<String>>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, change: Received, id: Option<String>) {
        if let Received::Put { content, .. } = &change {
            self.bytes += content.value.len();
        }
        self.changes.push(change);
        self.ids.push(id);
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= MANY || self.bytes >= MUCH
    }
}

/// What there is to do about what was told.
enum Step {
    Change(Received),
    Nothing,
    Then(Then),
}

/// What comes behind some changes.
enum Then {
    /// Nothing yet.
    More,
    Synced,
    Reset,
    /// A sign of life, and the place that it is at.
    Alive(Option<String>),
    /// The same where nothing is left to be told.
    CaughtUp(Option<String>),
    Bye(String),
    Trouble(Trouble),
}

impl Follower {
    pub(super) fn new(outbound: Outbound, common: Arc<Common>, options: Standpipe) -> Self {
        Self {
            outbound,
            common,
            options,
            place: Place::Nowhere,
        }
    }

    /// Follows for as long as it is polled.
    pub(super) async fn follow(mut self) -> Infallible {
        let mut backoff = self.common.backoff();
        loop {
            self.common.board.connecting(LINE);
            let Err(trouble) = self.attempt(&mut backoff).await;
            let common = &self.common;
            common.feed.lost(Whom::All);
            if matches!(self.place, Place::Told { .. }) {
                // What was told is not worth keeping: without an event there is no place to go on from.
                self.place = Place::Nowhere;
            }
            let pause = backoff.pause();
            common
                .board
                .failed(LINE, &trouble, common.feed.now_ms(), pause);
            sleep(pause).await;
        }
    }

    /// Follows until that fails.
    async fn attempt(&mut self, backoff: &mut Backoff) -> Result<Infallible, Trouble> {
        loop {
            let resume = match &self.place {
                Place::Behind { id } => id.clone(),
                Place::Nowhere | Place::Told { .. } => None,
            };
            let max_bytes = self.common.max_bytes;
            let opened = Stream::open(&self.outbound, &self.options, resume.as_deref(), max_bytes);
            let mut stream = opened.await?;
            if resume.is_none() {
                self.begin().await?;
            }
            self.hear(&mut stream, backoff).await?;
        }
    }

    /// Everything that is here is in doubt.
    async fn begin(&mut self) -> Result<(), Trouble> {
        let in_doubt = self.common.keys().await?;
        self.place = Place::Told { in_doubt };
        Ok(())
    }

    /// Takes what the stream tells until it has lasted as long as the upstream lets one last.
    async fn hear(&mut self, stream: &mut Stream, backoff: &mut Backoff) -> Result<(), Trouble> {
        let mut synced = matches!(self.place, Place::Behind { .. });
        let mut caught_up = false;
        loop {
            let first = stream.next().await?;
            let (batch, then) = self.gather(first, stream);
            if !batch.changes.is_empty() {
                self.take(batch).await?;
                backoff.reset();
            }
            match then {
                Then::More => {}
                Then::Synced => synced = true,
                Then::Reset => {
                    (synced, caught_up) = (false, false);
                    self.common.board.connecting(LINE);
                    self.common.feed.lost(Whom::All);
                    self.begin().await?;
                }
                Then::Alive(id) => self.go_behind(id),
                Then::CaughtUp(id) => {
                    if synced {
                        caught_up = true;
                        self.settle().await?;
                        backoff.reset();
                    }
                    self.go_behind(id);
                }
                Then::Bye(reason) if caught_up && TIMELY.contains(&&*reason) => return Ok(()),
                Then::Bye(reason) => return Err(Trouble::bye(&reason)),
                Then::Trouble(trouble) => return Err(trouble),
            }
        }
    }

    /// The changes that have come already, from `first` on, and what comes behind them.
    fn gather(&mut self, first: Heard, stream: &mut Stream) -> (Batch, Then) {
        let mut batch = Batch::default();
        let mut next = Ok(Some(first));
        loop {
            let then = match next {
                Ok(Some(Heard { told, id })) => match self.step(told, id.as_deref()) {
                    Step::Change(change) => {
                        batch.push(change, id);
                        None
                    }
                    Step::Nothing => None,
                    Step::Then(then) => Some(then),
                },
                Ok(None) => Some(Then::More),
                Err(trouble) => Some(Then::Trouble(trouble)),
            };
            if let Some(then) = then {
                return (batch, then);
            }
            if batch.is_full() {
                return (batch, Then::More);
            }
            next = stream.ready();
        }
    }

    /// What there is to do about what was told.
    fn step(&mut self, told: Told, id: Option<&str>) -> Step {
        let id = || id.map(str::to_owned);
        let limit = self.common.max_bytes;
        let change = match told {
            Told::Put(value) if value.bytes.len() > limit => Received::TooLarge {
                key: value.key,
                limit,
            },
            Told::Put(Value {
                key,
                bytes: value,
                content_type: media_type,
                content_encoding,
            }) => {
                let content = Content {
                    value,
                    media_type,
                    content_encoding,
                };
                Received::Put { key, content }
            }
            Told::TooLarge { key } => Received::TooLarge { key, limit },
            Told::Gone { key } => self.common.gone(key),
            Told::Flushed { prefix } => match self.overlap(prefix) {
                Some(prefix) => self.common.flushed(prefix),
                None => return Step::Nothing,
            },
            Told::Synced => return Step::Then(Then::Synced),
            Told::Reset => return Step::Then(Then::Reset),
            Told::Bye { reason } => return Step::Then(Then::Bye(reason)),
            Told::Alive {
                caught_up: true, ..
            } => return Step::Then(Then::CaughtUp(id())),
            Told::Alive { .. } => return Step::Then(Then::Alive(id())),
        };
        if !change.named().starts_with(&self.options.prefix) {
            let what = "a key that does not begin with the prefix";
            return Step::Then(Then::Trouble(Trouble::Malformed { what }));
        }
        if let (Place::Told { in_doubt }, Some(key)) = (&mut self.place, change.key()) {
            in_doubt.remove(key);
        }
        Step::Change(change)
    }

    /// What of the keys that begin with `gone` concerns us: those that begin so.
    fn overlap(&self, gone: String) -> Option<String> {
        let ours = &*self.options.prefix;
        if gone.starts_with(ours) {
            Some(gone)
        } else {
            ours.starts_with(&*gone).then(|| ours.to_owned())
        }
    }

    /// Takes changes, and goes behind those that were taken.
    async fn take(&mut self, batch: Batch) -> Result<(), Trouble> {
        let Common { board, feed, .. } = &*self.common;
        board.heard(LINE, feed.now_ms());
        let (taken, result) = match feed.take(&batch.changes).await {
            Ok(()) => (batch.changes.len(), Ok(())),
            Err(untaken) => (untaken.taken, Err(untaken.into())),
        };
        let last = batch.ids.into_iter().take(taken).rev().flatten().next();
        self.go_behind(last);
        result
    }

    fn go_behind(&mut self, event: Option<String>) {
        if let (Place::Behind { id }, Some(event)) = (&mut self.place, event) {
            *id = Some(event);
        }
    }

    /// Nothing is left to be told: what is still in doubt is gone, and what is here is what is there.
    async fn settle(&mut self) -> Result<(), Trouble> {
        if let Place::Told { in_doubt } = &mut self.place {
            while !in_doubt.is_empty() {
                let some: Vec<String> = in_doubt.iter().take(MANY).cloned().collect();
                let gone: Vec<_> = some
                    .iter()
                    .map(|key| self.common.gone(key.clone()))
                    .collect();
                self.common.take(&gone).await?;
                for key in &some {
                    in_doubt.remove(key);
                }
            }
            self.place = Place::Behind { id: None };
        }
        let Common { board, feed, .. } = &*self.common;
        feed.contact(Whom::All, Contact::Live);
        board.up_to_date(LINE, State::Following);
        Ok(())
    }
}
