//! Counting and new lifetimes over the durable map. It must not know limits, defaults or HTTP.

use standpipe_store::Read;

use super::entries::{Entries, asked, durability_of};
use super::words::{Named, counted, our_holder, ours, shown, their_lifetime, their_writer, theirs};
use crate::engine::{
    Conditions, Durability, Failure, Increment, Incremented, Lifetime, Touched, Version, Writer,
};

impl Entries {
    pub(crate) async fn counter(
        &self,
        key: &[u8],
    ) -> Result<Option<(Version, Option<i64>)>, Failure> {
        let Read { entry, seen } = self.store.get(self.keyspace(), key);
        self.reached(durability_of(self.keyspace()), seen).await?;
        Ok(entry.map(|entry| {
            let version = ours(self.store.version(&entry));
            (version, self.store.number(&entry))
        }))
    }

    pub(crate) async fn increment(
        &self,
        key: &[u8],
        increment: &Increment,
        until: Durability,
    ) -> Result<Incremented, Failure> {
        let incremented = self
            .store
            .increment(self.keyspace(), key, &theirs(increment), asked(until))
            .await?;
        self.acknowledge(until, incremented.seen, incremented.own)
            .await?;
        Ok(counted(incremented.outcome))
    }

    pub(crate) async fn touch(
        &self,
        key: &[u8],
        lifetime: Lifetime,
        when: &Conditions,
        by: Writer<'_>,
        until: Durability,
    ) -> Result<Touched, Failure> {
        let named = Named::by(when);
        let conditions = named.conditions(when);
        let touch = self
            .store
            .touch(
                self.keyspace(),
                key,
                their_lifetime(lifetime),
                &conditions,
                their_writer(by),
                asked(until),
            )
            .await?;
        self.acknowledge(until, touch.seen, touch.own).await?;
        Ok(match touch.outcome {
            standpipe_store::Touched::Set(entry) => Touched::Set(shown(&self.store, entry)),
            standpipe_store::Touched::Absent => Touched::Absent,
            standpipe_store::Touched::Refused { current } => Touched::Refused(current.map(ours)),
            standpipe_store::Touched::Foreign(holder) => Touched::Foreign(our_holder(holder)),
        })
    }
}
