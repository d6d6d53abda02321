//! What is pending for a sink, in the log: in front of the change that makes it so, and records of their own for what a sink
//! does with it. Every sum is told as it is afterwards and every key by its name, but for a flush, which marks what it finds:
//! so each may be read back over a state that is newer already.

mod state;

pub(crate) use state::{FIRST, Frozen, Generations, Letter, Row};

use super::{Malformed, Record, Take, key_len, kind};
use crate::int::slot32;

/// In front of a change: its keys are marked, those that it deletes aside.
const MARKS: u8 = 0;
/// In front of a change: its keys are marked, those that it deletes too.
const MARKS_AND_DELETES: u8 = 1;
/// In front of a change: the sums of its increments.
const SUMS: u8 = 2;

/// Bytes in front of a change that marks its keys, the type behind them included.
pub(crate) const MARKS_BYTES: usize = 8 + 1 + 1;
/// Bytes in front of a change that makes sums, the type behind them included, and each sum aside.
pub(crate) const SUMS_BYTES: usize = 8 + 1 + 4 + 1;
/// Bytes of a sum there.
pub(crate) const SUM_BYTES: usize = 8;

/// Most bytes of the reason of a dead letter.
pub(crate) const REASON_BYTES: usize = 200;

/// What is pending of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pended<N> {
    /// It was changed.
    Mark,
    /// The sum of its increments.
    Sum(N),
}

/// What a change makes pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pends {
    /// Its keys are marked.
    Marks {
        /// Those that it deletes too.
        deletes: bool,
    },
    /// The pending sum of each of its increments that adds anything, after it, in their order.
    Sums(Vec<i64>),
}

/// A key that could not be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Buried<'a> {
    pub(crate) key: &'a [u8],
    /// All that was ever buried of the key and not taken out again.
    pub(crate) pended: Pended<i128>,
    pub(crate) reason: &'a str,
}

/// A key that is pending once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redriven<'a> {
    pub(crate) key: &'a [u8],
    /// What is pending of it afterwards.
    pub(crate) pended: Pended<i64>,
}

/// A number as it stands behind the byte that tells of it.
pub(crate) trait Number: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(take: &mut Take<'_>) -> Result<Self, Malformed>;
}

impl Number for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(take: &mut Take<'_>) -> Result<Self, Malformed> {
        take.array().map(Self::from_le_bytes)
    }
}

impl Number for i128 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(take: &mut Take<'_>) -> Result<Self, Malformed> {
        take.array().map(Self::from_le_bytes)
    }
}

impl<N: Number> Pended<N> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mark => out.push(0),
            Self::Sum(sum) => {
                out.push(1);
                sum.put(out);
            }
        }
    }

    pub(crate) fn take(take: &mut Take<'_>) -> Result<Self, Malformed> {
        match take.u8()? {
            0 => Ok(Self::Mark),
            1 => N::take(take).map(Self::Sum),
            _ => Err(Malformed("unknown kind of what is pending")),
        }
    }
}

/// What stands in front of a change of type `code` that makes something pending in `generation`.
pub(crate) fn front(generation: u64, pends: &Pends, code: u8) -> Vec<u8> {
    let mut out = generation.to_le_bytes().to_vec();
    match pends {
        Pends::Marks { deletes: false } => out.push(MARKS),
        Pends::Marks { deletes: true } => out.push(MARKS_AND_DELETES),
        Pends::Sums(sums) => {
            out.push(SUMS);
            out.extend_from_slice(&slot32(sums.len()).to_le_bytes());
            for sum in sums {
                sum.put(&mut out);
            }
        }
    }
    out.push(code);
    out
}

/// The payload of a freeze.
pub(crate) fn freeze(keyspace: u32, generation: u64, mark: u64) -> Vec<u8> {
    let mut out = of_generation(keyspace, generation);
    out.extend_from_slice(&mark.to_le_bytes());
    out
}

/// The payload of a drop of a generation, and the front of those that name keys.
pub(crate) fn of_generation(keyspace: u32, generation: u64) -> Vec<u8> {
    let mut out = keyspace.to_le_bytes().to_vec();
    out.extend_from_slice(&generation.to_le_bytes());
    out
}

/// The payload of a burial.
pub(crate) fn bury(keyspace: u32, generation: u64, letters: &[Buried<'_>]) -> Vec<u8> {
    let mut out = of_generation(keyspace, generation);
    out.extend_from_slice(&slot32(letters.len()).to_le_bytes());
    for letter in letters {
        put_letter(&mut out, letter);
    }
    out
}

/// Appends a dead letter, as a record and a snapshot have it.
pub(crate) fn put_letter(out: &mut Vec<u8>, letter: &Buried<'_>) {
    put_key(out, letter.key);
    letter.pended.put(out);
    put_key(out, letter.reason.as_bytes());
}

pub(crate) fn take_letter<'a>(take: &mut Take<'a>) -> Result<Buried<'a>, Malformed> {
    Ok(Buried {
        key: take.key()?,
        pended: Pended::take(take)?,
        reason: super::take::utf8(take.key()?)?,
    })
}

/// The most bytes that the payload of a burial of `letters` takes, each a key and a reason of these lengths.
pub(crate) fn bury_len(letters: impl Iterator<Item = (usize, usize)>) -> usize {
    let letter = |(key, reason): (usize, usize)| 2 + key + 1 + 16 + 2 + reason.min(REASON_BYTES);
    4 + 8 + 4 + letters.map(letter).sum::<usize>()
}

/// The payload of a redrive.
pub(crate) fn redrive(keyspace: u32, generation: u64, keys: &[Redriven<'_>]) -> Vec<u8> {
    let mut out = of_generation(keyspace, generation);
    out.extend_from_slice(&slot32(keys.len()).to_le_bytes());
    for redriven in keys {
        put_key(&mut out, redriven.key);
        redriven.pended.put(&mut out);
    }
    out
}

/// The most bytes that the payload of a redrive of `count` keys takes, which have `bytes` together.
pub(crate) const fn redrive_len(count: usize, bytes: usize) -> usize {
    4 + 8 + 4 + count * (2 + 1 + 8) + bytes
}

fn put_key(out: &mut Vec<u8>, key: &[u8]) {
    out.extend_from_slice(&key_len(key));
    out.extend_from_slice(key);
}

impl<'a> Record<'a> {
    /// Reads a record about what is pending, of type `code`.
    pub(super) fn decode_pending(
        code: u8,
        take: &mut Take<'a>,
        time_ms: u64,
    ) -> Result<Self, Malformed> {
        match code {
            kind::PENDING => return Self::decode_front(take, time_ms),
            kind::FREEZE..=kind::REDRIVE => {}
            _ => return Err(Malformed("unknown record type")),
        }
        let (keyspace, generation) = (take.u32()?, take.u64()?);
        match code {
            kind::FREEZE => Ok(Self::Freeze {
                keyspace,
                generation,
                mark: take.u64()?,
            }),
            kind::DROP_GENERATION => Ok(Self::DropGeneration {
                keyspace,
                generation,
            }),
            kind::BURY => {
                let count = take.u32()?;
                let letters = (0..count).map(|_| take_letter(take));
                Ok(Self::Bury {
                    keyspace,
                    generation,
                    time_ms,
                    letters: letters.collect::<Result<_, _>>()?,
                })
            }
            kind::REDRIVE => {
                let count = take.u32()?;
                let keys = (0..count).map(|_| {
                    Ok(Redriven {
                        key: take.key()?,
                        pended: Pended::take(take)?,
                    })
                });
                Ok(Self::Redrive {
                    keyspace,
                    generation,
                    time_ms,
                    keys: keys.collect::<Result<_, _>>()?,
                })
            }
            _ => Err(Malformed("unknown record type")),
        }
    }

    fn decode_front(take: &mut Take<'a>, time_ms: u64) -> Result<Self, Malformed> {
        let generation = take.u64()?;
        let pends = match take.u8()? {
            MARKS => Pends::Marks { deletes: false },
            MARKS_AND_DELETES => Pends::Marks { deletes: true },
            SUMS => {
                let count = take.u32()?;
                let sums = (0..count).map(|_| i64::take(take));
                Pends::Sums(sums.collect::<Result<_, _>>()?)
            }
            _ => return Err(Malformed("unknown kind of what is pending")),
        };
        let code = take.u8()?;
        let payload = std::mem::take(&mut take.0);
        let change = match code {
            kind::PUT
            | kind::DELETE
            | kind::FLUSH
            | kind::INCREMENT
            | kind::DELETE_PREFIX
            | kind::BATCH => Self::decode(code, payload, time_ms)?,
            _ => return Err(Malformed("what makes nothing pending")),
        };
        Ok(Self::Pending {
            generation,
            pends,
            time_ms,
            change: Box::new(change),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{delete, kind, touch, whole_keyspace};
    use super::*;
    use crate::record::Lifetime;

    fn whole(code: u8, payload: &[u8]) -> Record<'_> {
        for cut in 0..payload.len() {
            let read = Record::decode(code, &payload[..cut], 5);
            assert!(read.is_err() || code == kind::PENDING, "cut at {cut}");
        }
        Record::decode(code, payload, 5).unwrap()
    }

    #[test]
    fn what_a_change_makes_pending_stands_in_front_of_it() {
        let change = delete(3, b"key");
        for pends in [
            Pends::Marks { deletes: false },
            Pends::Marks { deletes: true },
            Pends::Sums(vec![]),
            Pends::Sums(vec![i64::MIN, 7]),
        ] {
            let front = front(9, &pends, kind::DELETE);
            let bytes = match &pends {
                Pends::Marks { .. } => MARKS_BYTES,
                Pends::Sums(sums) => SUMS_BYTES + sums.len() * SUM_BYTES,
            };
            assert_eq!(front.len(), bytes);
            let payload = [front, change.clone()].concat();
            let read = whole(kind::PENDING, &payload);
            let change = Box::new(Record::Delete {
                keyspace: 3,
                key: b"key",
            });
            assert_eq!(
                read,
                Record::Pending {
                    generation: 9,
                    pends,
                    time_ms: 5,
                    change
                }
            );
        }
        let front = front(9, &Pends::Marks { deletes: true }, kind::FLUSH);
        let payload = [front, whole_keyspace(3)].concat();
        let told = [&super::super::evict(3, [].into_iter(), [].into_iter())[..]];
        let evicting = [told[0], &[kind::PENDING], &payload].concat();
        let read = Record::decode(kind::EVICTING, &evicting, 5);
        assert!(
            matches!(read, Ok(Record::Evict(_, Some(then))) if matches!(*then, Record::Pending { .. }))
        );
    }

    #[test]
    fn nothing_stands_in_front_of_what_makes_nothing_pending() {
        let touch = touch(3, b"key", &Lifetime::FOREVER);
        for code in [kind::TOUCH, kind::PENDING, kind::EVICTING, kind::DROP] {
            let front = front(9, &Pends::Marks { deletes: false }, code);
            assert_eq!(
                Record::decode(kind::PENDING, &[front, touch.clone()].concat(), 5),
                Err(Malformed("what makes nothing pending"))
            );
        }
    }

    #[test]
    fn what_a_sink_does_reads_back() {
        assert_eq!(
            whole(kind::FREEZE, &freeze(3, 9, 77)),
            Record::Freeze {
                keyspace: 3,
                generation: 9,
                mark: 77
            }
        );
        assert_eq!(
            whole(kind::DROP_GENERATION, &of_generation(3, 9)),
            Record::DropGeneration {
                keyspace: 3,
                generation: 9
            }
        );
        let letter = |key, pended| Buried {
            key,
            pended,
            reason: "no such column",
        };
        let letters = vec![
            letter(b"a", Pended::Mark),
            letter(b"", Pended::Sum(i128::MIN)),
        ];
        let payload = bury(3, 9, &letters);
        let lens = letters.iter().map(|one| (one.key.len(), one.reason.len()));
        assert!(payload.len() <= bury_len(lens));
        assert_eq!(
            whole(kind::BURY, &payload),
            Record::Bury {
                keyspace: 3,
                generation: 9,
                time_ms: 5,
                letters
            }
        );
        let redriven = |key, pended| Redriven { key, pended };
        let keys = vec![
            redriven(b"a", Pended::Mark),
            redriven(b"b", Pended::Sum(-1)),
        ];
        let payload = redrive(3, 9, &keys);
        assert!(payload.len() <= redrive_len(2, 2));
        assert_eq!(
            whole(kind::REDRIVE, &payload),
            Record::Redrive {
                keyspace: 3,
                generation: 9,
                time_ms: 5,
                keys
            }
        );
    }
}
