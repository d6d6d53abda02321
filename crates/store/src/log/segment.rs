//! A segment: one log file of a fixed capacity, filled with zeros before its first record. Alone names log files.
//!
//! ```text
//! "SPWALSEG" | u32 version | u32 header len (512) | store id 16 | u64 number | salt 16 | u64 capacity | u32 max record
//!            | u32 reserved | u64 created_ms | zeros to 508 | u32 crc32(everything before)
//! ```
//!
//! Zeros, because a sync of a file whose blocks exist is cheaper than one that has to allocate, and because a torn write is
//! then recognisable. Segments are never recycled: what lies behind the last record was never anything but zero.

use std::io;
use std::sync::Arc;

use super::frame::{HEADER, Seeds};
use crate::fs::{Dir, File, write_all_at};
use crate::int::{narrow, wide};
use crate::record::{Malformed, Salt, Take};

/// Bytes of a segment before its first record.
pub(crate) const SEGMENT_HEADER: u64 = 512;
const MAGIC: &[u8; 8] = b"SPWALSEG";
/// The version of the log format that this program writes.
pub(crate) const VERSION: u32 = 1;
/// How much is zeroed by one write.
const ZEROS: usize = 1 << 20;

/// The file name of segment `number`.
pub(crate) fn name(number: u64) -> String {
    format!("wal-{number:012}.log")
}

/// The number in a segment's file name; `None` for any other name.
pub(crate) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
    (digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// What a segment's file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store_id: [u8; 16],
    pub(crate) number: u64,
    pub(crate) salt: Salt,
    /// Bytes of the whole file, this header included.
    pub(crate) capacity: u64,
    /// The most bytes of a record behind its frame header.
    pub(crate) max_record: u32,
    pub(crate) created_ms: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&512_u32.to_le_bytes());
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.capacity.to_le_bytes());
        out.extend_from_slice(&self.max_record.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.created_ms.to_le_bytes());
        out.resize(narrow(SEGMENT_HEADER) - 4, 0);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header. `Ok(Err(version))` where it is valid but of a version that this program does not know.
    pub(crate) fn decode(file: &[u8]) -> Result<Result<Self, u32>, Malformed> {
        let mut take = Take(file);
        let covered = take.bytes(narrow(SEGMENT_HEADER) - 4)?;
        if take.u32()? != crc32fast::hash(covered) {
            return Err(Malformed("its header's checksum is wrong"));
        }
        let mut take = Take(covered);
        if take.array::<8>()? != *MAGIC {
            return Err(Malformed("it does not start as a segment does"));
        }
        let version = take.u32()?;
        if version != VERSION {
            return Ok(Err(version));
        }
        take.u32()?;
        let (store_id, number, salt) = (take.array()?, take.u64()?, take.array()?);
        let (capacity, max_record) = (take.u64()?, take.u32()?);
        take.u32()?;
        Ok(Ok(Self {
            store_id,
            number,
            salt,
            capacity,
            max_record,
            created_ms: take.u64()?,
        }))
    }
}

/// An open segment that nothing has been written to yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) number: u64,
    pub(crate) salt: Salt,
    pub(crate) capacity: u64,
    pub(crate) file: Arc<dyn File>,
    /// The checksum of the header, with which the one of the whole segment begins.
    pub(crate) crc: crc32fast::Hasher,
}

impl Prepared {
    /// Makes the file: header, zeros, sync, directory sync. On an error the file is removed again where that is possible;
    /// `paced` is called between the pieces.
    pub(crate) fn create(
        dir: &dyn Dir,
        header: &SegmentHeader,
        mut paced: impl FnMut(),
    ) -> io::Result<Self> {
        let name = name(header.number);
        let file = dir.create(&name)?;
        let encoded = header.encode();
        let filled = fill(&*file, &encoded, header.capacity, &mut paced).and_then(|()| dir.sync());
        if let Err(error) = filled {
            drop(dir.remove(&name));
            return Err(error);
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(&encoded);
        Ok(Self {
            number: header.number,
            salt: header.salt,
            capacity: header.capacity,
            file,
            crc,
        })
    }

    /// Bytes that records can take: the header, and the seal that is kept aside, do not count.
    pub(crate) fn room(&self) -> u64 {
        room(self.capacity)
    }

    pub(crate) fn seeds(&self) -> Seeds {
        Seeds::new(&self.salt, self.number)
    }
}

/// Bytes that records can take in a segment of that capacity.
pub(crate) fn room(capacity: u64) -> u64 {
    capacity.saturating_sub(SEGMENT_HEADER + wide(HEADER))
}

/// The capacity that gives that much room.
pub(crate) fn capacity_for(room: u64) -> u64 {
    room + SEGMENT_HEADER + wide(HEADER)
}

fn fill(file: &dyn File, header: &[u8], capacity: u64, paced: &mut impl FnMut()) -> io::Result<()> {
    write_all_at(file, header, 0)?;
    let zeros = vec![0; ZEROS];
    let mut offset = wide(header.len());
    while offset < capacity {
        let piece = zeros
            .get(..narrow((capacity - offset).min(wide(ZEROS))))
            .unwrap_or_default();
        write_all_at(file, piece, offset)?;
        offset += wide(piece.len());
        paced();
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_match() {
        assert_eq!(name(7), "wal-000000000007.log");
        for n in [0, 7, 999_999_999_999, 1_000_000_000_000, u64::MAX] {
            assert_eq!(number(&name(n)), Some(n));
        }
        for other in [
            "wal-7.log",
            "wal-+00000000007.log",
            "wal-000000000007.log.tmp",
            "MANIFEST",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_does() {
        let header = SegmentHeader {
            store_id: [1; 16],
            number: 2,
            salt: [3; 16],
            capacity: 1 << 20,
            max_record: 17 << 20,
            created_ms: 5,
        };
        let bytes = header.encode();
        assert_eq!(wide(bytes.len()), SEGMENT_HEADER);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(Ok(header)));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
