//! Writes a snapshot while writers go on: block after block under a temporary name, at most so fast.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use super::{Block, Chain, Footer, Identity, Kind, OfKeyspace};
use crate::clock::Clock;
use crate::fs::{Dir, File};
use crate::int::wide;
use crate::record::KeyspaceRecord;

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
    rows: u64,
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
            rows: 0,
            pace,
        })
    }

    /// How long to wait before the next block, so as not to be faster than allowed.
    pub(crate) fn pace(&self) -> Duration {
        self.pace.wait(self.offset)
    }

    /// Writes a block of keyspace `keyspace`, and empties it.
    pub(crate) fn block(&mut self, block: &mut Block, keyspace: u32) -> io::Result<()> {
        let (header, crc) = block.header(&self.identity, keyspace, self.offset);
        write_all(&*self.file, &[&header, block.body()], self.offset)?;
        self.chain.add(self.offset, crc);
        self.offset += wide(header.len() + block.len());
        self.newest = self.newest.max(block.newest());
        self.blocks += 1;
        match block.kind() {
            Kind::Entries => self.entries += block.count(),
            Kind::Pending | Kind::Dead => self.rows += block.count(),
        }
        block.clear();
        Ok(())
    }

    /// Changes up to `revision` may have had a part in what it holds, if only by what is missing.
    pub(crate) fn covers(&mut self, revision: u64) {
        self.newest = self.newest.max(revision);
    }

    /// The newest revision in it so far, at least S: the log must be durable up to here before it may be installed.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Writes the end and syncs. Returns the footer and the length of the file.
    pub(crate) fn finish(
        self,
        keyspaces: Vec<KeyspaceRecord>,
        dropped: Vec<u32>,
        generations: Vec<OfKeyspace>,
    ) -> io::Result<(Footer, u64)> {
        let footer = Footer {
            s: self.identity.s,
            t: self.newest,
            blocks: self.blocks,
            entries: self.entries,
            rows: self.rows,
            hash: self.chain.hash(),
            keyspaces,
            dropped,
            generations,
        };
        let end = footer.encode(&self.identity, self.offset);
        crate::fs::write_all_at(&*self.file, &end, self.offset)?;
        self.file.sync_all()?;
        self.file.drop_cache()?;
        Ok((footer, self.offset + wide(end.len())))
    }
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
