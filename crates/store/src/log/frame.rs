//! The bytes of a record in the log. Pure: it neither reads nor writes files.
//!
//! ```text
//! u32 len | u8 type | u8 flags | u16 reserved | u64 revision | u64 durable_revision | u64 time_ms
//!         | u32 header_crc | u32 payload_crc | payload (len bytes)
//! header_crc  = crc32(salt, segment number, offset, the fields before it)
//! payload_crc = crc32(salt, revision, payload)
//! ```
//!
//! Two checksums, because a flipped bit in `len` would look like a torn tail otherwise. Both are seeded with the segment's
//! salt (the idea is that of the `SQLite` WAL header), so that a stale block, a record of another segment or a log that was stored as
//! a value never validates; zeros never parse, because no type is 0.
//! `flags` 1: the payload is longer than 64 KiB; it is preceded by a CRC for each 64 KiB of it,
//! `crc32(salt, revision, u32 chunk, bytes)`, `len` counts them, and `payload_crc` covers them alone.

use bytes::Bytes;
use crc32fast::Hasher;

use crate::int::{narrow, slot32, wide};
use crate::record::{Salt, kind};

/// Bytes of a frame before its payload.
pub(crate) const HEADER: usize = 40;
/// Bytes of the header that `header_crc` covers.
const FIELDS: usize = 32;
/// Payloads above this carry a CRC for each part of this size.
pub(crate) const CHUNK: usize = 64 << 10;
/// Entries up to this size are copied into the batch; larger ones are written from where they are.
const COPIED: usize = 4 << 10;
const CHUNKED: u8 = 1;

/// The checksums of a segment's frames, with salt and number already mixed in.
#[derive(Debug, Clone)]
pub(crate) struct Seeds {
    header: Hasher,
    payload: Hasher,
}

impl Seeds {
    pub(crate) fn new(salt: &Salt, number: u64) -> Self {
        let mut payload = Hasher::new();
        payload.update(salt);
        let mut header = payload.clone();
        header.update(&number.to_le_bytes());
        Self { header, payload }
    }

    fn header_crc(&self, offset: u64, fields: &[u8]) -> u32 {
        let mut hasher = self.header.clone();
        hasher.update(&offset.to_le_bytes());
        hasher.update(fields);
        hasher.finalize()
    }

    fn payload(&self, revision: u64) -> Hasher {
        let mut hasher = self.payload.clone();
        hasher.update(&revision.to_le_bytes());
        hasher
    }
}

/// The fields of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes behind the header, the chunk table included.
    pub(crate) len: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) revision: u64,
    pub(crate) durable: u64,
    pub(crate) time_ms: u64,
    payload_crc: u32,
}

impl Header {
    /// The header at `offset` of its segment; `None` where it is not valid there. `max_len` comes from the segment's own
    /// header and bounds what anybody allocates.
    pub(crate) fn parse(bytes: &[u8], seeds: &Seeds, offset: u64, max_len: u32) -> Option<Self> {
        let fields: &[u8; FIELDS] = bytes.first_chunk()?;
        let u32_at = |at: usize| {
            bytes
                .get(at..)
                .and_then(<[u8]>::first_chunk)
                .map(|b| u32::from_le_bytes(*b))
        };
        let u64_at = |at: usize| {
            bytes
                .get(at..)
                .and_then(<[u8]>::first_chunk)
                .map(|b| u64::from_le_bytes(*b))
        };
        let (kind, flags) = (*fields.get(4)?, *fields.get(5)?);
        let len = u32_at(0)?;
        // The cheap questions first: most of what is asked about while looking for lost records is not a header at all.
        let plausible = kind != 0 && flags <= CHUNKED && u64_at(0)? >> 48 == 0 && len <= max_len;
        let right = u32_at(FIELDS)? == seeds.header_crc(offset, fields);
        if !plausible || !(right || cfg!(feature = "bug-one-crc")) {
            return None;
        }
        let payload_crc = u32_at(FIELDS + 4)?;
        Some(Self {
            len,
            kind,
            flags,
            revision: u64_at(8)?,
            durable: u64_at(16)?,
            time_ms: u64_at(24)?,
            payload_crc,
        })
    }

    /// The payload within `stored`, the bytes behind the header; `None` where a checksum says no or bytes are missing.
    pub(crate) fn payload<'b>(&self, stored: &'b [u8], seeds: &Seeds) -> Option<&'b [u8]> {
        let stored = stored.get(..narrow(u64::from(self.len)))?;
        let mut hasher = seeds.payload(self.revision);
        if self.flags & CHUNKED == 0 {
            hasher.update(stored);
            return (hasher.finalize() == self.payload_crc).then_some(stored);
        }
        let count = stored.len().div_ceil(CHUNK + 4);
        let (table, payload) = stored.split_at_checked(count * 4)?;
        hasher.update(table);
        let chunks = payload.chunks(CHUNK);
        let good = hasher.finalize() == self.payload_crc
            && chunks.len() == count
            && chunks
                .zip(table.chunks_exact(4))
                .enumerate()
                .all(|(n, (chunk, stored))| {
                    stored == chunk_crc(seeds, self.revision, n, &[chunk]).to_le_bytes()
                });
        good.then_some(payload)
    }
}

fn chunk_crc(seeds: &Seeds, revision: u64, chunk: usize, parts: &[&[u8]]) -> u32 {
    let mut hasher = seeds.payload(revision);
    hasher.update(&slot32(chunk).to_le_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Bytes that a frame with a payload of `len` bytes takes in a segment.
pub(crate) fn frame_len(len: u64) -> u64 {
    wide(HEADER)
        + len
        + if len > wide(CHUNK) {
            len.div_ceil(wide(CHUNK)) * 4
        } else {
            0
        }
}

/// The payload of a record on its way into the log: what was built for it, and what follows in one piece.
#[derive(Clone, Copy)]
pub(crate) struct Payload<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) body: &'a [u8],
    /// Gives the body as something that can be held until it is written, so that a large one is not copied.
    pub(crate) hold: Option<&'a dyn Fn() -> Bytes>,
}

impl<'a> Payload<'a> {
    /// A payload that was built whole.
    pub(crate) fn whole(prefix: &'a [u8]) -> Self {
        Self {
            prefix,
            body: &[],
            hold: None,
        }
    }

    fn len(&self) -> usize {
        self.prefix.len() + self.body.len()
    }
}

/// Records that wait to be written, in revision order: their bytes without offsets and checksums, which only the writer
/// can know.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Queued>,
}

#[derive(Debug)]
struct Queued {
    /// Where the frame starts in `bytes`, and how many bytes of it lie there.
    start: usize,
    inline: usize,
    /// What follows them, where it was too large to copy.
    tail: Option<Bytes>,
    revision: u64,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many records wait.
    pub(crate) fn count(&self) -> usize {
        self.frames.len()
    }

    /// Makes it ready to be filled again, keeping its memory unless it has grown out of the ordinary.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 << 20);
    }

    /// Adds a record. Returns the bytes that its frame takes.
    pub(crate) fn push(
        &mut self,
        kind: u8,
        revision: u64,
        time_ms: u64,
        payload: Payload<'_>,
    ) -> u64 {
        let start = self.bytes.len();
        let logical = payload.len();
        let table = if logical > CHUNK {
            logical.div_ceil(CHUNK) * 4
        } else {
            0
        };
        let flags = if table == 0 { 0 } else { CHUNKED };
        let len = slot32(table + logical);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&[kind, flags, 0, 0]);
        self.bytes.extend_from_slice(&revision.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(&time_ms.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.resize(self.bytes.len() + table, 0);
        self.bytes.extend_from_slice(payload.prefix);
        let tail = payload.hold.filter(|_| logical > COPIED).map(|hold| hold());
        if tail.is_none() {
            self.bytes.extend_from_slice(payload.body);
        }
        self.frames.push(Queued {
            start,
            inline: self.bytes.len() - start,
            tail,
            revision,
        });
        wide(HEADER + table + logical)
    }

    /// Bytes of frame `n`.
    pub(crate) fn frame_len(&self, n: usize) -> Option<u64> {
        let frame = self.frames.get(n)?;
        Some(wide(
            frame.inline + frame.tail.as_ref().map_or(0, Bytes::len),
        ))
    }

    /// The revision of frame `n`.
    pub(crate) fn revision(&self, n: usize) -> Option<u64> {
        self.frames.get(n).map(|frame| frame.revision)
    }

    /// Fills in what depends on the place in the segment: durable revision and checksums.
    pub(crate) fn finish(&mut self, n: usize, seeds: &Seeds, offset: u64, durable: u64) {
        let Some(Queued {
            start,
            inline,
            tail,
            revision,
        }) = self.frames.get(n)
        else {
            return;
        };
        let tail = tail.as_deref().unwrap_or_default();
        let Some(bytes) = self.bytes.get_mut(*start..start + inline) else {
            return;
        };
        let Some((header, inline)) = bytes.split_first_chunk_mut::<HEADER>() else {
            return;
        };
        let crc = if header.get(5).is_some_and(|flags| flags & CHUNKED != 0) {
            fill_table(inline, tail, seeds, *revision)
        } else {
            let mut hasher = seeds.payload(*revision);
            hasher.update(inline);
            hasher.update(tail);
            hasher.finalize()
        };
        let (fields, crcs) = header.split_at_mut(FIELDS);
        put_at(fields, 16, &durable.to_le_bytes());
        put_at(crcs, 0, &seeds.header_crc(offset, fields).to_le_bytes());
        put_at(crcs, 4, &crc.to_le_bytes());
    }

    /// The bytes of the frames `range`, in order, in as few pieces as they lie in.
    pub(crate) fn pieces(&self, range: std::ops::Range<usize>) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        let mut run = None;
        for frame in self.frames.get(range).unwrap_or_default() {
            let (from, _) = run.unwrap_or((frame.start, 0));
            let end = frame.start + frame.inline;
            run = Some((from, end));
            if let Some(tail) = &frame.tail {
                pieces.extend(self.bytes.get(from..end));
                pieces.push(tail);
                run = None;
            }
        }
        pieces.extend(run.and_then(|(from, end)| self.bytes.get(from..end)));
        pieces
    }
}

fn put_at(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Fills the table of chunk checksums at the start of `inline`; the payload is the rest of it and `tail`. Returns the
/// checksum of the table.
fn fill_table(inline: &mut [u8], tail: &[u8], seeds: &Seeds, revision: u64) -> u32 {
    let count = (inline.len() + tail.len()).div_ceil(CHUNK + 4);
    let (table, head) = inline.split_at_mut((count * 4).min(inline.len()));
    let len = head.len() + tail.len();
    for (n, place) in table.chunks_exact_mut(4).enumerate() {
        let (from, to) = (n * CHUNK, ((n + 1) * CHUNK).min(len));
        // The part of the chunk that lies in each of the two pieces.
        let first = head
            .get(from.min(head.len())..to.min(head.len()))
            .unwrap_or_default();
        let second = tail
            .get(from.saturating_sub(head.len())..to.saturating_sub(head.len()))
            .unwrap_or_default();
        place.copy_from_slice(&chunk_crc(seeds, revision, n, &[first, second]).to_le_bytes());
    }
    let mut hasher = seeds.payload(revision);
    hasher.update(table);
    hasher.finalize()
}

/// A record without payload (seal or mark) as the bytes of its frame.
pub(crate) fn bare(
    code: u8,
    revision: u64,
    durable: u64,
    time_ms: u64,
    seeds: &Seeds,
    offset: u64,
) -> Vec<u8> {
    debug_assert!(code == kind::SEAL || code == kind::MARK);
    let mut batch = Batch::default();
    batch.push(code, revision, time_ms, Payload::whole(&[]));
    batch.finish(0, seeds, offset, durable);
    batch.bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = [7; 16];

    fn body(len: usize) -> Vec<u8> {
        std::iter::successors(Some(0_u8), |byte| {
            Some(byte.wrapping_mul(31).wrapping_add(17))
        })
        .take(len)
        .collect()
    }

    fn encoded(len: usize, offset: u64) -> (Vec<u8>, Vec<u8>) {
        let body = body(len);
        let mut batch = Batch::default();
        let hold = || Bytes::copy_from_slice(&body);
        let payload = Payload {
            prefix: b"prefix",
            body: &body,
            hold: Some(&hold),
        };
        let taken = batch.push(kind::PUT, 9, 77, payload);
        batch.finish(0, &Seeds::new(&SALT, 3), offset, 8);
        let bytes = batch.pieces(0..1).concat();
        assert_eq!(wide(bytes.len()), taken);
        assert_eq!(batch.frame_len(0), Some(taken));
        assert_eq!(frame_len(wide(6 + body.len())), taken);
        (bytes, body)
    }

    #[test]
    fn frames_of_every_size_read_back() {
        let seeds = Seeds::new(&SALT, 3);
        for value_len in [
            0,
            1,
            100,
            COPIED,
            COPIED + 1,
            CHUNK - 6,
            CHUNK - 5,
            CHUNK,
            3 * CHUNK,
            3 * CHUNK + 5,
        ] {
            let (bytes, body) = encoded(value_len, 512);
            let header = Header::parse(&bytes, &seeds, 512, u32::MAX).unwrap();
            assert_eq!(
                (header.kind, header.revision, header.durable, header.time_ms),
                (kind::PUT, 9, 8, 77)
            );
            let payload = header.payload(&bytes[HEADER..], &seeds).unwrap();
            assert_eq!(payload, [b"prefix", &*body].concat());
        }
    }

    #[test]
    fn a_frame_is_valid_only_in_its_place_and_whole() {
        let seeds = Seeds::new(&SALT, 3);
        for value_len in [5, CHUNK + 5] {
            let (bytes, _) = encoded(value_len, 512);
            let valid = |bytes: &[u8], seeds: &Seeds, offset| {
                Header::parse(bytes, seeds, offset, u32::MAX).is_some_and(|header| {
                    header
                        .payload(bytes.get(HEADER..).unwrap_or_default(), seeds)
                        .is_some()
                })
            };
            assert!(valid(&bytes, &seeds, 512));
            assert!(!valid(&bytes, &seeds, 513), "another offset");
            assert!(
                !valid(&bytes, &Seeds::new(&SALT, 4), 512),
                "another segment"
            );
            assert!(
                !valid(&bytes, &Seeds::new(&[8; 16], 3), 512),
                "another salt"
            );
            assert!(!valid(&bytes[..bytes.len() - 1], &seeds, 512), "cut");
            let step = if value_len > 100 { 997 } else { 1 };
            for bit in (0..bytes.len() * 8).step_by(step) {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!valid(&flipped, &seeds, 512), "bit {bit}");
            }
        }
        assert!(
            Header::parse(&[0; HEADER], &seeds, 0, u32::MAX).is_none(),
            "zeros"
        );
        let (bytes, _) = encoded(100, 512);
        assert!(
            Header::parse(&bytes, &seeds, 512, 99).is_none(),
            "longer than the segment allows"
        );
    }

    #[test]
    fn a_golden_frame_keeps_its_bytes() {
        let bytes = bare(
            kind::SEAL,
            0x0102,
            0x0100,
            0x0A0B,
            &Seeds::new(&SALT, 3),
            512,
        );
        let fields = [
            [0, 0, 0, 0, kind::SEAL, 0, 0, 0],
            [2, 1, 0, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0, 0, 0],
            [0x0B, 0x0A, 0, 0, 0, 0, 0, 0],
            // zlib.crc32 of salt, number, offset and the fields above; then of salt and revision.
            [0x22, 0x0E, 0xA5, 0xE0, 0x94, 0x5B, 0x92, 0xC3],
        ];
        assert_eq!(bytes, fields.as_flattened(), "{bytes:02x?}");
        assert_eq!(bytes.len(), HEADER);
    }
}
