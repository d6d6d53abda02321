//! Keys that left so that others fit: a record of their own, or the front of the record of the change that needed the room.

use super::{Malformed, Take, key_len};
use crate::int::slot32;

/// Bytes of the front of such a record, and of the type behind it: everything but the keys, each with two for its length.
pub(crate) const EVICT_BYTES: usize = 4 + 4 + 4 + 1;

/// What left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evict<'a> {
    pub(crate) keyspace: u32,
    /// By time.
    pub(crate) expired: Vec<&'a [u8]>,
    /// For room.
    pub(crate) evicted: Vec<&'a [u8]>,
}

impl<'a> Evict<'a> {
    pub(super) fn take(take: &mut Take<'a>) -> Result<Self, Malformed> {
        let keyspace = take.u32()?;
        let (expired, evicted) = (take.u32()?, take.u32()?);
        Ok(Self {
            keyspace,
            expired: (0..expired).map(|_| take.key()).collect::<Result<_, _>>()?,
            evicted: (0..evicted).map(|_| take.key()).collect::<Result<_, _>>()?,
        })
    }
}

/// The payload that tells of `expired` and `evicted`; a change's type and payload may follow.
pub(crate) fn evict<'k>(
    keyspace: u32,
    expired: impl ExactSizeIterator<Item = &'k [u8]>,
    evicted: impl ExactSizeIterator<Item = &'k [u8]>,
) -> Vec<u8> {
    let mut out = keyspace.to_le_bytes().to_vec();
    for count in [expired.len(), evicted.len()] {
        out.extend_from_slice(&slot32(count).to_le_bytes());
    }
    for key in expired.chain(evicted) {
        out.extend_from_slice(&key_len(key));
        out.extend_from_slice(key);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Lifetime, Record, delete, kind, touch};
    use super::*;

    fn keys() -> Vec<u8> {
        let expired: [&[u8]; 1] = [b"old"];
        let evicted: [&[u8]; 2] = [b"a", b""];
        evict(3, expired.into_iter(), evicted.into_iter())
    }

    fn told() -> Evict<'static> {
        Evict {
            keyspace: 3,
            expired: vec![b"old"],
            evicted: vec![b"a", b""],
        }
    }

    #[test]
    fn what_left_reads_back_alone_and_in_front_of_a_change() {
        let payload = keys();
        assert_eq!(payload.len() + 1, EVICT_BYTES + 2 * 3 + 4);
        assert_eq!(
            Record::decode(kind::EVICT, &payload, 0),
            Ok(Record::Evict(told(), None))
        );
        let lifetime = Lifetime::until(Some(9));
        let change = touch(3, b"key", &lifetime);
        let whole = [&payload[..], &[kind::TOUCH], &change].concat();
        let then = Record::Touch {
            keyspace: 3,
            key: b"key",
            lifetime,
        };
        assert_eq!(
            Record::decode(kind::EVICTING, &whole, 0),
            Ok(Record::Evict(told(), Some(Box::new(then))))
        );
        for cut in 0..payload.len() {
            let read = Record::decode(kind::EVICT, &payload[..cut], 0);
            assert_eq!(read, Err(Malformed("it ends early")), "cut at {cut}");
        }
    }

    #[test]
    fn nothing_leaves_for_what_needs_no_room() {
        let whole = [&keys()[..], &[kind::DELETE], &delete(3, b"k")].concat();
        assert_eq!(
            Record::decode(kind::EVICTING, &whole, 0),
            Err(Malformed("entries left for what needs no room"))
        );
    }

    #[test]
    fn a_count_that_the_payload_cannot_hold_is_malformed_without_allocating() {
        let mut lie = 1_u32.to_le_bytes().to_vec();
        lie.extend_from_slice(&[0xFF; 8]);
        assert_eq!(
            Record::decode(kind::EVICT, &lie, 0),
            Err(Malformed("it ends early"))
        );
    }
}
