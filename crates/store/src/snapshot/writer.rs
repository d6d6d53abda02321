//! Writes a snapshot while writers go on: block after block under a temporary name, at most so fast.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use super::{Block, Chain, Footer, Identity};
use crate::clock::Clock;
use crate::fs::{Dir, File};
use crate::int::wide;
use crate::map::{Entry, FactsTable, Keyspace};

/// Most entries that one lock hold looks at.
const ENTRIES_PER_HOLD: usize = 512;
/// Most bytes of entries that one lock hold refers to.
const BYTES_PER_HOLD: u64 = 64 << 10;

/// A snapshot that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    file: Arc<dyn File>,
    identity: Identity,
    offset: u64,
    chain: Chain,
    newest: u64,
    blocks: u64,
    entries: u64,
    pace: Pace,
}

/// How fast it may go.
#[derive(Debug)]
struct Pace {
    clock: Arc<Clock>,
    started: Duration,
    bytes_per_second: Option<u64>,
}

impl Pace {
    /// How long to wait, having written `bytes` since the start.
    fn wait(&self, bytes: u64) -> Duration {
        let Some(rate) = self.bytes_per_second.filter(|rate| *rate > 0) else {
            return Duration::ZERO;
        };
        let due =
            Duration::from_nanos(bytes.saturating_mul(1_000_000) / rate.div_ceil(1_000).max(1));
        (self.started + due).saturating_sub(self.clock.monotonic())
    }
}

impl Writer {
    /// Begins a snapshot in the new file `name`.
    pub(crate) fn create(
        dir: &dyn Dir,
        name: &str,
        identity: Identity,
        clock: Arc<Clock>,
        bytes_per_second: Option<u64>,
    ) -> io::Result<Self> {
        let file = dir.create(name)?;
        let header = identity.header(clock.now_ms());
        crate::fs::write_all_at(&*file, &header, 0)?;
        let newest = identity.s;
        let pace = Pace {
            started: clock.monotonic(),
            clock,
            bytes_per_second,
        };
        Ok(Self {
            file,
            identity,
            offset: wide(header.len()),
            chain: Chain::default(),
            newest,
            blocks: 0,
            entries: 0,
            pace,
        })
    }

    /// Writes the entries of one keyspace, shard by shard in key order. `pause` is called between blocks with how long to
    /// wait, and tells whether to go on.
    pub(crate) fn keyspace(
        &mut self,
        keyspace: &Keyspace,
        facts: &FactsTable,
        mut pause: impl FnMut(Duration) -> bool,
    ) -> io::Result<()> {
        let mut block = Block::default();
        for shard in 0..keyspace.map.shards() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let held = hold(keyspace, shard, after.as_deref());
                let Some(last) = held.last() else { break };
                after = Some(last.key().to_vec());
                for entry in held.iter().filter(|entry| !entry.is_tombstone()) {
                    block.push(entry, facts);
                }
                if wide(block.len()) >= BYTES_PER_HOLD {
                    self.block(&mut block, keyspace.id())?;
                }
                drop(held);
                if !pause(self.pace.wait(self.offset)) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
        }
        if block.is_empty() {
            Ok(())
        } else {
            self.block(&mut block, keyspace.id())
        }
    }

    fn block(&mut self, block: &mut Block, keyspace: u32) -> io::Result<()> {
        let (header, crc) = block.header(&self.identity, keyspace, self.offset);
        write_all(&*self.file, &[&header, block.body()], self.offset)?;
        self.chain.add(self.offset, crc);
        self.offset += wide(header.len() + block.len());
        self.newest = self.newest.max(block.newest());
        self.blocks += 1;
        self.entries += block.count();
        block.clear();
        Ok(())
    }

    /// The newest revision in it so far, at least S: the log must be durable up to here before it may be installed.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Writes the end and syncs. Returns the footer and the length of the file.
    pub(crate) fn finish(
        self,
        keyspaces: Vec<crate::record::KeyspaceRecord>,
        dropped: Vec<u32>,
    ) -> io::Result<(Footer, u64)> {
        let footer = Footer {
            s: self.identity.s,
            t: self.newest,
            blocks: self.blocks,
            entries: self.entries,
            hash: self.chain.hash(),
            keyspaces,
            dropped,
        };
        let end = footer.encode(&self.identity, self.offset);
        crate::fs::write_all_at(&*self.file, &end, self.offset)?;
        self.file.sync_all()?;
        self.file.drop_cache()?;
        Ok((footer, self.offset + wide(end.len())))
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

fn write_all(file: &dyn File, pieces: &[&[u8]], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_at(rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += wide(n);
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
