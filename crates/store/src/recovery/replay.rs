//! Stage 4: the log goes into the map, up to its first invalid place, and that place gets its verdict.

use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::apply::{BATCH, BATCHES, Change, apply_all};
use super::verdict::{Judged, Scanned, judge};
use super::{Found, Loaded};
use crate::error::{Damage, OpenError, Verdict};
use crate::fs::{self, Dir};
use crate::int::{narrow, wide};
use crate::log::reader::{Behind, End, Stop, behind, first_expected, scan};
use crate::log::segment::{self, SEGMENT_HEADER, SegmentHeader};
use crate::manifest::{Manifest, Sealed, Segment};
use crate::map::Contents;
use crate::options::TailPolicy;
use crate::progress::{Phase, Progress};
use crate::record::Record;
use crate::watch::{Bounds, Refill};

/// A segment that begins the next stage: where its records end, and what they amount to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) number: u64,
    pub(crate) sealed: Sealed,
    /// Whether it holds any record.
    pub(crate) holds_records: bool,
}

/// What is to be done about the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    Clean,
    /// Segment `number` is cut at `offset`.
    Cut {
        number: u64,
        offset: u64,
        doubtful: bool,
    },
}

impl Tail {
    /// Whether segment `segment` is cut.
    pub(crate) fn cuts(self, segment: u64) -> bool {
        matches!(self, Self::Cut { number, .. } if number == segment)
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("clean"),
            Self::Cut { number, offset, .. } => {
                write!(
                    f,
                    "{} is torn at offset {offset}: a start cuts it there",
                    segment::name(*number)
                )
            }
        }
    }
}

/// Stage 4: the map is as the log says.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) found: Found,
    pub(crate) contents: Contents,
    /// The last revision that is there.
    pub(crate) last_revision: u64,
    /// Unsealed segments, each with its end.
    pub(crate) ended: Vec<Ended>,
    pub(crate) tail: Tail,
    /// The newest time that the log tells of.
    pub(crate) newest_time_ms: u64,
    pub(crate) passed_over: Option<String>,
    /// Bytes of the log that were replayed.
    pub(crate) log_bytes: u64,
    /// The newest events, for watchers that come back.
    pub(crate) refill: Refill,
}

struct Reading<'a> {
    loaded: &'a Loaded,
    refill: Refill,
    expected: u64,
    scanned: Vec<Scanned>,
    ended: Vec<Ended>,
    log_bytes: u64,
}

impl Replayed {
    /// Replays every segment that holds something newer than the snapshot, and judges the end.
    pub(crate) fn replay(
        loaded: Loaded,
        tail: TailPolicy,
        history: Bounds,
        progress: &Progress,
    ) -> Result<Self, OpenError> {
        progress.enter(Phase::Log);
        let manifest = &loaded.found.manifest;
        let mut reading = Reading {
            loaded: &loaded,
            // Up to T a snapshot may hold entries that are newer than what the log tells of them.
            refill: Refill::new(history, loaded.t),
            expected: 1,
            scanned: Vec::new(),
            ended: Vec::new(),
            log_bytes: 0,
        };
        let known = |segment: &&Segment| {
            segment
                .sealed
                .is_some_and(|sealed| sealed.last_revision <= loaded.s)
        };
        let needed: Vec<&Segment> = manifest
            .segments
            .iter()
            .filter(|segment| !known(segment))
            .collect();
        reading.segments(&needed, progress)?;
        let Reading {
            expected,
            scanned,
            ended,
            log_bytes,
            refill,
            ..
        } = reading;
        let expected = if scanned.is_empty() {
            loaded.s + 1
        } else {
            expected
        };
        let watermark = watermark(manifest, &scanned);
        // What a person has given up is not asked for; revisions go on behind everything that a snapshot may hold.
        let (watermark, floor) = if manifest.cut {
            (0, loaded.t)
        } else {
            (watermark, 0)
        };
        let newest_time_ms = scanned
            .iter()
            .map(|segment| segment.end.time_ms)
            .chain([manifest.newest_time_ms])
            .max();
        let tail = settle(&loaded, &scanned, expected, watermark, tail)?;
        progress.enter(Phase::Index);
        loaded.contents.finish_loading();
        let Loaded {
            found,
            contents,
            passed_over,
            ..
        } = loaded;
        Ok(Self {
            found,
            contents,
            last_revision: (expected - 1).max(floor),
            ended,
            tail,
            newest_time_ms: newest_time_ms.unwrap_or(0),
            passed_over,
            log_bytes,
            refill,
        })
    }
}

/// W: the newest revision that anything on disk tells to be durable.
fn watermark(manifest: &Manifest, scanned: &[Scanned]) -> u64 {
    let told = scanned
        .iter()
        .map(|segment| segment.end.durable.max(segment.behind.durable));
    let snapshots = manifest.snapshots.iter().map(|snapshot| snapshot.t);
    let all = told.chain(snapshots).chain([manifest.durable]);
    all.max().unwrap_or(0)
}

/// Turns the verdict into what is to be done, or into the refusal.
fn settle(
    loaded: &Loaded,
    scanned: &[Scanned],
    expected: u64,
    watermark: u64,
    policy: TailPolicy,
) -> Result<Tail, OpenError> {
    let place = |at: usize| {
        scanned
            .get(at)
            .map_or((0, 0), |segment| (segment.number, segment.end.offset))
    };
    match judge(scanned, expected, watermark) {
        Judged::Clean => Ok(Tail::Clean),
        Judged::Torn { at } => {
            let (number, offset) = place(at);
            Ok(Tail::Cut {
                number,
                offset,
                doubtful: false,
            })
        }
        Judged::Refused {
            at,
            verdict: Verdict::Ambiguous,
            ..
        } if policy == TailPolicy::Tolerate => {
            let (number, offset) = place(at);
            Ok(Tail::Cut {
                number,
                offset,
                doubtful: true,
            })
        }
        Judged::Refused {
            at,
            verdict,
            detail,
        } => {
            let (number, offset) = place(at);
            let damage = damage(&loaded.found, number, offset, expected, watermark, detail);
            Err(OpenError::Corrupt(Damage { verdict, ..damage }))
        }
    }
}

/// What is told about a bad place in segment `number`.
pub(crate) fn damage(
    found: &Found,
    number: u64,
    offset: u64,
    expected: u64,
    watermark: u64,
    detail: &str,
) -> Damage {
    let name = segment::name(number);
    Damage {
        file: found.locked.dir.display(&name),
        offset,
        expected,
        watermark,
        verdict: Verdict::Corrupt,
        detail: detail.to_owned(),
        command: format!(
            "standpipe repair --data {} --cut {name}:{offset}",
            found.locked.storage.display("")
        ),
    }
}

impl Reading<'_> {
    /// Reads the next segment while one is replayed.
    fn segments(&mut self, needed: &[&Segment], progress: &Progress) -> Result<(), OpenError> {
        let dir = &*self.loaded.found.locked.dir;
        thread::scope(|scope| {
            let (send, receive) = sync_channel(1);
            scope.spawn(move || {
                let mut needed = needed.iter();
                // Who has stopped taking has found damage.
                needed.try_for_each(|segment| send.send(read_segment(dir, segment)))
            });
            for (segment, bytes) in needed.iter().zip(receive) {
                self.segment(segment, &bytes?, progress)?;
            }
            Ok(())
        })
    }

    fn segment(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        progress: &Progress,
    ) -> Result<(), OpenError> {
        let header = self.header(segment, bytes)?;
        let checked = segment
            .sealed
            .map(|sealed| self.check_sealed(segment, &header, sealed, bytes))
            .transpose()?;
        let covered = checked.map_or(bytes, |sealed| {
            bytes.get(..narrow(sealed.len)).unwrap_or_default()
        });
        // Once the records have ended without a seal, what lies in later segments cannot be replayed any more.
        let broken = self
            .scanned
            .last()
            .is_some_and(|last| !last.ends_in_a_seal());
        if !broken {
            self.expected = self.begins_at(&header, covered);
        }
        let mut scanned = if broken {
            let found = behind(bytes, &header, SEGMENT_HEADER);
            let end = scan(covered, &header, self.expected, |_| Ok(()));
            Scanned {
                number: segment.number,
                sealed: segment.sealed.is_some(),
                end,
                behind: found,
            }
        } else {
            let end = self.replay(&header, covered);
            let found = if end.stop == Stop::Clean {
                Behind::default()
            } else {
                behind(bytes, &header, end.offset)
            };
            Scanned {
                number: segment.number,
                sealed: segment.sealed.is_some(),
                end,
                behind: found,
            }
        };
        if let Some(sealed) = segment.sealed {
            let whole = scanned.end.stop == Stop::Clean
                && scanned.end.offset == sealed.len
                && scanned.end.expected == sealed.last_revision + 1;
            if !whole && !broken {
                return Err(self.corrupt(
                    segment.number,
                    scanned.end.offset,
                    "a sealed segment is not whole",
                ));
            }
            // Where records before it are missing, that is what is told.
            scanned.sealed = true;
        } else {
            self.end_of(&scanned, covered);
        }
        if !broken {
            self.expected = scanned.end.expected;
        }
        self.log_bytes += scanned.end.offset;
        self.scanned.push(scanned);
        progress.add(wide(bytes.len()));
        Ok(())
    }

    /// The revision that a segment has to begin with. What the snapshot covers need not be there without a gap: a segment
    /// whose end did not make it into the manifest in time stays, while others beside it are gone.
    fn begins_at(&self, header: &SegmentHeader, bytes: &[u8]) -> u64 {
        let covered = self.loaded.s + 1;
        if self.expected >= covered {
            return self.expected;
        }
        match first_expected(bytes, header) {
            Some(first) if (self.expected..=covered).contains(&first) => first,
            Some(_) => self.expected,
            None => covered,
        }
    }

    fn end_of(&mut self, scanned: &Scanned, bytes: &[u8]) {
        let len = scanned.end.offset;
        let crc = crc32fast::hash(bytes.get(..narrow(len)).unwrap_or_default());
        let sealed = Sealed {
            len,
            last_revision: scanned.end.expected - 1,
            crc,
        };
        self.ended.push(Ended {
            number: scanned.number,
            sealed,
            holds_records: scanned.end.records > 0,
        });
    }

    fn corrupt(&self, number: u64, offset: u64, detail: &str) -> OpenError {
        let watermark = self.loaded.found.manifest.durable;
        OpenError::Corrupt(damage(
            &self.loaded.found,
            number,
            offset,
            self.expected,
            watermark,
            detail,
        ))
    }

    fn header(&self, segment: &Segment, bytes: &[u8]) -> Result<SegmentHeader, OpenError> {
        let name = segment::name(segment.number);
        match SegmentHeader::decode(bytes) {
            Err(malformed) => Err(self.corrupt(segment.number, 0, malformed.0)),
            Ok(Err(found)) => {
                let file = self.loaded.found.locked.dir.display(&name);
                Err(OpenError::UnknownFormat {
                    file,
                    found,
                    known: segment::VERSION,
                })
            }
            Ok(Ok(header)) => {
                let manifest = &self.loaded.found.manifest;
                let ours = header.number == segment.number
                    && header.salt == segment.salt
                    && header.store_id == manifest.store_id;
                if ours {
                    Ok(header)
                } else {
                    Err(self.corrupt(segment.number, 0, "the header of another segment"))
                }
            }
        }
    }

    /// Row 1: a sealed segment is byte for byte what the manifest says, and nothing but zeros is behind it.
    fn check_sealed(
        &self,
        segment: &Segment,
        header: &SegmentHeader,
        sealed: Sealed,
        bytes: &[u8],
    ) -> Result<Sealed, OpenError> {
        let Some((covered, rest)) = bytes.split_at_checked(narrow(sealed.len)) else {
            let detail = "the file is shorter than the manifest says";
            return Err(self.corrupt(segment.number, wide(bytes.len()), detail));
        };
        if crc32fast::hash(covered) != sealed.crc {
            let end = scan(covered, header, self.expected, |_| Ok(()));
            return Err(self.corrupt(
                segment.number,
                end.offset,
                "a sealed segment does not match its checksum",
            ));
        }
        if let Some(n) = rest.iter().position(|byte| *byte != 0) {
            let offset = sealed.len + wide(n);
            return Err(self.corrupt(
                segment.number,
                offset,
                "bytes behind the end of a sealed segment",
            ));
        }
        Ok(sealed)
    }

    /// Checks and decodes the records on this thread while another one puts them into the map, in the same order.
    fn replay(&mut self, header: &SegmentHeader, bytes: &[u8]) -> End {
        let (contents, s, expected) = (&self.loaded.contents, self.loaded.s, self.expected);
        let refill = &mut self.refill;
        let (end, refused) = thread::scope(|scope| {
            let (send, receive) = sync_channel::<Vec<Change<'_>>>(BATCHES);
            let applier = scope.spawn(move || apply_all(contents, refill, &receive));
            let end = decode(header, bytes, (s, expected), &send);
            drop(send);
            (end, applier.join())
        });
        let (revision, why) = match refused {
            Ok(Ok(())) => return end,
            Ok(Err(refused)) => refused,
            Err(_panic) => (self.expected, "a record that cannot be applied"),
        };
        // Rare: told once more without applying, to say where.
        scan(bytes, header, self.expected, |found| {
            if found.header.revision == revision {
                Err(why)
            } else {
                Ok(())
            }
        })
    }
}

/// Decodes the records from revision `expected` on, and sends those behind `s`.
fn decode<'b>(
    header: &SegmentHeader,
    bytes: &'b [u8],
    (s, expected): (u64, u64),
    send: &SyncSender<Vec<Change<'b>>>,
) -> End {
    let mut batch = Vec::with_capacity(BATCH);
    let end = scan(bytes, header, expected, |found| {
        let record = Record::decode(found.header.kind, found.payload, found.header.time_ms);
        let record = record.map_err(|malformed| malformed.0)?;
        if found.header.revision > s {
            batch.push((found.header.revision, record));
        }
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            // Who has stopped taking has refused one, which is told by its end.
            send.send(full).map_err(|_gone| "a record was refused")?;
        }
        Ok(())
    });
    // The same holds for the last ones.
    drop(send.send(batch));
    end
}

fn read_segment(dir: &dyn Dir, segment: &Segment) -> Result<Vec<u8>, OpenError> {
    let name = segment::name(segment.number);
    let what = || dir.display(&name);
    let file = dir.open_read(&name).map_err(OpenError::io(what()))?;
    fs::read_all(&*file).map_err(OpenError::io(what()))
}
