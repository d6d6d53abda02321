//! What is pending for a sink, in a snapshot: rows and dead letters in blocks of their own, the generations in the footer.

use super::Block;
use crate::record::pending::{
    Buried, Frozen, Generations, Letter, Pended, Row, put_letter, take_letter,
};
use crate::record::{Malformed, Take};

/// The generations of a keyspace.
pub(crate) type OfKeyspace = (u32, Generations);

/// A row of a block, read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredRow<'a> {
    pub(crate) generation: u64,
    pub(crate) key: &'a [u8],
    pub(crate) row: Row,
}

/// A dead letter of a block, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredLetter<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) letter: Letter,
}

impl Block {
    /// Adds a row.
    pub(crate) fn push_row(&mut self, generation: u64, key: &[u8], row: &Row) {
        for number in [row.revision, generation] {
            self.body.extend_from_slice(&number.to_le_bytes());
        }
        self.push_key(key);
        row.pended.put(&mut self.body);
        self.added(row.revision);
    }

    /// Adds a dead letter.
    pub(crate) fn push_letter(&mut self, key: &[u8], letter: &Letter) {
        for number in [letter.revision, letter.at_ms] {
            self.body.extend_from_slice(&number.to_le_bytes());
        }
        let buried = Buried {
            key,
            pended: letter.pended,
            reason: &letter.reason,
        };
        put_letter(&mut self.body, &buried);
        self.added(letter.revision);
    }
}

/// The rows of a block's body.
pub(crate) fn rows(body: &[u8]) -> impl Iterator<Item = Result<StoredRow<'_>, Malformed>> {
    all(body, |take| {
        let (revision, generation) = (take.u64()?, take.u64()?);
        let key = take.key()?;
        let pended = Pended::take(take)?;
        Ok(StoredRow {
            generation,
            key,
            row: Row { revision, pended },
        })
    })
}

/// The dead letters of a block's body.
pub(crate) fn letters(body: &[u8]) -> impl Iterator<Item = Result<StoredLetter<'_>, Malformed>> {
    all(body, |take| {
        let (revision, at_ms) = (take.u64()?, take.u64()?);
        let buried = take_letter(take)?;
        Ok(StoredLetter {
            key: buried.key,
            letter: Letter::of(&buried, revision, at_ms),
        })
    })
}

fn all<'b, T>(
    body: &'b [u8],
    one: impl Fn(&mut Take<'b>) -> Result<T, Malformed>,
) -> impl Iterator<Item = Result<T, Malformed>> {
    let mut take = Take(body);
    std::iter::from_fn(move || (!take.0.is_empty()).then(|| one(&mut take)))
}

/// Appends the generations of a keyspace, as the footer has them.
pub(super) fn put_generations(out: &mut Vec<u8>, (keyspace, generations): &OfKeyspace) {
    out.extend_from_slice(&keyspace.to_le_bytes());
    for number in [generations.current, generations.since_ms] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(u8::from(generations.frozen.is_some()));
    if let Some(frozen) = &generations.frozen {
        for number in [frozen.generation, frozen.mark, frozen.since_ms] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

pub(super) fn take_generations(take: &mut Take<'_>) -> Result<OfKeyspace, Malformed> {
    let keyspace = take.u32()?;
    let (current, since_ms) = (take.u64()?, take.u64()?);
    let frozen = match take.u8()? {
        0 => None,
        1 => Some(Frozen {
            generation: take.u64()?,
            mark: take.u64()?,
            since_ms: take.u64()?,
            // It was durable before this start.
            revision: 0,
        }),
        _ => return Err(Malformed("unknown state of a generation")),
    };
    let generations = Generations {
        current,
        since_ms,
        frozen,
    };
    Ok((keyspace, generations))
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn rows_letters_and_generations_read_back_and_no_cut_of_them_panics() {
        let mut block = Block::of(Kind::Pending);
        let row = |revision, pended| Row { revision, pended };
        let expected = [
            (1, &b"a"[..], row(7, Pended::Sum(-3))),
            (2, b"", row(9, Pended::Mark)),
        ];
        for (generation, key, row) in &expected {
            block.push_row(*generation, key, row);
        }
        let read: Vec<_> = rows(block.body()).map(Result::unwrap).collect();
        let told = read.iter().map(|one| (one.generation, one.key, one.row));
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert_eq!((block.newest(), block.count()), (9, 2));
        for cut in 1..block.len() {
            let all: Result<Vec<_>, _> = rows(&block.body()[..cut]).collect();
            assert!(all.is_err() || all.unwrap().len() == 1, "cut at {cut}");
        }
        let mut block = Block::of(Kind::Dead);
        let letter = Letter {
            revision: 5,
            pended: Pended::Sum(i128::MAX),
            reason: "no such column".into(),
            at_ms: 8,
        };
        block.push_letter(b"k", &letter);
        let read: Vec<_> = letters(block.body()).map(Result::unwrap).collect();
        assert_eq!(read, [StoredLetter { key: b"k", letter }]);
        for cut in 1..block.len() {
            let all: Result<Vec<_>, _> = letters(&block.body()[..cut]).collect();
            assert!(all.is_err(), "cut at {cut}");
        }
        let frozen = Frozen {
            generation: 3,
            mark: 77,
            revision: 0,
            since_ms: 4,
        };
        for frozen in [None, Some(frozen)] {
            let generations = Generations {
                current: 4,
                since_ms: 6,
                frozen,
            };
            let mut out = Vec::new();
            put_generations(&mut out, &(2, generations));
            assert_eq!(take_generations(&mut Take(&out)), Ok((2, generations)));
            for cut in 0..out.len() {
                take_generations(&mut Take(&out[..cut])).unwrap_err();
            }
        }
    }
}
