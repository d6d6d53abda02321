//! What a publication says beside its value, in our words.

use super::api::traits::publication::Audience as Theirs;
use super::api::traits::publication::audience::Receipt as TheirReceipt;
use super::api::traits::{Publication, Timestamp};
use crate::mirror::status::{Audience, Facts, Receipt};
use crate::mirror::trouble::shown;

/// Everything that is shown of a publication but its body.
pub(super) fn facts(publication: &Publication) -> Facts {
    Facts {
        version: said(&publication.version),
        published_ms: publication.publish_time.as_ref().and_then(ms),
        audience: publication.audience.as_ref().map(audience),
    }
}

fn audience(theirs: &Theirs) -> Audience {
    Audience {
        name: shown(&theirs.name),
        receipt: match theirs.receipt() {
            TheirReceipt::Unspecified => Receipt::Unspecified,
            TheirReceipt::NoSignal => Receipt::NoSignal,
            TheirReceipt::Accepted => Receipt::Accepted,
            TheirReceipt::Rejected => Receipt::Rejected,
        },
        rejected_reason: said(&theirs.receipt_rejected_reason),
        receipt_ms: theirs.receipt_time.as_ref().and_then(ms),
    }
}

/// An empty text is how the interface says nothing.
fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| shown(text))
}

/// In Unix milliseconds; `None` for a time that is none, or before 1970.
fn ms(time: &Timestamp) -> Option<u64> {
    let seconds = u64::try_from(time.seconds).ok()?;
    let nanos = u64::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    seconds.checked_mul(1_000)?.checked_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_not_shown() {
        assert_eq!(facts(&Publication::default()), Facts::default());
    }

    #[test]
    fn version_time_and_audience_are_shown() {
        let publication = Publication {
            version: "v1".to_owned(),
            publish_time: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 250_000_000,
            }),
            audience: Some(Theirs {
                name: "area".to_owned(),
                receipt: TheirReceipt::Rejected.into(),
                receipt_rejected_reason: "no\nroom".to_owned(),
                receipt_time: None,
            }),
            ..Publication::default()
        };
        let expected = Facts {
            version: Some("v1".to_owned()),
            published_ms: Some(1_700_000_000_250),
            audience: Some(Audience {
                name: "area".to_owned(),
                receipt: Receipt::Rejected,
                rejected_reason: Some("no room".to_owned()),
                receipt_ms: None,
            }),
        };
        assert_eq!(facts(&publication), expected);
    }

    #[test]
    fn a_receipt_of_a_newer_interface_is_unspecified_and_a_time_that_is_none_is_not_shown() {
        let theirs = Theirs {
            receipt: 77,
            ..Theirs::default()
        };
        assert_eq!(audience(&theirs).receipt, Receipt::Unspecified);
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            assert_eq!(ms(&Timestamp { seconds, nanos }), None);
        }
        let first = Timestamp::default();
        assert_eq!(ms(&first), Some(0));
    }
}
