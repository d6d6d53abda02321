//! Places in the order of changes as the ids of events: opaque, one text for each place. It must not know what is there.
//!
//! `mark-revision` is behind a whole change, `mark-revision-index` behind one of its events; all in hexadecimal, the mark
//! with 16 digits, the others without leading zeros. So the version of a value, without its quotes, is the place behind the
//! change that wrote it.

use std::fmt;

use crate::keyspace::Place;

/// A place as it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) Place);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            mark,
            revision,
            index,
        } = self.0;
        write!(f, "{mark:016x}-{revision:x}")?;
        match index {
            None => Ok(()),
            Some(index) => write!(f, "-{index:x}"),
        }
    }
}

/// The place that `text` stands for; `None` where we never wrote such a text.
pub(super) fn parse(text: &str) -> Option<Place> {
    let mut parts = text.split('-');
    let number = |part: &str| {
        let plain = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(part, 16).ok()).flatten()
    };
    let mark = number(parts.next()?)?;
    let revision = number(parts.next()?)?;
    let index = match parts.next() {
        None => None,
        Some(part) => {
            // The last of all numbers stands for the whole change, which is written without one.
            let index = u32::try_from(number(part)?).ok()?;
            Some(index).filter(|index| *index != u32::MAX)
        }
    };
    let place = Place {
        mark,
        revision,
        index,
    };
    // Another spelling of the same numbers is another text.
    (parts.next().is_none() && Id(place).to_string() == text).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_text_that_reads_back() {
        let place = |mark, revision, index| Place {
            mark,
            revision,
            index,
        };
        assert_eq!(Id(place(0xAB, 0, None)).to_string(), "00000000000000ab-0");
        assert_eq!(
            Id(place(1, 31, Some(16))).to_string(),
            "0000000000000001-1f-10"
        );
        for revision in [0, 1, 1 << 63, u64::MAX] {
            for index in [None, Some(0), Some(999), Some(u32::MAX - 1)] {
                let place = place(u64::MAX, revision, index);
                assert_eq!(parse(&Id(place).to_string()), Some(place));
            }
        }
    }

    #[test]
    fn what_we_never_wrote_is_no_place() {
        for text in [
            "",
            "-",
            "0",
            "1-1",
            "0000000000000001",
            "0000000000000001-",
            "0000000000000001-01",
            "0000000000000001-1-",
            "0000000000000001-1-01",
            "0000000000000001-1-1-1",
            "0000000000000001-1-ffffffff",
            "0000000000000001-1-100000000",
            "000000000000000G-1",
            "000000000000000A-1",
            "0000000000000001-+1",
            "0000000000000001-1 ",
            "\"0000000000000001-1\"",
            "10000000000000001-1",
            "0000000000000001-10000000000000000",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
