//! The one function that decides: clean, torn, or refused. Pure.
//!
//! P is the first place that is no record, E the revision that was expected there, W the newest revision that anything on
//! disk tells to be durable. The first row that holds decides:
//!
//! | # | condition | verdict |
//! |---|---|---|
//! | 1 | a sealed segment is not what the manifest says (checked while it is read); an unsealed one does not end in a seal although a later segment holds a record | corrupt |
//! | 2 | a header of a segment that the manifest names is not valid (checked while it is read) | corrupt |
//! | 3 | E <= W: something that was acknowledged is missing | corrupt |
//! | 4 | only zeros follow | clean |
//! | 5 | an invalid header, part of which, within one sector, is zero or missing | torn |
//! | 6 | a valid header, part of whose payload, within one sector, is zero or missing | torn |
//! | 7 | anything else | ambiguous |
//!
//! The rules are those of etcd's WAL (`isTornEntry`) with the watermark of "Protocol-Aware Recovery" (FAST'18) before them.

use crate::error::Verdict;
use crate::log::reader::{Behind, End, Stop};

/// A segment as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Scanned {
    pub(crate) number: u64,
    /// Whether the manifest says that it is sealed; it has been checked then.
    pub(crate) sealed: bool,
    /// Where its records end.
    pub(crate) end: End,
    /// What lies behind that.
    pub(crate) behind: Behind,
}

impl Scanned {
    fn holds_records(&self) -> bool {
        self.sealed || self.end.records > 0 || self.behind.any
    }

    /// Whether the records of a later segment may follow.
    pub(crate) fn ends_in_a_seal(&self) -> bool {
        self.sealed || (self.end.sealed && self.end.stop == Stop::Clean)
    }
}

/// The verdict on a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Nothing is cut.
    Clean,
    /// Segment `at` (its place in the list) is cut at the end of its records.
    Torn { at: usize },
    /// Nothing starts without a person's word.
    Refused {
        at: usize,
        verdict: Verdict,
        detail: &'static str,
    },
}

/// Decides about the segments that are replayed, in order. `watermark` is W.
pub(crate) fn judge(scanned: &[Scanned], expected: u64, watermark: u64) -> Judged {
    let corrupt = |at, detail| Judged::Refused {
        at,
        verdict: Verdict::Corrupt,
        detail,
    };
    let last_holding = scanned
        .iter()
        .rposition(Scanned::holds_records)
        .unwrap_or(0);
    let broken = scanned
        .iter()
        .take(last_holding)
        .position(|segment| !segment.ends_in_a_seal());
    if let Some(at) = broken {
        return corrupt(at, "records end here although a later segment goes on");
    }
    // P: the first segment from the last one with records on that does not end in a seal.
    let open = scanned
        .iter()
        .enumerate()
        .skip(last_holding)
        .find(|(_, segment)| !segment.ends_in_a_seal());
    let at = open.map_or(scanned.len().saturating_sub(1), |(at, _)| at);
    if expected <= watermark {
        return corrupt(at, "changes that were acknowledged are missing");
    }
    let Some((at, segment)) = open else {
        return Judged::Clean;
    };
    match segment.end.stop {
        Stop::Clean => {}
        Stop::TornHeader | Stop::TornPayload => return Judged::Torn { at },
        Stop::Invalid(detail) => {
            return Judged::Refused {
                at,
                verdict: Verdict::Ambiguous,
                detail,
            };
        }
    }
    // Nothing is ever written to a segment before the one in front of it is sealed.
    let written = scanned
        .iter()
        .enumerate()
        .skip(at + 1)
        .find(|(_, segment)| segment.end.stop != Stop::Clean);
    written.map_or(Judged::Clean, |(at, _)| Judged::Refused {
        at,
        verdict: Verdict::Ambiguous,
        detail: "bytes in a segment that should be empty",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(records: u64, sealed: bool, stop: Stop) -> Scanned {
        let end = End {
            offset: 512,
            expected: 1,
            sealed,
            stop,
            records,
            durable: 0,
            time_ms: 0,
        };
        Scanned {
            number: 1,
            sealed: false,
            end,
            behind: Behind::default(),
        }
    }

    #[test]
    fn the_first_row_that_holds_decides() {
        let torn = || segment(3, false, Stop::TornHeader);
        let open = || segment(3, false, Stop::Clean);
        let sealed = || segment(3, true, Stop::Clean);
        let empty = || segment(0, false, Stop::Clean);
        let refused = |at, verdict: Verdict, judged: &Judged| matches!(judged, Judged::Refused { at: a, verdict: v, .. } if *a == at && *v == verdict);
        assert_eq!(judge(&[sealed(), open(), empty()], 5, 4), Judged::Clean);
        assert_eq!(judge(&[sealed(), empty()], 5, 4), Judged::Clean);
        assert_eq!(judge(&[], 1, 0), Judged::Clean);
        assert_eq!(
            judge(&[sealed(), torn(), empty()], 5, 4),
            Judged::Torn { at: 1 }
        );
        assert_eq!(
            judge(&[sealed(), segment(0, false, Stop::TornPayload)], 5, 4),
            Judged::Torn { at: 1 }
        );
        // Row 1 before row 3 before the rest.
        assert!(refused(
            0,
            Verdict::Corrupt,
            &judge(&[torn(), sealed()], 5, 4)
        ));
        assert!(refused(
            0,
            Verdict::Corrupt,
            &judge(&[open(), open()], 5, 4)
        ));
        assert!(refused(
            1,
            Verdict::Corrupt,
            &judge(&[sealed(), torn()], 5, 5)
        ));
        assert!(refused(
            1,
            Verdict::Corrupt,
            &judge(&[sealed(), open()], 5, 5)
        ));
        assert!(refused(
            0,
            Verdict::Ambiguous,
            &judge(&[segment(3, false, Stop::Invalid("x"))], 5, 4)
        ));
        assert!(refused(
            0,
            Verdict::Ambiguous,
            &judge(&[segment(3, true, Stop::Invalid("x"))], 5, 4)
        ));
        assert!(refused(
            1,
            Verdict::Ambiguous,
            &judge(&[open(), segment(0, false, Stop::TornHeader)], 5, 4)
        ));
        let mut lost = segment(0, false, Stop::TornHeader);
        lost.behind.any = true;
        assert!(
            refused(0, Verdict::Corrupt, &judge(&[torn(), lost], 5, 4)),
            "a record behind counts as one"
        );
    }
}
