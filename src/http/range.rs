//! `Range` and `If-Range` (RFC 9110, section 14): one range of bytes. Several ranges, another unit or text that is no
//! range mean the whole value, as the RFC allows. It must not know where the bytes are.

use actix_web::http::header::{self, HeaderMap};

use super::etag::{self, Strength};
use crate::keyspace::Version;

/// What of a value an answer should carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// Everything.
    Whole,
    /// From the first of these offsets up to and without the second; never empty.
    Part(usize, usize),
    /// The range lies outside the value.
    Outside,
}

/// What the request wants of a value of `len` bytes in `version`.
pub(crate) fn wanted(headers: &HeaderMap, version: Version, len: usize) -> Wanted {
    let Some(range) = headers.get(header::RANGE) else {
        return Wanted::Whole;
    };
    let mut lines = headers.get_all(header::RANGE).skip(1);
    if lines.next().is_some() || !still_current(headers, version) {
        return Wanted::Whole;
    }
    range
        .to_str()
        .ok()
        .and_then(|text| parse(text, len))
        .unwrap_or(Wanted::Whole)
}

/// Whether `If-Range` is absent or names this version. A date never does: there are no modification dates.
fn still_current(headers: &HeaderMap, version: Version) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else {
        return true;
    };
    let tag = value
        .to_str()
        .ok()
        .and_then(|text| etag::take_tag(text.trim()));
    tag.is_some_and(|(tag, rest)| {
        rest.is_empty()
            && tag.strength == Strength::Strong
            && etag::parse(&tag.opaque) == Some(version)
    })
}

/// `bytes=first-last`, `bytes=first-` or `bytes=-suffix`; `None` where it is anything else.
fn parse(text: &str, len: usize) -> Option<Wanted> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim_matches([' ', '\t']).split_once('-')?;
    let (start, end) = if first.is_empty() {
        (len.saturating_sub(offset(last)?), len)
    } else if last.is_empty() {
        (offset(first)?, len)
    } else {
        let (first, last) = (offset(first)?, offset(last)?);
        if last < first {
            return None;
        }
        (first, last.saturating_add(1).min(len))
    };
    Some(if start < end {
        Wanted::Part(start, end)
    } else {
        Wanted::Outside
    })
}

/// A number too large for an offset is as good as the largest: it lies behind every value.
fn offset(digits: &str) -> Option<usize> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const HERE: Version = Version {
        mark: 1,
        revision: 2,
    };

    fn of_ten(range: &'static str) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(range));
        wanted(&headers, HERE, 10)
    }

    #[test]
    fn one_range_is_a_part() {
        assert_eq!(of_ten("bytes=0-0"), Wanted::Part(0, 1));
        assert_eq!(of_ten("bytes=2-5"), Wanted::Part(2, 6));
        assert_eq!(of_ten("bytes=2-"), Wanted::Part(2, 10));
        assert_eq!(of_ten("bytes=-3"), Wanted::Part(7, 10));
        assert_eq!(of_ten("BYTES=-99"), Wanted::Part(0, 10));
        assert_eq!(
            of_ten("bytes=9-99999999999999999999999999"),
            Wanted::Part(9, 10)
        );
    }

    #[test]
    fn a_range_behind_the_end_is_outside() {
        assert_eq!(of_ten("bytes=10-"), Wanted::Outside);
        assert_eq!(of_ten("bytes=10-11"), Wanted::Outside);
        assert_eq!(of_ten("bytes=-0"), Wanted::Outside);
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-"));
        assert_eq!(wanted(&headers, HERE, 0), Wanted::Outside);
    }

    #[test]
    fn everything_else_means_the_whole() {
        let others = [
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=0 -1",
        ];
        for range in others {
            assert_eq!(of_ten(range), Wanted::Whole, "{range}");
        }
    }

    #[test]
    fn if_range_lets_only_this_version_be_cut() {
        let with = |if_range: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-4"));
            headers.insert(header::IF_RANGE, HeaderValue::from_static(if_range));
            wanted(&headers, HERE, 10)
        };
        assert_eq!(with(r#""0000000000000001-2""#), Wanted::Part(0, 5));
        assert_eq!(with(r#"W/"0000000000000001-2""#), Wanted::Whole);
        assert_eq!(with(r#""0000000000000001-3""#), Wanted::Whole);
        assert_eq!(with("Sat, 29 Oct 1994 19:43:31 GMT"), Wanted::Whole);
    }
}
