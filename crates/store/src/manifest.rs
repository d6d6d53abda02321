//! What is live: the files of the store with their facts, the incarnations, the hash seed. Small, under one checksum,
//! replaced whole.
//!
//! ```text
//! "SPMANIF1" | u32 version | u32 body len | body | u32 crc32(everything before)
//! body: store id 16 | u64 hash seed | u32 hash algorithm | u64 durable revision | u64 newest time | u8 flags
//!     | u32 n, n x segment   (u64 number, salt 16, u8 sealed, [u64 len, u64 last revision, u32 crc])
//!     | u32 n, n x snapshot  (u64 S, u64 T, u64 len, u32 hash), oldest first
//!     | u32 n, n x incarnation (u64 first revision, u64 mark), oldest first
//! ```
//!
//! `flags` 1: something was put into quarantine and nobody has acknowledged it; 2: a person has said that the clock is right;
//! 4: a person has cut the log, so that the next start must not ask for what was given up.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::OpenError;
use crate::fs::{self, Dir, Replace};
use crate::int::slot32;
use crate::record::{Malformed, Salt, Take};

pub(crate) const FILE: &str = "MANIFEST";
const MAGIC: &[u8; 8] = b"SPMANIF1";
const VERSION: u32 = 1;
const QUARANTINED: u8 = 1;
const CLOCK_RESET: u8 = 2;
const CUT: u8 = 4;

/// The end of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Its length in bytes, the seal included.
    pub(crate) len: u64,
    /// The last change in it.
    pub(crate) last_revision: u64,
    /// The checksum of all its bytes.
    pub(crate) crc: u32,
}

/// A log segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) salt: Salt,
    pub(crate) sealed: Option<Sealed>,
}

/// A snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Every change up to this one is in it.
    pub(crate) s: u64,
    /// No change behind this one is in it.
    pub(crate) t: u64,
    pub(crate) len: u64,
    pub(crate) hash: u32,
}

/// A start of the store: the revisions from `first` on belong to `mark`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) first: u64,
    pub(crate) mark: u64,
}

/// The mark of the incarnation that `revision` belongs to; 0 for a revision before the first one.
pub(crate) fn mark_of(incarnations: &[Incarnation], revision: u64) -> u64 {
    match incarnations.last() {
        Some(now) if revision >= now.first => now.mark,
        _ => {
            let after = incarnations.partition_point(|incarnation| incarnation.first <= revision);
            after
                .checked_sub(1)
                .and_then(|n| incarnations.get(n))
                .map_or(0, |found| found.mark)
        }
    }
}

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store_id: [u8; 16],
    pub(crate) hash_seed: u64,
    pub(crate) hash_algorithm: u32,
    pub(crate) durable: u64,
    pub(crate) newest_time_ms: u64,
    pub(crate) quarantined: bool,
    pub(crate) clock_reset: bool,
    pub(crate) cut: bool,
    /// Ascending by number.
    pub(crate) segments: Vec<Segment>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) incarnations: Vec<Incarnation>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = self.store_id.to_vec();
        body.extend_from_slice(&self.hash_seed.to_le_bytes());
        body.extend_from_slice(&self.hash_algorithm.to_le_bytes());
        body.extend_from_slice(&self.durable.to_le_bytes());
        body.extend_from_slice(&self.newest_time_ms.to_le_bytes());
        let flags = [
            (self.quarantined, QUARANTINED),
            (self.clock_reset, CLOCK_RESET),
            (self.cut, CUT),
        ];
        body.push(
            flags
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, flag)| flag)
                .sum(),
        );
        body.extend_from_slice(&slot32(self.segments.len()).to_le_bytes());
        for segment in &self.segments {
            body.extend_from_slice(&segment.number.to_le_bytes());
            body.extend_from_slice(&segment.salt);
            body.push(u8::from(segment.sealed.is_some()));
            if let Some(sealed) = segment.sealed {
                body.extend_from_slice(&sealed.len.to_le_bytes());
                body.extend_from_slice(&sealed.last_revision.to_le_bytes());
                body.extend_from_slice(&sealed.crc.to_le_bytes());
            }
        }
        body.extend_from_slice(&slot32(self.snapshots.len()).to_le_bytes());
        for snapshot in &self.snapshots {
            for number in [snapshot.s, snapshot.t, snapshot.len] {
                body.extend_from_slice(&number.to_le_bytes());
            }
            body.extend_from_slice(&snapshot.hash.to_le_bytes());
        }
        body.extend_from_slice(&slot32(self.incarnations.len()).to_le_bytes());
        for incarnation in &self.incarnations {
            body.extend_from_slice(&incarnation.first.to_le_bytes());
            body.extend_from_slice(&incarnation.mark.to_le_bytes());
        }
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&slot32(body.len()).to_le_bytes());
        file.extend_from_slice(&body);
        let crc = crc32fast::hash(&file);
        file.extend_from_slice(&crc.to_le_bytes());
        file
    }

    pub(crate) fn decode(file: &[u8]) -> Result<Self, DecodeError> {
        let mut take = Take(file);
        if take.array::<8>()? != *MAGIC {
            return Err(Malformed("it does not start as a manifest does").into());
        }
        let version = take.u32()?;
        let len = crate::int::index(take.u32()?);
        let body = take.bytes(len)?;
        let crc = take.u32()?;
        let covered = file
            .split_at_checked(file.len() - 4)
            .map_or(file, |(covered, _)| covered);
        if !take.0.is_empty() || crc32fast::hash(covered) != crc {
            return Err(Malformed("its checksum is wrong").into());
        }
        // After the checksum: a flipped bit in the version is damage, not a newer format.
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        Ok(Self::decode_body(&mut Take(body))?)
    }

    fn decode_body(take: &mut Take<'_>) -> Result<Self, Malformed> {
        let store_id = take.array()?;
        let (hash_seed, hash_algorithm) = (take.u64()?, take.u32()?);
        let (durable, newest_time_ms) = (take.u64()?, take.u64()?);
        let flags = take.u8()?;
        let segments = (0..take.u32()?)
            .map(|_| segment(take))
            .collect::<Result<_, _>>()?;
        let snapshots = (0..take.u32()?)
            .map(|_| {
                Ok(Snapshot {
                    s: take.u64()?,
                    t: take.u64()?,
                    len: take.u64()?,
                    hash: take.u32()?,
                })
            })
            .collect::<Result<_, Malformed>>()?;
        let incarnations = (0..take.u32()?)
            .map(|_| {
                Ok(Incarnation {
                    first: take.u64()?,
                    mark: take.u64()?,
                })
            })
            .collect::<Result<_, Malformed>>()?;
        if !take.0.is_empty() {
            return Err(Malformed("bytes behind the manifest's body"));
        }
        Ok(Self {
            store_id,
            hash_seed,
            hash_algorithm,
            durable,
            newest_time_ms,
            quarantined: flags & QUARANTINED != 0,
            clock_reset: flags & CLOCK_RESET != 0,
            cut: flags & CUT != 0,
            segments,
            snapshots,
            incarnations,
        })
    }

    /// Drops incarnations that have no revision of their own: starts that wrote nothing.
    pub(crate) fn prune_incarnations(&mut self) {
        let firsts: Vec<u64> = self
            .incarnations
            .iter()
            .skip(1)
            .map(|incarnation| incarnation.first)
            .collect();
        let mut next = firsts.into_iter();
        self.incarnations
            .retain(|incarnation| next.next() != Some(incarnation.first));
    }
}

fn segment(take: &mut Take<'_>) -> Result<Segment, Malformed> {
    let (number, salt) = (take.u64()?, take.array()?);
    let sealed = match take.u8()? {
        0 => None,
        1 => Some(Sealed {
            len: take.u64()?,
            last_revision: take.u64()?,
            crc: take.u32()?,
        }),
        _ => return Err(Malformed("unknown segment state")),
    };
    Ok(Segment {
        number,
        salt,
        sealed,
    })
}

/// Why the file does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("version {0}")]
    Version(u32),
}

/// Reads the manifest of `dir`.
pub(crate) fn read(dir: &dyn Dir) -> Result<Manifest, OpenError> {
    let path = dir.display(FILE);
    let file = dir.open_read(FILE).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            let why = "the store has no manifest, so nobody knows which of its files are live: restore a backup";
            return OpenError::NotAStore { path: path.clone(), why: why.to_owned() };
        }
        OpenError::Io { what: path.clone(), source }
    })?;
    let bytes = fs::read_all(&*file).map_err(OpenError::io(path.clone()))?;
    Manifest::decode(&bytes).map_err(|error| match error {
        DecodeError::Version(found) => OpenError::UnknownFormat {
            file: path,
            found,
            known: VERSION,
        },
        DecodeError::Malformed(why) => OpenError::NotAStore {
            path,
            why: format!("the manifest is damaged ({why}): restore it from a backup"),
        },
    })
}

/// The manifest of an open store: one holder, replaced whole.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    dir: Arc<dyn Dir>,
    current: Mutex<Manifest>,
}

impl ManifestFile {
    /// Holds `manifest`, which is what the file says or what the first [`ManifestFile::update`] will write.
    pub(crate) fn new(dir: Arc<dyn Dir>, manifest: Manifest) -> Self {
        Self {
            dir,
            current: Mutex::new(manifest),
        }
    }

    /// Changes the manifest on disk, then in memory.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), Replace> {
        let mut current = self.current.lock();
        let mut next = current.clone();
        change(&mut next);
        fs::replace(&*self.dir, FILE, &next.encode())?;
        *current = next;
        Ok(())
    }

    /// Reads something out of it.
    pub(crate) fn with<R>(&self, read: impl FnOnce(&Manifest) -> R) -> R {
        read(&self.current.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        Manifest {
            store_id: [1; 16],
            hash_seed: 2,
            hash_algorithm: 1,
            durable: 99,
            newest_time_ms: 1_800_000_000_000,
            quarantined: true,
            clock_reset: false,
            cut: true,
            segments: vec![
                Segment {
                    number: 4,
                    salt: [5; 16],
                    sealed: Some(Sealed {
                        len: 700,
                        last_revision: 98,
                        crc: 6,
                    }),
                },
                Segment {
                    number: 5,
                    salt: [6; 16],
                    sealed: None,
                },
            ],
            snapshots: vec![Snapshot {
                s: 50,
                t: 60,
                len: 1000,
                hash: 7,
            }],
            incarnations: vec![
                Incarnation { first: 1, mark: 11 },
                Incarnation {
                    first: 70,
                    mark: 12,
                },
            ],
        }
    }

    #[test]
    fn it_reads_back_and_no_flipped_bit_or_cut_does() {
        let bytes = example().encode();
        assert_eq!(Manifest::decode(&bytes), Ok(example()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_revision_belongs_to_the_incarnation_that_wrote_it() {
        let manifest = example();
        assert_eq!(
            [0, 1, 69, 70, 500].map(|revision| mark_of(&manifest.incarnations, revision)),
            [0, 11, 11, 12, 12]
        );
    }

    #[test]
    fn starts_that_wrote_nothing_are_forgotten() {
        let mut manifest = example();
        manifest.incarnations.insert(
            1,
            Incarnation {
                first: 70,
                mark: 13,
            },
        );
        manifest.prune_incarnations();
        assert_eq!(manifest.incarnations, example().incarnations);
    }
}
