//! Reads a segment's bytes back: record after record up to the first place that is not one, and what lies behind it.
//! Pure: what an invalid place means is decided by recovery.

use super::frame::{HEADER, Header, Seeds};
use super::segment::{SEGMENT_HEADER, SegmentHeader};
use crate::int::{narrow, wide};
use crate::record::{Record, kind};

/// A valid record in its place.
#[derive(Debug)]
pub(crate) struct Found<'b> {
    pub(crate) header: Header,
    pub(crate) payload: &'b [u8],
}

/// Where and why the records of a segment end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// The first byte that belongs to no record.
    pub(crate) offset: u64,
    /// The revision that the next change would have.
    pub(crate) expected: u64,
    /// Whether the last record is a seal.
    pub(crate) sealed: bool,
    /// What is at `offset`.
    pub(crate) stop: Stop,
    /// Records, seals and marks included.
    pub(crate) records: u64,
    /// The newest durable revision that a record tells of.
    pub(crate) durable: u64,
    /// The newest time of a record.
    pub(crate) time_ms: u64,
}

/// What is at the first byte behind the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Zeros up to the end, or the end itself.
    Clean,
    /// A header that is not valid, part of which, within one sector, is all zero or missing.
    TornHeader,
    /// A valid header; part of its payload, within one sector, is all zero or missing.
    TornPayload,
    /// Anything else.
    Invalid(&'static str),
}

/// Bytes that a disk writes as one.
const SECTOR: u64 = 512;

/// Reads the records of `bytes`, a whole segment. `expected` is the revision of its first change. `each` gets every valid
/// record in order and may refuse one.
pub(crate) fn scan<'b>(
    bytes: &'b [u8],
    header: &SegmentHeader,
    expected: u64,
    mut each: impl FnMut(&Found<'b>) -> Result<(), &'static str>,
) -> End {
    let seeds = Seeds::new(&header.salt, header.number);
    let mut end = End {
        offset: SEGMENT_HEADER,
        expected,
        sealed: false,
        stop: Stop::Clean,
        records: 0,
        durable: 0,
        time_ms: header.created_ms,
    };
    loop {
        let rest = bytes.get(narrow(end.offset)..).unwrap_or_default();
        if end.sealed {
            end.stop = if is_zero(rest) {
                Stop::Clean
            } else {
                Stop::Invalid("bytes behind the seal")
            };
            return end;
        }
        let found = match record_at(bytes, &seeds, end.offset, header.max_record) {
            Ok(found) => found,
            Err(_) if is_zero(rest) => return end,
            Err(stop) => {
                end.stop = stop;
                return end;
            }
        };
        let takes = Record::takes_revision(found.header.kind);
        let in_order = found.header.revision
            == if takes {
                end.expected
            } else {
                end.expected - 1
            };
        let refused = if in_order {
            each(&found).err()
        } else {
            Some("a revision out of order")
        };
        if let Some(why) = refused {
            end.stop = Stop::Invalid(why);
            return end;
        }
        end.offset += wide(HEADER) + u64::from(found.header.len);
        end.expected += u64::from(takes);
        end.sealed = found.header.kind == kind::SEAL;
        end.records += 1;
        end.durable = end.durable.max(found.header.durable);
        end.time_ms = end.time_ms.max(found.header.time_ms);
    }
}

/// The revision that the first record of a segment has, or the next change would have where that takes none; `None`
/// where there is no valid record.
pub(crate) fn first_expected(bytes: &[u8], header: &SegmentHeader) -> Option<u64> {
    let seeds = Seeds::new(&header.salt, header.number);
    let first = record_at(bytes, &seeds, SEGMENT_HEADER, header.max_record).ok()?;
    let takes = Record::takes_revision(first.header.kind);
    Some(first.header.revision + u64::from(!takes))
}

/// The valid record at `offset`, or what is there instead.
fn record_at<'b>(
    bytes: &'b [u8],
    seeds: &Seeds,
    offset: u64,
    max_record: u32,
) -> Result<Found<'b>, Stop> {
    let rest = bytes.get(narrow(offset)..).unwrap_or_default();
    let Some(header) = Header::parse(rest, seeds, offset, max_record) else {
        let torn = has_blank_sector(bytes, offset, wide(HEADER));
        return Err(if torn {
            Stop::TornHeader
        } else {
            Stop::Invalid("a header that is not valid")
        });
    };
    let start = offset + wide(HEADER);
    let stored = bytes.get(narrow(start)..).unwrap_or_default();
    header
        .payload(stored, seeds)
        .map(|payload| Found { header, payload })
        .ok_or_else(|| {
            let torn = has_blank_sector(bytes, start, u64::from(header.len));
            if torn {
                Stop::TornPayload
            } else {
                Stop::Invalid("a payload that does not match its checksum")
            }
        })
}

/// Whether within some sector the part of `offset..offset + len` is all zero or past the end.
fn has_blank_sector(bytes: &[u8], offset: u64, len: u64) -> bool {
    let end = offset + len;
    let mut from = offset;
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        match bytes.get(narrow(from)..narrow(to)) {
            Some(part) if !is_zero(part) => {}
            // Zero, or partly or wholly past the end of the file.
            Some(_) | None => return true,
        }
        from = to;
    }
    false
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}

/// What valid records lie at or behind `offset`, wherever they start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Whether there is one.
    pub(crate) any: bool,
    /// The newest durable revision that one tells of.
    pub(crate) durable: u64,
    /// The newest revision of one.
    pub(crate) newest: u64,
}

/// Looks for valid records from `offset` to the end, at every byte.
pub(crate) fn behind(bytes: &[u8], header: &SegmentHeader, offset: u64) -> Behind {
    let seeds = Seeds::new(&header.salt, header.number);
    let mut found = Behind::default();
    let mut at = narrow(offset);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
        // A record has its type in the fifth byte: where sixteen zeros lie, the next twelve places cannot start one.
        if rest.first_chunk::<16>() == Some(&[0; 16]) {
            at += 12;
            continue;
        }
        if let Ok(record) = record_at_quiet(rest, &seeds, wide(at), header.max_record) {
            found.any = true;
            found.durable = found.durable.max(record.durable);
            found.newest = found.newest.max(record.revision);
        }
        at += 1;
    }
    found
}

fn record_at_quiet(rest: &[u8], seeds: &Seeds, offset: u64, max_record: u32) -> Result<Header, ()> {
    let header = Header::parse(rest, seeds, offset, max_record).ok_or(())?;
    let stored = rest.get(HEADER..).unwrap_or_default();
    header.payload(stored, seeds).map(|_| header).ok_or(())
}
