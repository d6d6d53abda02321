//! The table of notes, `standpipe_sink`, in words that every database shares: a row for each keyspace of each store, with the
//! last generation that was applied. It must not know how a row is read or written.

use crate::sink::ahead::Note;
use crate::sink::ledger::Fault;
use crate::sink::row::{Generation, Identity};

/// The key of a row: the store in hexadecimal, and the keyspace.
pub(super) fn named(identity: Identity) -> Result<(String, i64), Fault> {
    let keyspace = i64::try_from(identity.keyspace).map_err(|_large| {
        Fault::Failed(format!(
            "the keyspace has the number {}, which no column holds",
            identity.keyspace
        ))
    })?;
    Ok((identity.store_hex(), keyspace))
}

/// The other columns of a row: the mark in hexadecimal, the generation, the keys.
pub(super) fn written(note: Note) -> Result<(String, i64, i64), Fault> {
    let number = |number: u64| {
        i64::try_from(number)
            .map_err(|_large| Fault::Failed(format!("{number} is more than a column holds")))
    };
    let mark = format!("{:016x}", note.generation.mark);
    Ok((mark, number(note.generation.number)?, number(note.keys)?))
}

/// What a row says. A row without a mark was made only to be locked.
pub(super) fn read(
    mark: Result<String, sqlx::Error>,
    number: Result<i64, sqlx::Error>,
    keys: Result<i64, sqlx::Error>,
) -> Result<Option<Note>, Fault> {
    let passing = |error: sqlx::Error| Fault::passing(&error);
    let (mark, number, keys) = (
        mark.map_err(passing)?,
        number.map_err(passing)?,
        keys.map_err(passing)?,
    );
    if mark.is_empty() {
        return Ok(None);
    }
    let parsed = (
        u64::from_str_radix(&mark, 16),
        u64::try_from(number),
        u64::try_from(keys),
    );
    let (Ok(mark), Ok(number), Ok(keys)) = parsed else {
        let text = "the row of this keyspace in standpipe_sink cannot be understood: somebody has changed it";
        return Err(Fault::unsuitable(text.to_owned()));
    };
    Ok(Some(Note {
        generation: Generation { mark, number },
        keys,
    }))
}

/// That the table could not be made.
pub(super) fn not_made(notes: &str, fault: &Fault) -> Fault {
    let text = fault.text();
    Fault::unsuitable(format!(
        "the table {notes} is not there and cannot be made: {text}; give the right, or make it as docs/sinks.md shows"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let note = Note {
            generation: Generation {
                mark: u64::MAX,
                number: 7,
            },
            keys: 3,
        };
        let (mark, number, keys) = written(note).unwrap();
        assert_eq!(mark.len(), 16);
        assert_eq!(read(Ok(mark), Ok(number), Ok(keys)).unwrap(), Some(note));
        assert_eq!(read(Ok(String::new()), Ok(0), Ok(0)).unwrap(), None);
        for (mark, number, keys) in [("x", 1, 1), ("1", -1, 1), ("1", 1, -1)] {
            read(Ok(mark.to_owned()), Ok(number), Ok(keys)).unwrap_err();
        }
    }

    #[test]
    fn an_identity_is_text_and_a_number() {
        let identity = Identity {
            store: [0xAB; 16],
            keyspace: 4,
        };
        assert_eq!(named(identity).unwrap(), ("ab".repeat(16), 4));
        let large = Identity {
            keyspace: u64::MAX,
            ..identity
        };
        named(large).unwrap_err();
    }
}
