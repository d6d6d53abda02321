//! What the target's note of the last generation means: the one place that decides whether a generation is applied, was
//! applied, or must not be touched before a person has decided. It must not know how the note is kept.
//!
//! Ours is the generation that is to be passed on, closed by the incarnation `mark`. The note was written by the transaction
//! that applied a generation, in that transaction.
//!
//! | the note | means | so |
//! |---|---|---|
//! | there is none | nothing of this keyspace was ever applied here | apply |
//! | our mark, our number, as many keys | this generation was applied, and the answer to the commit was lost | drop it |
//! | our mark, our number, another count of keys | the backup of a store, taken while keys of this generation were being set aside | stop |
//! | another mark, our number | another history of the same store has applied its generation of that number | stop |
//! | a higher number | the target has seen more of this keyspace than this store has: a backup or a copy of the store | stop |
//! | a lower number, by a mark that the store does not know | another history has gone on from here, and less far | stop |
//! | a lower number, by a mark that the store knows | the last one that was applied | apply |

use std::fmt;

use super::row::Generation;

/// What a target has noted of the last generation that was applied there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Note {
    /// Which one.
    pub(super) generation: Generation,
    /// How many keys of it were applied.
    pub(super) keys: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Apply it.
    Apply {
        /// Whether the target lacks generations before it that it had been given: it is itself a restored backup, or was not
        /// the target all the time.
        after_a_gap: bool,
    },
    /// It was applied.
    Applied,
    /// A person has to decide.
    Ahead(Ahead),
}

/// Why a person has to decide.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ahead {
    /// What is to be passed on.
    pub(super) ours: Generation,
    /// What the target has noted.
    pub(super) theirs: Note,
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, theirs } = self;
        let noted = theirs.generation;
        write!(
            f,
            "the target has noted generation {} of the incarnation {:016x}, which is no part of this store's history, and \
             generation {} of {:016x} is to be passed on: one of the two is a restored backup or a copy",
            noted.number, noted.mark, ours.number, ours.mark
        )
    }
}

/// Decides by the table above. `keys` are those of ours that are left to be applied; `knows` tells whether an incarnation is
/// one of this store's.
pub(super) fn judge(
    ours: Generation,
    keys: u64,
    note: Option<Note>,
    knows: impl FnOnce(u64) -> bool,
) -> Verdict {
    let Some(theirs) = note else {
        return Verdict::Apply { after_a_gap: false };
    };
    let ahead = Verdict::Ahead(Ahead { ours, theirs });
    let noted = theirs.generation;
    if noted == ours {
        return if theirs.keys == keys {
            Verdict::Applied
        } else {
            ahead
        };
    }
    if noted.number >= ours.number || !knows(noted.mark) {
        return ahead;
    }
    Verdict::Apply {
        after_a_gap: noted.number + 1 < ours.number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [u64; 2] = [1, 2];

    fn judged(ours: (u64, u64), keys: u64, note: Option<(u64, u64, u64)>) -> Verdict {
        let generation = |(mark, number)| Generation { mark, number };
        let note = note.map(|(mark, number, keys)| Note {
            generation: generation((mark, number)),
            keys,
        });
        judge(generation(ours), keys, note, |mark| KNOWN.contains(&mark))
    }

    fn is_ahead(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Ahead(_))
    }

    #[test]
    fn each_row_of_the_table_is_decided_as_it_says() {
        let apply = Verdict::Apply { after_a_gap: false };
        assert_eq!(judged((2, 5), 3, None), apply);
        assert_eq!(judged((2, 5), 3, Some((2, 5, 3))), Verdict::Applied);
        assert!(is_ahead(judged((2, 5), 2, Some((2, 5, 3)))));
        assert!(is_ahead(judged((2, 5), 3, Some((1, 5, 3)))));
        assert!(is_ahead(judged((2, 5), 3, Some((9, 5, 3)))));
        assert!(is_ahead(judged((2, 5), 3, Some((2, 6, 3)))));
        assert!(is_ahead(judged((2, 5), 3, Some((9, 4, 3)))));
        assert_eq!(judged((2, 5), 3, Some((2, 4, 9))), apply);
        assert_eq!(judged((2, 5), 3, Some((1, 4, 9))), apply);
        let gap = Verdict::Apply { after_a_gap: true };
        assert_eq!(judged((2, 5), 3, Some((1, 3, 9))), gap);
    }

    #[test]
    fn a_generation_that_lost_all_its_keys_is_told_from_one_that_did_not() {
        assert_eq!(judged((2, 5), 0, Some((2, 5, 0))), Verdict::Applied);
        assert!(is_ahead(judged((2, 5), 0, Some((2, 5, 1)))));
    }
}
