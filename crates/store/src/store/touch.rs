//! Changes of an entry's lifetime: the value and the time of its writing stay, the version is a new one.

use std::sync::Arc;

use super::bound::{NotMade, Spare};
use super::condition::Conditions;
use super::{Core, Holder, Store, Version, Writer};
use crate::error::WriteError;
use crate::log::{Level, Payload, Purpose};
use crate::map::{Effect, Entry, Keyspace, Lookup};
use crate::record::{self, Lifetime, kind};
use crate::watch::Change;

/// What became of a change of a lifetime.
#[derive(Debug)]
pub enum Touched {
    /// The entry as it is now.
    Set(Entry),
    /// The key is not there.
    Absent,
    /// A condition did not hold; nothing changed.
    Refused {
        /// The current version; `None` where the key is absent.
        current: Option<Version>,
    },
    /// The key is somebody else's, whatever the conditions; nothing changed.
    Foreign(Holder),
}

/// A change of a lifetime, applied but perhaps not durable.
#[derive(Debug)]
pub struct Touch {
    /// What became of it.
    pub outcome: Touched,
    /// The newest change that it met.
    pub seen: u64,
    /// Its own revision, where it made a change.
    pub own: Option<u64>,
}

impl Store {
    /// Gives the entry of `key` another `lifetime`, where it is `by`'s to change and `when` holds. An entry that has it anyway
    /// is not changed.
    pub async fn touch(
        &self,
        keyspace: &Arc<Keyspace>,
        key: &[u8],
        lifetime: Lifetime,
        when: &Conditions<'_>,
        by: Writer<'_>,
        level: Level,
    ) -> Result<Touch, WriteError> {
        let (mut keyspace, mut ahead) = (keyspace, 0);
        loop {
            let len = record::touch_len(key);
            let spare = self.core.spare(keyspace, len, Purpose::Grow, ahead).await?;
            // A large value is copied before the lock, in the hope that it is still the same then.
            let guess = self.get(keyspace, key).entry.map(|entry| {
                let touched = entry.with_lifetime(lifetime, &self.core.contents.facts);
                (entry.revision(), touched)
            });
            let (what, when) = ((key, lifetime), (when, by));
            match self.core.touch(keyspace, what, guess, when, level, spare) {
                Ok(touch) => return Ok(touch),
                Err(why) => (keyspace, ahead) = why.next(keyspace)?,
            }
        }
    }
}

impl Core {
    /// `guess` is the entry as it would become, made out of that revision.
    fn touch(
        &self,
        keyspace: &Keyspace,
        (key, lifetime): (&[u8], Lifetime),
        guess: Option<(u64, Entry)>,
        (when, by): (&Conditions<'_>, Writer<'_>),
        level: Level,
        spare: Spare,
    ) -> Result<Touch, NotMade> {
        let place = keyspace.map.place(key);
        let now_ms = self.clock.now_ms();
        let mut shard = keyspace.map.write(place.shard);
        if keyspace.is_dropped() {
            return Err(NotMade::Dropped);
        }
        let found = shard.look_up(place.hash, key, || now_ms);
        let (current, seen) = self.current(&found);
        let unchanged = |outcome| {
            Ok(Touch {
                outcome,
                seen,
                own: None,
            })
        };
        if let Some(holder) = self.foreign(&found, by) {
            return unchanged(Touched::Foreign(holder));
        }
        if !when.hold(current) {
            return unchanged(Touched::Refused { current });
        }
        let Lookup::Live(entry) = found else {
            return unchanged(Touched::Absent);
        };
        if entry.lifetime() == lifetime {
            return unchanged(Touched::Set(entry.clone()));
        }
        let guess = guess.filter(|(revision, _)| *revision == entry.revision());
        let mut touched = guess.map_or_else(
            || entry.with_lifetime(lifetime, &self.contents.facts),
            |(_, touched)| touched,
        );
        let (left, made) = self.room_for_entry(keyspace, &mut shard, place.hash, &touched, &spare);
        if let Err(why) = made {
            drop(shard);
            left.settle(self, None, spare.grant);
            return Err(why);
        }
        let payload = record::touch(keyspace.id(), key, &lifetime);
        let (code, payload) = left.in_front_of(kind::TOUCH, payload);
        let grant = spare.grant;
        let fields = (code, now_ms, level);
        let queued = self.queue_with(keyspace, grant.as_ref(), fields, |teller| {
            left.tell(teller);
            touched.set_revision(teller.revision());
            teller.tell(Change::Put(touched.clone()));
            Payload::whole(&payload)
        });
        let revision = queued.revision;
        let settled = self.settled(grant.as_ref());
        let old = shard.apply(place.hash, Effect::Put(touched.clone()), settled);
        drop(shard);
        drop(old);
        left.settle(self, Some(queued), grant);
        Ok(Touch {
            outcome: Touched::Set(touched),
            seen,
            own: Some(revision),
        })
    }
}
