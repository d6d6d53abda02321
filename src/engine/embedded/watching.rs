//! Watches of one keyspace of the durable map.
//!
//! What is there is told first where that is asked for: the entries up to R0, the newest revision that may be told when the
//! watch begins. An entry that is newer is left out, because the event that made it so comes behind R0. Before `Synced` is
//! told, everything that the look at the entries met is as durable as promised: else a crash could take back the change
//! for which an entry was left out, and who comes back behind R0 would never hear of the entry.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use standpipe_store::{Change, Keyspace, Level, Lost, Position, Seen, Store, Watcher};

use super::entries::{Entries, level};
use super::keyspaces::durability;
use super::words::shown;
use crate::engine::{Begin, End, Filter, Keyed, NotKept, Place, TextKind, Told, Watching, What};

/// Entries that are looked at with one lock.
const PAGE: usize = 64;
/// Events that are taken at once.
const EVENTS: usize = 64;

/// A change that watches share.
#[derive(Clone, Debug)]
pub struct Event {
    event: Arc<standpipe_store::Event>,
    store: Store,
}

impl Event {
    pub(in crate::engine) fn place(&self) -> Option<Place> {
        let position = self.event.position()?;
        Some(place(&self.store, position))
    }

    pub(in crate::engine) fn what(&self) -> What<'_> {
        match self.event.change() {
            Change::Put(entry) => What::Put(entry.key(), shown(&self.store, entry.clone())),
            Change::Delete(entry) => What::Delete(entry.key()),
            Change::Expire(entry) => What::Expire(entry.key()),
            Change::Evict(entry) => What::Evict(entry.key()),
            Change::Flush(flushed) => What::Flush {
                prefix: &flushed.prefix,
                deleted: flushed.deleted,
            },
            // It ends a watch; nobody is given it as an event.
            Change::Dropped => What::Flush {
                prefix: &[],
                deleted: 0,
            },
        }
    }

    pub(in crate::engine) fn text(&self, kind: TextKind, make: impl FnOnce() -> Bytes) -> Bytes {
        let which = match kind {
            TextKind::Plain => 0,
            TextKind::WithValue => 1,
        };
        self.event.text(which, |_| make())
    }
}

fn place(store: &Store, position: Position) -> Place {
    let place = store.place(position);
    Place {
        mark: place.mark,
        revision: position.revision,
        index: (position.index != Position::WHOLE).then_some(position.index),
    }
}

fn theirs(place: Place) -> standpipe_store::Place {
    standpipe_store::Place {
        mark: place.mark,
        position: Position {
            revision: place.revision,
            index: place.index.unwrap_or(Position::WHOLE),
        },
    }
}

/// A wait for durability.
type Settling = Pin<Box<dyn Future<Output = Result<(), Lost>> + Send>>;

/// What a watch is at.
enum Phase {
    /// It has to say that changes were missed.
    Reset,
    /// It tells what is there.
    Entries(Looking),
    /// Everything that is there has been told, and is waited for.
    Settling(Settling),
    /// It tells what happens.
    Live,
}

/// How far the entries have been looked at.
#[derive(Default)]
struct Looking {
    page: VecDeque<Keyed>,
    after: Option<Vec<u8>>,
    end: bool,
    /// The newest change that was met.
    seen: u64,
}

/// A watch of one keyspace.
pub struct Watch {
    store: Store,
    keyspace: Arc<Keyspace>,
    watcher: Watcher,
    initial: bool,
    phase: Phase,
    /// R0, while what is there is told.
    synced: Position,
    events: VecDeque<Arc<standpipe_store::Event>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("filter", self.watcher.filter())
            .finish_non_exhaustive()
    }
}

impl Entries {
    pub(crate) fn watch(&self, watching: Watching) -> Result<Watch, NotKept> {
        let (store, keyspace) = (self.store.clone(), Arc::clone(self.keyspace()));
        let filter = match watching.filter {
            Filter::Key(key) => standpipe_store::Filter::Key(key),
            Filter::Prefix(prefix) => standpipe_store::Filter::Prefix(prefix),
        };
        let behind = match watching.begin {
            Begin::Now => None,
            Begin::Behind(place) | Begin::BehindOrReset(place) => Some(theirs(place)),
        };
        let (watcher, phase) = match store.watch(&keyspace, filter.clone(), behind) {
            Ok(watcher) if watching.initial && behind.is_none() => {
                (watcher, Phase::Entries(Looking::default()))
            }
            Ok(watcher) => (watcher, Phase::Live),
            Err(_) if matches!(watching.begin, Begin::Behind(_)) => return Err(NotKept),
            Err(_) => {
                let watcher = store.watch(&keyspace, filter, None);
                let watcher = watcher.map_err(|_from_now| NotKept)?;
                (watcher, Phase::Reset)
            }
        };
        Ok(Watch {
            synced: watcher.position(),
            store,
            keyspace,
            watcher,
            initial: watching.initial,
            phase,
            events: VecDeque::new(),
        })
    }
}

impl Watch {
    pub(in crate::engine) fn begins_with_reset(&self) -> bool {
        matches!(self.phase, Phase::Reset)
    }

    pub(in crate::engine) fn place(&self) -> Option<Place> {
        match self.phase {
            // What is still to be told lies before the watcher's own place.
            Phase::Live => match self.events.front() {
                None => Some(place(&self.store, self.watcher.position())),
                Some(_) => None,
            },
            Phase::Reset | Phase::Entries(_) | Phase::Settling(_) => None,
        }
    }

    pub(in crate::engine) fn poll_told(&mut self, context: &Context<'_>) -> Poll<Told> {
        loop {
            if self.watcher.has_ended() {
                return Poll::Ready(Told::Ended(End::Stopping));
            }
            match &mut self.phase {
                Phase::Reset => {
                    let told = Told::Reset(place(&self.store, self.synced));
                    self.phase = if self.initial {
                        Phase::Entries(Looking::default())
                    } else {
                        Phase::Live
                    };
                    return Poll::Ready(told);
                }
                Phase::Entries(looking) => {
                    if let Some(keyed) = looking.page.pop_front() {
                        return Poll::Ready(Told::Entry(keyed));
                    }
                    if looking.end {
                        let seen = looking.seen;
                        self.phase = Phase::Settling(self.settling(seen));
                    } else {
                        self.look_further();
                    }
                }
                Phase::Settling(settling) => match poll(settling, context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_lost)) => return Poll::Ready(Told::Ended(End::Lost)),
                    Poll::Ready(Ok(())) => {
                        self.phase = Phase::Live;
                        return Poll::Ready(Told::Synced(place(&self.store, self.synced)));
                    }
                },
                Phase::Live => match self.poll_live(context) {
                    Poll::Ready(Some(told)) => return Poll::Ready(told),
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// What happened next; `None` where there is more to be looked at first.
    fn poll_live(&mut self, context: &Context<'_>) -> Poll<Option<Told>> {
        if let Some(event) = self.events.pop_front() {
            if let Change::Dropped = event.change() {
                return Poll::Ready(Some(Told::Ended(End::Dropped)));
            }
            return Poll::Ready(Some(Told::Event(self.event(event))));
        }
        match self.watcher.poll_seen(context, EVENTS) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Seen::Ended) => Poll::Ready(Some(Told::Ended(End::Stopping))),
            Poll::Ready(Seen::Events(events)) => {
                self.events = events.into();
                Poll::Ready(None)
            }
            Poll::Ready(Seen::FellBehind) => {
                self.synced = self.watcher.position();
                if let standpipe_store::Filter::Key(key) = self.watcher.filter() {
                    let newest = self.store.newest(&self.keyspace, key, self.synced);
                    return Poll::Ready(
                        newest.map(|event| Told::Newest(self.event(Arc::new(event)))),
                    );
                }
                self.phase = Phase::Reset;
                Poll::Ready(None)
            }
        }
    }

    fn event(&self, event: Arc<standpipe_store::Event>) -> crate::engine::Event {
        crate::engine::Event::Embedded(Event {
            event,
            store: self.store.clone(),
        })
    }

    /// Looks at the next entries.
    fn look_further(&mut self) {
        let (store, keyspace) = (&self.store, &self.keyspace);
        let Phase::Entries(looking) = &mut self.phase else {
            return;
        };
        let (entries, seen) = match self.watcher.filter() {
            standpipe_store::Filter::Key(key) => {
                let read = store.get(keyspace, key);
                looking.end = true;
                (read.entry.into_iter().collect(), read.seen)
            }
            standpipe_store::Filter::Prefix(prefix) => {
                let scan = store.scan(keyspace, prefix, looking.after.as_deref(), PAGE);
                looking.end = scan.end;
                looking.after = scan.entries.last().map(|last| last.key().to_vec());
                (scan.entries, scan.seen)
            }
        };
        looking.seen = looking.seen.max(seen);
        let up_to = self.synced.revision;
        let told = entries
            .into_iter()
            .filter(|entry| entry.revision() <= up_to);
        looking.page = told
            .map(|entry| Keyed {
                key: Bytes::copy_from_slice(entry.key()),
                entry: shown(store, entry),
            })
            .collect();
    }

    /// Resolves when everything up to `seen` is as durable as the keyspace promises.
    fn settling(&self, seen: u64) -> Settling {
        let store = self.store.clone();
        let level = level(durability(self.keyspace.durability()));
        Box::pin(async move {
            match level {
                None => Ok(()),
                Some(Level::Written) => store.wait_written(seen).await,
                Some(Level::Durable) => store.wait_durable(seen).await,
            }
        })
    }
}

fn poll(settling: &mut Settling, context: &Context<'_>) -> Poll<Result<(), Lost>> {
    settling
        .as_mut()
        .poll(&mut Context::from_waker(context.waker()))
}
