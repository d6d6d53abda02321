//! Watching a keyspace that may be mirrored: a watch that begins is told what lies over what is stored as well, and who comes back
//! is told it again, because what has no place in the order of changes is not told by going on behind a place.
//!
//! What lies there when a watch begins is *due*. It is told where it belongs: before `synced`, or, where a watch goes on behind
//! a place, when that has nothing left to tell. By then it may be something else, which is announced or stored, and so told
//! in its turn; so only what still stands is told, under the lock under which others are announced.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::overlay::{Over, Overlay};
use crate::engine::{self, Begin, Filter, Keyed, Place, Told, Version, Watching};
use crate::keyspace::{Refusal, Values};

/// A watch of a keyspace. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    watch: engine::Watch,
    values: Values,
    filter: Filter,
    initial: bool,
    /// Keys that are told as what lies over them, with the version that they had then; `None` for those that are gone.
    due: BTreeMap<Bytes, Option<Version>>,
    /// Whether what is there is being told: then what is due is told before `synced`.
    telling: bool,
    /// Whether the first thing that is told is that changes were missed: what is due is known already.
    resets: bool,
    ready: VecDeque<Told>,
}

impl Watch {
    pub(in crate::keyspace) fn begin(values: Values, watching: Watching) -> Result<Self, Refusal> {
        let Watching {
            filter,
            begin,
            initial,
        } = watching.clone();
        let mirrored = values.mirrored();
        let over = mirrored.as_ref().map(|mirrored| mirrored.over.read());
        let watch = values
            .entries
            .watch(watching)
            .map_err(|engine::NotKept| Refusal::Compacted)?;
        // Under the lock: what is laid there from now on is announced to this watch.
        let resets = watch.begins_with_reset();
        let telling = initial && (resets || begin == Begin::Now);
        let comes_back = begin != Begin::Now && !resets;
        let due = match &over {
            Some(over) if telling || comes_back => lying(over, &filter),
            _ => BTreeMap::new(),
        };
        drop(over);
        Ok(Self {
            watch,
            values,
            filter,
            initial,
            due,
            telling,
            resets,
            ready: VecDeque::new(),
        })
    }

    /// What comes next. It takes nothing from the watch that is not returned.
    pub fn poll_told(&mut self, context: &Context<'_>) -> Poll<Told> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Poll::Ready(told);
            }
            let Some(mirrored) = self.values.mirrored() else {
                return self.poll_alone(context);
            };
            let over = mirrored.over.read();
            match self.watch.poll_told(context) {
                Poll::Pending if self.due.is_empty() || self.telling => return Poll::Pending,
                Poll::Pending => self.tell_due(&over),
                Poll::Ready(Told::Entry(keyed)) => {
                    if !self.due.contains_key(&keyed.key) {
                        return Poll::Ready(Told::Entry(keyed));
                    }
                }
                Poll::Ready(told @ Told::Synced(_)) => {
                    self.tell_due(&over);
                    self.telling = false;
                    self.ready.push_back(told);
                }
                Poll::Ready(told @ Told::Reset(_)) => {
                    if self.initial && !std::mem::take(&mut self.resets) {
                        self.due = lying(&over, &self.filter);
                        self.telling = true;
                    }
                    return Poll::Ready(told);
                }
                Poll::Ready(Told::Newest(event)) => {
                    // What was announced of the key was missed with the rest.
                    self.due = lying(&over, &self.filter);
                    self.tell_due(&over);
                    if self.ready.is_empty() {
                        return Poll::Ready(Told::Event(event));
                    }
                }
                told @ Poll::Ready(Told::Event(_) | Told::Gone(_) | Told::Ended(_)) => return told,
            }
        }
    }

    /// The same where nothing can lie over what is stored.
    fn poll_alone(&mut self, context: &Context<'_>) -> Poll<Told> {
        self.due.clear();
        self.watch.poll_told(context).map(|told| {
            self.telling &= !matches!(told, Told::Synced(_));
            told
        })
    }

    /// Behind which place it is; `None` while what is there is being told.
    pub fn place(&self) -> Option<Place> {
        if self.ready.is_empty() && !self.telling {
            self.watch.place()
        } else {
            None
        }
    }

    /// What is due, as far as it still stands.
    fn tell_due(&mut self, over: &Overlay) {
        for (key, version) in std::mem::take(&mut self.due) {
            match over.of(&key) {
                Some(Over::Value(entry)) if Some(entry.version) == version => {
                    let entry = entry.clone();
                    self.ready.push_back(Told::Entry(Keyed { key, entry }));
                }
                // What is there was told without it.
                Some(Over::Gone) if version.is_none() && !self.telling => {
                    self.ready.push_back(Told::Gone(key));
                }
                Some(_) | None => {}
            }
        }
    }
}

/// The keys that lie over those that `filter` lets through.
fn lying(over: &Overlay, filter: &Filter) -> BTreeMap<Bytes, Option<Version>> {
    let versions = |(key, over): (&Bytes, &Over)| (key.clone(), over.version());
    match filter {
        Filter::Key(wanted) => {
            let of = over.of(wanted);
            let key = Bytes::copy_from_slice(wanted);
            of.map(|over| (key, over.version())).into_iter().collect()
        }
        Filter::Prefix(prefix) => over.range(prefix, None).map(versions).collect(),
    }
}
