//! A snapshot: all entries of a moment that took a while, in blocks with checksums. Pure; [`writer`] and [`reader`] do the
//! files.
//!
//! ```text
//! header: "SPSNAPSH" | u32 version | u32 reserved | store id 16 | u64 S | u64 created_ms | u32 crc32(before)
//! block:  u32 body len | u32 count | u32 keyspace | u32 kind | u32 crc32(store id, S, offset, the four fields, body) | body
//! body:   of kind 0, entries: count x (u64 revision, u32 value len, what a put record has up to the key, key, value)
//!         of kind 1, pending: count x (u64 revision, u64 generation, u16 len, key, pended 64)
//!         of kind 2, dead:    count x (u64 revision, u64 at_ms, u16 len, key, pended 128, u16 len, reason)
//! footer: u64 S | u64 T | u64 blocks | u64 entries | u64 rows of the other kinds | u32 hash
//!         | u32 n, n x (u16 len, keyspace record) | u32 n, n x u32 dropped keyspace
//!         | u32 n, n x (u32 keyspace, u64 current generation, u64 since_ms, u8 frozen, [u64 generation, u64 mark, u64 since_ms])
//! tail:   u32 footer len | u32 crc32(store id, S, offset, footer, footer len) | "SPSNAPEN"
//! ```
//!
//! `S`: every change up to it is inside. `T`: no change behind it is inside; writers go on while a snapshot is written, so
//! it holds some changes between the two, and replay from `S + 1` brings the rest. `hash` chains the checksums of all
//! blocks in order, so that a lost, doubled or moved block is found.

mod pending;
pub(crate) mod reader;
pub(crate) mod writer;

pub(crate) use pending::{OfKeyspace, StoredLetter, StoredRow};

use crc32fast::Hasher;

use crate::int::{slot32, wide};
use crate::record::{KeyspaceRecord, Malformed, Parts, Take, put_parts, take_parts};

const MAGIC: &[u8; 8] = b"SPSNAPSH";
const TAIL_MAGIC: &[u8; 8] = b"SPSNAPEN";
/// The version of the snapshot format that this program writes.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the header.
pub(crate) const HEADER: usize = 52;
/// Bytes of a block before its body.
pub(crate) const BLOCK_HEADER: usize = 20;
/// Bytes behind the footer.
pub(crate) const TAIL: usize = 16;

/// The file name of the snapshot of `s`.
pub(crate) fn name(s: u64) -> String {
    format!("snapshot-{s:020}.kv")
}

/// Whether a name is that of a snapshot, finished or not.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with("snapshot-")
}

/// What ties the parts of a snapshot to it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    store_id: [u8; 16],
    pub(crate) s: u64,
    seed: Hasher,
}

impl Identity {
    pub(crate) fn new(store_id: [u8; 16], s: u64) -> Self {
        let mut seed = Hasher::new();
        seed.update(&store_id);
        seed.update(&s.to_le_bytes());
        Self { store_id, s, seed }
    }

    fn crc(&self, offset: u64, parts: &[&[u8]]) -> u32 {
        let mut hasher = self.seed.clone();
        hasher.update(&offset.to_le_bytes());
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }

    pub(crate) fn header(&self, created_ms: u64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.s.to_le_bytes());
        out.extend_from_slice(&created_ms.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Checks the header of this snapshot. `Ok(Err(version))`: valid, but of a version that this program does not know.
    pub(crate) fn check_header(&self, bytes: &[u8]) -> Result<Result<(), u32>, Malformed> {
        let mut take = Take(bytes);
        let covered = take.bytes(HEADER - 4)?;
        if take.u32()? != crc32fast::hash(covered) {
            return Err(Malformed("its header's checksum is wrong"));
        }
        let mut take = Take(covered);
        if take.array::<8>()? != *MAGIC {
            return Err(Malformed("it does not start as a snapshot does"));
        }
        let version = take.u32()?;
        if version != VERSION {
            return Ok(Err(version));
        }
        take.u32()?;
        if take.array::<16>()? != self.store_id || take.u64()? != self.s {
            return Err(Malformed("it belongs to another store or another moment"));
        }
        Ok(Ok(()))
    }
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Entries,
    /// What is pending for a sink.
    Pending,
    /// What could not be passed on.
    Dead,
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Self::Entries => 0,
            Self::Pending => 1,
            Self::Dead => 2,
        }
    }

    fn of(code: u32) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::Entries),
            1 => Ok(Self::Pending),
            2 => Ok(Self::Dead),
            _ => Err(Malformed("unknown kind of block")),
        }
    }
}

/// A block that is being filled.
#[derive(Debug)]
pub(crate) struct Block {
    kind: Kind,
    body: Vec<u8>,
    count: u32,
    newest: u64,
}

impl Block {
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            body: Vec::new(),
            count: 0,
            newest: 0,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The newest revision in it.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Adds an entry; `key_and_value` are its key and value side by side.
    pub(crate) fn push(&mut self, revision: u64, parts: &Parts<'_>, key_and_value: &[u8]) {
        self.body.extend_from_slice(&revision.to_le_bytes());
        self.body
            .extend_from_slice(&slot32(key_and_value.len() - parts.key.len()).to_le_bytes());
        put_parts(&mut self.body, parts, 0);
        self.body.extend_from_slice(key_and_value);
        self.added(revision);
    }

    fn push_key(&mut self, key: &[u8]) {
        let len = u16::try_from(key.len()).expect("keys are checked against MAX_KEY_BYTES before");
        self.body.extend_from_slice(&len.to_le_bytes());
        self.body.extend_from_slice(key);
    }

    fn added(&mut self, revision: u64) {
        self.count += 1;
        self.newest = self.newest.max(revision);
    }

    /// The header of this block at `offset`, and its checksum.
    pub(crate) fn header(
        &self,
        identity: &Identity,
        keyspace: u32,
        offset: u64,
    ) -> ([u8; BLOCK_HEADER], u32) {
        let len = slot32(self.body.len()).to_le_bytes();
        let count = self.count.to_le_bytes();
        let keyspace = keyspace.to_le_bytes();
        let kind = self.kind.code().to_le_bytes();
        let crc = identity.crc(offset, &[&len, &count, &keyspace, &kind, &self.body]);
        let mut header = [0; BLOCK_HEADER];
        for (place, byte) in header
            .iter_mut()
            .zip([len, count, keyspace, kind, crc.to_le_bytes()].as_flattened())
        {
            *place = *byte;
        }
        (header, crc)
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Makes it ready to be filled again.
    pub(crate) fn clear(&mut self) {
        self.body.clear();
        self.body.shrink_to(1 << 20);
        self.count = 0;
    }
}

/// The header of a block, read back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockHeader {
    pub(crate) len: u32,
    pub(crate) count: u32,
    pub(crate) keyspace: u32,
    kind: u32,
    pub(crate) crc: u32,
}

impl BlockHeader {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(bytes);
        Ok(Self {
            len: take.u32()?,
            count: take.u32()?,
            keyspace: take.u32()?,
            kind: take.u32()?,
            crc: take.u32()?,
        })
    }

    pub(crate) fn kind(&self) -> Result<Kind, Malformed> {
        Kind::of(self.kind)
    }

    /// Whether `body` is what was written at `offset`.
    pub(crate) fn matches(&self, identity: &Identity, offset: u64, body: &[u8]) -> bool {
        let fields = [
            self.len.to_le_bytes(),
            self.count.to_le_bytes(),
            self.keyspace.to_le_bytes(),
            self.kind.to_le_bytes(),
        ];
        identity.crc(offset, &[fields.as_flattened(), body]) == self.crc
    }
}

/// An entry of a block, read back.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) revision: u64,
    pub(crate) parts: Parts<'a>,
    pub(crate) value: &'a [u8],
}

/// The entries of a block's body.
pub(crate) fn entries(body: &[u8]) -> impl Iterator<Item = Result<Stored<'_>, Malformed>> {
    let mut take = Take(body);
    std::iter::from_fn(move || {
        if take.0.is_empty() {
            return None;
        }
        Some(stored(&mut take))
    })
}

fn stored<'a>(take: &mut Take<'a>) -> Result<Stored<'a>, Malformed> {
    let revision = take.u64()?;
    let value_len = crate::int::index(take.u32()?);
    let parts = take_parts(take, 0)?;
    Ok(Stored {
        revision,
        parts,
        value: take.bytes(value_len)?,
    })
}

/// What the end of a snapshot says about the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) s: u64,
    pub(crate) t: u64,
    pub(crate) blocks: u64,
    pub(crate) entries: u64,
    /// Pending rows and dead letters.
    pub(crate) rows: u64,
    pub(crate) hash: u32,
    pub(crate) keyspaces: Vec<KeyspaceRecord>,
    pub(crate) dropped: Vec<u32>,
    /// Where they say anything.
    pub(crate) generations: Vec<OfKeyspace>,
}

impl Footer {
    /// Footer and tail, as they stand at `offset`.
    pub(crate) fn encode(&self, identity: &Identity, offset: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.s, self.t, self.blocks, self.entries, self.rows] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&slot32(self.keyspaces.len()).to_le_bytes());
        for keyspace in &self.keyspaces {
            let encoded = keyspace.encoded();
            let len = u16::try_from(encoded.len()).expect("a keyspace record is far below 64 KiB");
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(&encoded);
        }
        out.extend_from_slice(&slot32(self.dropped.len()).to_le_bytes());
        for id in &self.dropped {
            out.extend_from_slice(&id.to_le_bytes());
        }
        out.extend_from_slice(&slot32(self.generations.len()).to_le_bytes());
        for generations in &self.generations {
            pending::put_generations(&mut out, generations);
        }
        let len = slot32(out.len()).to_le_bytes();
        let crc = identity.crc(offset, &[&out, &len]);
        out.extend_from_slice(&len);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(TAIL_MAGIC);
        out
    }

    /// The length of the footer that `tail` closes, and its checksum.
    pub(crate) fn tail(tail: &[u8]) -> Result<(u32, u32), Malformed> {
        let mut take = Take(tail);
        let (len, crc) = (take.u32()?, take.u32()?);
        if take.0 == TAIL_MAGIC.as_slice() {
            Ok((len, crc))
        } else {
            Err(Malformed("it does not end as a snapshot does"))
        }
    }

    pub(crate) fn decode(
        bytes: &[u8],
        identity: &Identity,
        offset: u64,
        crc: u32,
    ) -> Result<Self, Malformed> {
        if identity.crc(offset, &[bytes, &slot32(bytes.len()).to_le_bytes()]) != crc {
            return Err(Malformed("its footer's checksum is wrong"));
        }
        let mut take = Take(bytes);
        let (s, t) = (take.u64()?, take.u64()?);
        let (blocks, entries, rows) = (take.u64()?, take.u64()?, take.u64()?);
        let hash = take.u32()?;
        let keyspaces = (0..take.u32()?)
            .map(|_| KeyspaceRecord::decode(take.key()?))
            .collect::<Result<_, _>>()?;
        let dropped = (0..take.u32()?)
            .map(|_| take.u32())
            .collect::<Result<_, _>>()?;
        let generations = (0..take.u32()?)
            .map(|_| pending::take_generations(&mut take))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            s,
            t,
            blocks,
            entries,
            rows,
            hash,
            keyspaces,
            dropped,
            generations,
        })
    }
}

/// Chains the checksums of blocks in order.
#[derive(Debug, Default)]
pub(crate) struct Chain(Hasher);

impl Chain {
    pub(crate) fn add(&mut self, offset: u64, crc: u32) {
        self.0.update(&offset.to_le_bytes());
        self.0.update(&crc.to_le_bytes());
    }

    pub(crate) fn hash(self) -> u32 {
        self.0.finalize()
    }
}

/// Bytes that a snapshot takes, about.
pub(crate) fn estimate(entry_bytes: u64, entries: u64, rows: u64) -> u64 {
    entry_bytes + entries * 24 + rows * 128 + wide(HEADER + TAIL)
}
