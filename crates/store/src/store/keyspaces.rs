//! Keyspaces as a whole: created, changed, dropped. One at a time, each as one record, under all of the keyspace's shards'
//! locks, so that no change slips in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;

use super::{Core, Garbage, Store};
use crate::error::{KeyspaceError, OpenError, WriteError};
use crate::int::wide;
use crate::log::frame::frame_len;
use crate::log::{Grant, Level, Payload, Purpose};
use crate::map::{Keyspace, Shard};
use crate::options::{Durability, Pending, Policy};
use crate::record::pending::Pended;
use crate::record::{KeyspaceRecord, kind, whole_keyspace};
use crate::wait::block_on;

/// The keyspace that always exists.
const DEFAULT: &str = "default";

/// What became of a keyspace that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetKeyspace {
    /// Whether there was none of that name before.
    pub created: bool,
    /// The revision of the change, to be waited for; `None` where the keyspace had this policy already.
    pub own: Option<u64>,
    /// The newest change that the answer rests on.
    pub seen: u64,
}

/// How a keyspace comes to its policy.
enum Step {
    /// It has it.
    Nothing,
    /// There is none of that name.
    Create,
    Change(Arc<Keyspace>),
    /// An empty one is dropped and a new one takes its place: what is logged and what is not have nothing in common.
    Replace(Arc<Keyspace>),
}

impl Store {
    /// Creates the keyspace `name` with `policy`, or gives it that policy. A keyspace more than `limit` is refused.
    ///
    /// The name is the caller's to check: at most 64 bytes.
    ///
    /// # Errors
    /// See [`KeyspaceError`]; nothing has changed then.
    pub async fn set_keyspace(
        &self,
        name: &str,
        policy: &Policy,
        limit: usize,
    ) -> Result<SetKeyspace, KeyspaceError> {
        self.core
            .set_keyspace(name, policy, limit, Purpose::Grow)
            .await
    }

    /// Drops a keyspace with everything in it. `None` where it was dropped already.
    ///
    /// # Errors
    /// [`KeyspaceError::SinkPending`] where something waits to be passed on, or could not be; otherwise as for any change.
    pub async fn drop_keyspace(
        &self,
        keyspace: &Arc<Keyspace>,
        level: Level,
    ) -> Result<Option<u64>, KeyspaceError> {
        let _one = self.core.administration.lock().await;
        if keyspace.is_dropped() {
            return Ok(None);
        }
        let payload = whole_keyspace(keyspace.id());
        let grant = self.core.room_for(&payload, Purpose::Empty).await?;
        let own = self.core.drop_keyspace(keyspace, &payload, level, grant)?;
        Ok(Some(own))
    }
}

impl Core {
    /// Makes `default` at first start, as every keyspace is of which nothing was said.
    pub(super) fn ensure_default(&self) -> Result<(), OpenError> {
        if self.contents.keyspaces.by_name(DEFAULT).is_some() {
            return Ok(());
        }
        let set = async {
            let set = self
                .set_keyspace(DEFAULT, &Policy::default(), usize::MAX, Purpose::Shrink)
                .await?;
            let own = set.own.unwrap_or(set.seen);
            self.wait(Level::Durable, own)
                .await
                .map_err(WriteError::from)?;
            Ok::<(), KeyspaceError>(())
        };
        block_on(set).map_err(|error| OpenError::Io {
            what: format!(
                "{}: the keyspace {DEFAULT} could not be written",
                self.dir.display("")
            ),
            source: std::io::Error::other(error),
        })
    }

    async fn set_keyspace(
        &self,
        name: &str,
        policy: &Policy,
        limit: usize,
        purpose: Purpose,
    ) -> Result<SetKeyspace, KeyspaceError> {
        let _one = self.administration.lock().await;
        let step = self.step(name, policy, limit)?;
        let (id, replaces) = match &step {
            Step::Nothing => {
                let keyspace = self.contents.keyspaces.by_name(name);
                let seen = keyspace.map_or(0, |keyspace| keyspace.map.read(0).mark());
                return Ok(SetKeyspace {
                    created: false,
                    own: None,
                    seen,
                });
            }
            Step::Create => (self.contents.keyspaces.next_id(), None),
            Step::Change(keyspace) => (keyspace.id(), None),
            Step::Replace(keyspace) => (self.contents.keyspaces.next_id(), Some(keyspace.id())),
        };
        let record = KeyspaceRecord {
            id,
            name: name.to_owned(),
            policy: *policy,
            replaces,
        };
        let payload = record.encoded();
        let grant = self.room_for(&payload, purpose).await?;
        let own = match &step {
            Step::Nothing | Step::Create => self.create(&record, &payload, grant),
            Step::Change(keyspace) => {
                let own = self.change(keyspace, &record, &payload, grant)?;
                // Not under all locks: where entries may leave from now on, their order has to be found first.
                keyspace.divide();
                own
            }
            Step::Replace(keyspace) => self.replace(keyspace, &record, &payload, grant)?,
        };
        Ok(SetKeyspace {
            created: matches!(step, Step::Create),
            own: Some(own),
            seen: own,
        })
    }

    fn step(&self, name: &str, policy: &Policy, limit: usize) -> Result<Step, KeyspaceError> {
        if policy.durability == Durability::Memory && policy.pending != Pending::None {
            return Err(KeyspaceError::NotLogged);
        }
        let Some(keyspace) = self.contents.keyspaces.by_name(name) else {
            if self.contents.keyspaces.count() >= limit {
                return Err(KeyspaceError::TooMany { limit });
            }
            return Ok(Step::Create);
        };
        let stored = keyspace.policy();
        let crosses =
            (stored.durability == Durability::Memory) != (policy.durability == Durability::Memory);
        Ok(if stored == *policy {
            Step::Nothing
        } else if crosses {
            Step::Replace(keyspace)
        } else {
            Step::Change(keyspace)
        })
    }

    /// Room for a record about a keyspace; these are logged, whatever the keyspace's own changes are.
    async fn room_for(&self, payload: &[u8], purpose: Purpose) -> Result<Grant, WriteError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(WriteError::Closing);
        }
        let frame = frame_len(wide(payload.len()));
        self.log.room().claim(frame, purpose).await
    }

    /// Queues a record about a keyspace, all of whose shards the caller has locked. Calls `tell` with its revision while the
    /// queue is locked, and `apply` before the other locks go.
    pub(super) fn record<L>(
        &self,
        (code, payload, level): (u8, &[u8], Level),
        grant: Grant,
        mut shards: L,
        (tell, apply): (impl FnOnce(u64), impl FnOnce(&mut L, u64)),
    ) -> u64 {
        let mut queue = self.log.queue();
        let revision = queue.next_revision();
        let now_ms = self.clock.now_ms();
        let used = queue.push(code, now_ms, level, Payload::whole(payload));
        // With the queue locked: what is told of the keyspace has its place in the order of all changes.
        tell(revision);
        let wake = self.log.release(queue);
        apply(&mut shards, revision);
        drop(shards);
        drop(wake);
        grant.used(used);
        revision
    }

    fn create(&self, record: &KeyspaceRecord, payload: &[u8], grant: Grant) -> u64 {
        let keyspace = self.contents.keyspaces.make(record, Shard::default);
        keyspace.divide();
        let what = (kind::KEYSPACE, payload, Level::Durable);
        let tell = |revision| self.hub.born(&keyspace, revision);
        let apply = |shards: &mut Vec<Guard<'_>>, revision| {
            mark_all(shards, revision);
            // Its record is queued: whatever is put into it comes behind.
            self.contents.keyspaces.add(&keyspace);
        };
        self.record(what, grant, keyspace.map.write_all(), (tell, apply))
    }

    fn change(
        &self,
        keyspace: &Keyspace,
        record: &KeyspaceRecord,
        payload: &[u8],
        grant: Grant,
    ) -> Result<u64, KeyspaceError> {
        let shards = keyspace.map.write_all();
        check_pending(keyspace, &shards, record.policy.pending)?;
        let what = (kind::KEYSPACE, payload, Level::Durable);
        let apply = |shards: &mut Vec<Guard<'_>>, revision| {
            keyspace.set_policy(record.policy);
            // A keyspace in memory lives by revisions of its own, which are all newer than those of the log.
            if record.policy.durability != Durability::Memory {
                mark_all(shards, revision);
            }
        };
        Ok(self.record(what, grant, shards, (|_| {}, apply)))
    }

    fn replace(
        &self,
        old: &Arc<Keyspace>,
        record: &KeyspaceRecord,
        payload: &[u8],
        grant: Grant,
    ) -> Result<u64, KeyspaceError> {
        let new = self.contents.keyspaces.make(record, Shard::default);
        new.divide();
        let shards = old.map.write_all();
        let now_ms = self.clock.now_ms();
        check_nothing_pending(old)?;
        if !shards.iter().all(|shard| shard.is_empty_at(now_ms)) {
            return Err(KeyspaceError::DurabilityFixed {
                stored: old.durability(),
                asked: record.policy.durability,
            });
        }
        let what = (kind::KEYSPACE, payload, Level::Durable);
        let locked = (shards, new.map.write_all());
        let mut drained = Vec::new();
        let tell = |revision| {
            self.hub.died(old, revision);
            self.hub.born(&new, revision);
        };
        let apply = |(old_shards, new_shards): &mut (Vec<Guard<'_>>, Vec<Guard<'_>>), revision| {
            mark_all(new_shards, revision);
            old.set_dropped(Some(&new));
            let up_to = newest_of(old, revision);
            drained.extend(old_shards.iter_mut().map(|shard| shard.flush(up_to)));
            self.contents.keyspaces.add(&new);
            self.contents.keyspaces.drop_id(old.id(), revision);
        };
        let own = self.record(what, grant, locked, (tell, apply));
        let drained = drained.into_iter().map(Garbage::drained);
        self.garbage.lock().extend(drained);
        Ok(own)
    }

    fn drop_keyspace(
        &self,
        keyspace: &Keyspace,
        payload: &[u8],
        level: Level,
        grant: Grant,
    ) -> Result<u64, KeyspaceError> {
        let what = (kind::DROP, payload, level);
        let mut drained = Vec::new();
        let shards = keyspace.map.write_all();
        check_nothing_pending(keyspace)?;
        let apply = |shards: &mut Vec<Guard<'_>>, revision| {
            keyspace.set_dropped(None);
            let up_to = newest_of(keyspace, revision);
            drained.extend(shards.iter_mut().map(|shard| shard.flush(up_to)));
            self.contents.keyspaces.drop_id(keyspace.id(), revision);
        };
        let tell = |revision| self.hub.died(keyspace, revision);
        let own = self.record(what, grant, shards, (tell, apply));
        let drained = drained.into_iter().map(Garbage::drained);
        self.garbage.lock().extend(drained);
        Ok(own)
    }
}

/// A shard that is locked.
pub(super) type Guard<'k> = RwLockWriteGuard<'k, Shard>;

/// Refuses where something of `keyspace` waits to be passed on, or could not be. The caller has locked all shards.
fn check_nothing_pending(keyspace: &Keyspace) -> Result<(), KeyspaceError> {
    let ledger = keyspace.ledger();
    let (pending, dead) = (ledger.rows(), ledger.dead().len());
    if pending + dead > 0 {
        return Err(KeyspaceError::SinkPending { pending, dead });
    }
    Ok(())
}

/// Refuses another kind of what is pending while something of the kind before is. Nothing new may be wished for at any time.
fn check_pending(
    keyspace: &Keyspace,
    shards: &[Guard<'_>],
    asked: Pending,
) -> Result<(), KeyspaceError> {
    let sums = match asked {
        Pending::None => return Ok(()),
        Pending::Sums { .. } => true,
        Pending::Latest { .. } => false,
    };
    let dead = keyspace.ledger().dead();
    let letter = dead.behind(None).next().map(|(_, letter)| letter.pended);
    let row = shards.iter().find_map(|shard| shard.any_row());
    let differs = letter.is_some_and(|letter| (letter != Pended::Mark) != sums)
        || row.is_some_and(|row| (row.pended != Pended::Mark) != sums);
    drop(dead);
    if differs {
        return check_nothing_pending(keyspace);
    }
    Ok(())
}

fn mark_all(shards: &mut [Guard<'_>], revision: u64) {
    for shard in shards {
        shard.set_mark(revision);
    }
}

/// The revision up to which everything goes when `revision` drops a keyspace: what was never logged has newer ones.
fn newest_of(keyspace: &Keyspace, revision: u64) -> u64 {
    if keyspace.durability() == Durability::Memory {
        u64::MAX
    } else {
        revision
    }
}
