//! Folds the log into a snapshot while writers go on.
//!
//! 1. Rotate the log. S is the last revision before the rotation: everything up to it is in the map.
//! 2. Write the entries, a bounded number per lock hold, under a temporary name. T is the newest revision
//!    that was given out by the end of it.
//! 3. Wait until the log is durable up to T: a snapshot must never tell of what a crash could still take back.
//! 4. Write the footer with the keyspaces as they are now; sync; drop from the page cache; read back and verify.
//! 5. Rename; sync the directory. From the rename on a failure ends writing, because nobody knows what is on the disk.
//! 6. Put it into the manifest, and take the generation before the previous one out, with every segment that only it needs.
//! 7. Remove those files.
//!
//! A failure before step 5 only discards the new file. The order is that of Valkey's rewrite of its append-only file:
//! rotate first, fold outside of any lock.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{CompactError, Lost};
use crate::fs::Dir;
use crate::int::wide;
use crate::log::{Level, Log, is_full, segment};
use crate::manifest::{Manifest, ManifestFile, Snapshot};
use crate::map::{Contents, Entry, Keyspace, Open};
use crate::record::Parts;
use crate::snapshot::writer::Writer;
use crate::snapshot::{self, Block, Footer, Identity, Kind, OfKeyspace};
use crate::wait::block_on;

/// Most entries that one lock hold looks at.
const ENTRIES_PER_HOLD: usize = 512;
/// Most bytes of entries that one lock hold refers to.
const BYTES_PER_HOLD: u64 = 64 << 10;

/// What a compaction works on.
#[derive(Debug)]
pub(crate) struct Compaction<'a> {
    pub(crate) dir: &'a Arc<dyn Dir>,
    pub(crate) manifest: &'a ManifestFile,
    pub(crate) contents: &'a Contents,
    pub(crate) log: &'a Log,
    pub(crate) clock: &'a Arc<Clock>,
    pub(crate) bytes_per_second: Option<u64>,
}

/// A snapshot that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Every change up to this revision is in it.
    pub revision: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
}

fn discarded(what: &'static str) -> impl Fn(io::Error) -> CompactError {
    move |error| CompactError::Discarded(format!("{what}: {error}"))
}

impl Compaction<'_> {
    /// Makes a snapshot. `pause` waits between blocks and tells whether to go on.
    pub(crate) fn run(
        &self,
        pause: impl FnMut(Duration) -> bool,
    ) -> Result<Compacted, CompactError> {
        // First of all: a store that has lost durability has nothing good to say about its snapshots either.
        if let Some(lost) = self.log.lost() {
            return Err(lost.clone().into());
        }
        let newest = self
            .manifest
            .with(|manifest| manifest.snapshots.last().copied());
        if let Some(newest) = newest.filter(|newest| newest.s == self.log.last_revision()) {
            // Nothing has changed since: another one would only push the previous generation out.
            return Ok(Compacted {
                revision: newest.s,
                bytes: newest.len,
                entries: self.entries(),
            });
        }
        self.check_space()?;
        let s = self.log.rotate()?;
        let name = snapshot::name(s);
        let temporary = format!("{name}.tmp");
        drop(self.dir.remove(&temporary));
        let (snapshot, entries) = match self.write(s, &temporary, pause) {
            Ok(written) => written,
            Err(error) => {
                drop(self.dir.remove(&temporary));
                return Err(error);
            }
        };
        self.install(&temporary, &name, snapshot)?;
        Ok(Compacted {
            revision: s,
            bytes: snapshot.len,
            entries,
        })
    }

    fn entries(&self) -> u64 {
        let now_ms = self.clock.now_ms();
        self.contents
            .keyspaces
            .all()
            .iter()
            .map(|keyspace| keyspace.map.stats(now_ms).live)
            .sum()
    }

    /// 1.2 times the live bytes have to be free.
    fn check_space(&self) -> Result<(), CompactError> {
        let now = self.clock.now_ms();
        let all = self.contents.keyspaces.all().into_iter();
        let live: u64 = all
            .map(|keyspace| {
                let (stats, ledger) = (keyspace.map.stats(now), keyspace.ledger());
                let rows = ledger.rows() + ledger.dead().len();
                snapshot::estimate(stats.entry_bytes, stats.live, rows)
            })
            .sum();
        let needed = live + live / 5;
        let free = self
            .dir
            .space()
            .map_err(discarded("looking at the free space"))?
            .free;
        if free < needed {
            Err(CompactError::NoSpace { needed, free })
        } else {
            Ok(())
        }
    }

    fn write(
        &self,
        s: u64,
        temporary: &str,
        mut pause: impl FnMut(Duration) -> bool,
    ) -> Result<(Snapshot, u64), CompactError> {
        let store_id = self.manifest.with(|manifest| manifest.store_id);
        let identity = Identity::new(store_id, s);
        let clock = Arc::clone(self.clock);
        let mut writer = Writer::create(
            &**self.dir,
            temporary,
            identity,
            clock,
            self.bytes_per_second,
        )
        .map_err(discarded("creating the snapshot"))?;
        for keyspace in self.contents.keyspaces.all() {
            if keyspace.durability() != crate::Durability::Memory {
                let written = self.keyspace(&mut writer, &keyspace, &mut pause);
                written.map_err(|error| {
                    // The only one who interrupts is `pause`, when the store closes.
                    if error.kind() == io::ErrorKind::Interrupted {
                        CompactError::Closing
                    } else {
                        discarded("writing the snapshot")(error)
                    }
                })?;
            }
        }
        let keyspaces = self
            .contents
            .keyspaces
            .all()
            .iter()
            .map(|keyspace| keyspace.record())
            .collect();
        let dropped = self.contents.keyspaces.dropped_since(s);
        // Behind the rows, which are of these generations or of older ones.
        let generations = self.generations();
        // What is missing tells of a change as well: a key that was deleted, expired or flushed while this was written.
        writer.covers(self.log.last_revision());
        #[cfg(not(feature = "bug-snapshot-ahead"))]
        block_on(self.log.reached(Level::Durable, writer.newest()))?;
        let (footer, len) = writer
            .finish(keyspaces, dropped, generations)
            .map_err(discarded("finishing the snapshot"))?;
        let snapshot = Snapshot {
            s,
            t: footer.t,
            len,
            hash: footer.hash,
        };
        self.verify(temporary, len, &footer)?;
        Ok((snapshot, footer.entries))
    }

    /// Writes one keyspace: its entries, then what is pending of it, then what could not be passed on.
    ///
    /// In this order, because a flush marks the keys that it takes away and names none of them. Of one that comes while this is
    /// written, each key that it took away was either read before it: then replay finds its entry and marks it; or it was not:
    /// then its row is read later still, with the mark in it. Everything else that makes or ends a row names its key and says
    /// what the row is afterwards, so each row may be read at any moment.
    fn keyspace(
        &self,
        writer: &mut Writer,
        keyspace: &Keyspace,
        pause: &mut impl FnMut(Duration) -> bool,
    ) -> io::Result<()> {
        #[cfg(feature = "bug-pending-before-entries")]
        pending(writer, keyspace, pause)?;
        self.entries_of(writer, keyspace, pause)?;
        #[cfg(not(any(
            feature = "bug-pending-before-entries",
            feature = "bug-pending-not-in-snapshot"
        )))]
        pending(writer, keyspace, pause)?;
        dead(writer, keyspace)
    }

    /// The generations of all keyspaces of which that says anything.
    fn generations(&self) -> Vec<OfKeyspace> {
        let all = self.contents.keyspaces.all().into_iter();
        let all = all.map(|keyspace| (keyspace.id(), keyspace.ledger().generations().settled()));
        all.filter(|(_, generations)| !generations.is_new())
            .collect()
    }

    /// Writes the entries of one keyspace, shard by shard in key order.
    fn entries_of(
        &self,
        writer: &mut Writer,
        keyspace: &Keyspace,
        pause: &mut impl FnMut(Duration) -> bool,
    ) -> io::Result<()> {
        let mut block = Block::of(Kind::Entries);
        for shard in 0..keyspace.map.shards() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let held = hold(keyspace, shard, after.as_deref());
                let Some(last) = held.last() else { break };
                after = Some(last.key().to_vec());
                for entry in held.iter().filter(|entry| !entry.is_tombstone()) {
                    self.push(&mut block, entry);
                }
                if wide(block.len()) >= BYTES_PER_HOLD {
                    writer.block(&mut block, keyspace.id())?;
                }
                drop(held);
                if !pause(writer.pace()) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
        }
        if block.is_empty() {
            Ok(())
        } else {
            writer.block(&mut block, keyspace.id())
        }
    }

    fn push(&self, block: &mut Block, entry: &Entry) {
        let facts = entry.facts(&self.contents.facts);
        let parts = Parts {
            key: entry.key(),
            meta: facts.as_meta(),
            lifetime: entry.lifetime(),
            created_at_ms: entry.created_at_ms(),
        };
        block.push(entry.revision(), &parts, entry.key_and_value());
    }

    /// Reads back what is on the disk.
    fn verify(&self, temporary: &str, len: u64, written: &Footer) -> Result<(), CompactError> {
        let file = self
            .dir
            .open_read(temporary)
            .map_err(discarded("reading the snapshot back"))?;
        let store_id = self.manifest.with(|manifest| manifest.store_id);
        let identity = Identity::new(store_id, written.s);
        match snapshot::reader::verify(&*file, len, &identity) {
            Ok(read) if read == *written => Ok(()),
            Ok(_) => Err(CompactError::Discarded(
                "reading the snapshot back: it is another one".to_owned(),
            )),
            Err(error) => Err(CompactError::Discarded(format!(
                "reading the snapshot back: {error}"
            ))),
        }
    }

    /// Steps 5 to 7.
    fn install(&self, temporary: &str, name: &str, snapshot: Snapshot) -> Result<(), CompactError> {
        // A failed sync ends writing: what it leaves behind must not become durable knowledge.
        if let Some(lost) = self.log.lost() {
            drop(self.dir.remove(temporary));
            return Err(lost.clone().into());
        }
        let ended = |error: &io::Error| {
            self.log.poison(format!(
                "replacement of {} failed: {error}",
                self.dir.display(name)
            ));
            CompactError::Lost(Lost {
                reason: error.to_string().into(),
            })
        };
        self.dir
            .rename(temporary, name)
            .and_then(|()| self.dir.sync())
            .map_err(|error| ended(&error))?;
        let durable = self.log.durable();
        let mut gone = Vec::new();
        let updated = self.manifest.update(|manifest| {
            manifest.durable = manifest.durable.max(durable);
            manifest.snapshots.push(snapshot);
            gone = prune(manifest, 2);
        });
        match updated {
            Ok(()) => {}
            Err(error) if !error.renamed && is_full(&error.source) => {
                drop(self.dir.remove(name));
                return Err(CompactError::Discarded(format!(
                    "writing the manifest: {}",
                    error.source
                )));
            }
            Err(error) => return Err(ended(&error.source)),
        }
        remove(&**self.dir, &gone);
        self.contents.keyspaces.forget_dropped(snapshot.s);
        Ok(())
    }
}

/// References to the next entries of a shard: a bounded number, so that the lock is held for a bounded time.
fn hold(keyspace: &Keyspace, shard: usize, after: Option<&[u8]>) -> Vec<Entry> {
    let shard = keyspace.map.read(shard);
    let mut bytes = 0;
    let behind = shard
        .range(after.unwrap_or_default())
        .skip_while(|entry| after == Some(entry.key()));
    behind
        .take(ENTRIES_PER_HOLD)
        .take_while(|entry| {
            let more = bytes < BYTES_PER_HOLD;
            bytes += entry.footprint();
            more
        })
        .cloned()
        .collect()
}

/// Adds the next rows of a shard to a block: a bounded number, so that the lock is held for a bounded time. Returns the last of
/// them.
fn hold_rows(
    keyspace: &Keyspace,
    shard: usize,
    after: Option<&(u64, Vec<u8>)>,
    block: &mut Block,
) -> Option<(u64, Vec<u8>)> {
    let shard = keyspace.map.read(shard);
    let (mut count, mut last) = (0, None);
    for open in [Open::Frozen, Open::Current] {
        let Some(generation) = keyspace.ledger().generation(open) else {
            continue;
        };
        let from = match after {
            Some((of, _)) if *of > generation => continue,
            Some((of, key)) if *of == generation => Bound::Excluded(&**key),
            Some(_) | None => Bound::Unbounded,
        };
        for (key, row) in shard.rows(open, from).take(ENTRIES_PER_HOLD - count) {
            block.push_row(generation, key, row);
            count += 1;
            last = Some((generation, key.to_vec()));
        }
    }
    last
}

/// Writes what is pending, shard by shard, generation by generation in key order.
#[cfg_attr(
    feature = "bug-pending-not-in-snapshot",
    expect(dead_code, reason = "that is the bug")
)]
fn pending(
    writer: &mut Writer,
    keyspace: &Keyspace,
    pause: &mut impl FnMut(Duration) -> bool,
) -> io::Result<()> {
    let mut block = Block::of(Kind::Pending);
    for shard in 0..keyspace.map.shards() {
        let mut after: Option<(u64, Vec<u8>)> = None;
        while let Some(last) = hold_rows(keyspace, shard, after.as_ref(), &mut block) {
            after = Some(last);
            if wide(block.len()) >= BYTES_PER_HOLD {
                writer.block(&mut block, keyspace.id())?;
            }
            if !pause(writer.pace()) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }
    if block.is_empty() {
        Ok(())
    } else {
        writer.block(&mut block, keyspace.id())
    }
}

/// Writes what could not be passed on.
fn dead(writer: &mut Writer, keyspace: &Keyspace) -> io::Result<()> {
    let mut block = Block::of(Kind::Dead);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let letters = keyspace.ledger().dead();
        let next = letters.behind(after.as_deref()).take(ENTRIES_PER_HOLD);
        let mut last = None;
        for (key, letter) in next {
            block.push_letter(key, letter);
            last = Some(key.to_vec());
        }
        drop(letters);
        if block.is_empty() {
            return Ok(());
        }
        writer.block(&mut block, keyspace.id())?;
        after = last;
    }
}

/// Takes all but the newest `keep` snapshots out of a manifest, and the segments that only they need. Returns the files.
fn prune(manifest: &mut Manifest, keep: usize) -> Vec<String> {
    let surplus = manifest.snapshots.len().saturating_sub(keep);
    if surplus == 0 {
        return Vec::new();
    }
    let mut gone: Vec<String> = manifest
        .snapshots
        .drain(..surplus)
        .map(|snapshot| snapshot::name(snapshot.s))
        .collect();
    let covered = manifest.snapshots.first().map_or(0, |oldest| oldest.s);
    manifest.segments.retain(|segment| {
        let needed = segment
            .sealed
            .is_none_or(|sealed| sealed.last_revision > covered);
        if !needed {
            gone.push(segment::name(segment.number));
        }
        needed
    });
    gone
}

/// Removes files that the manifest no longer names; what stays is found at the next start.
fn remove(dir: &dyn Dir, names: &[String]) {
    for name in names {
        if let Err(error) = dir.remove(name) {
            tracing::warn!(file = %dir.display(name), %error, "a file that is not needed any more could not be removed");
        }
    }
}

/// Gives up the previous snapshot generation to free space. `true` where something was freed.
pub(crate) fn give_up_previous(dir: &dyn Dir, manifest: &ManifestFile) -> bool {
    if manifest.with(|manifest| manifest.snapshots.len() < 2) {
        return false;
    }
    let mut gone = Vec::new();
    let updated = manifest.update(|manifest| gone = prune(manifest, 1));
    if updated.is_err() {
        return false;
    }
    remove(dir, &gone);
    true
}
