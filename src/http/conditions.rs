//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1), from header lines to typed conditions. What cannot be read is
//! refused, never ignored: a condition that is dropped silently would turn a guarded write into an unguarded one.
//!
//! There are no modification dates here, so `If-Modified-Since` and `If-Unmodified-Since` are ignored, as the RFC asks.

use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::code::Code;
use super::etag::{self, Strength};
use super::problem::Problem;
use crate::keyspace::{Conditions, Versions};

/// Which tags count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    /// A weak tag matches nothing.
    Strong,
    /// `W/"x"` stands for `"x"`.
    Weak,
}

impl Comparison {
    fn counts(self, strength: Strength) -> bool {
        self == Self::Weak || strength == Strength::Strong
    }
}

/// The conditions of a request.
pub(crate) fn parse(headers: &HeaderMap) -> Result<Conditions, Problem> {
    Ok(Conditions {
        if_match: versions(headers, &header::IF_MATCH, Comparison::Strong)?,
        if_none_match: versions(headers, &header::IF_NONE_MATCH, Comparison::Weak)?,
    })
}

/// What `text` means as the value of `If-Match`; `None` where it cannot be read.
pub(crate) fn if_match(text: &str) -> Option<Versions> {
    line(text, Comparison::Strong)
}

/// What `text` means as the value of `If-None-Match`; `None` where it cannot be read.
pub(crate) fn if_none_match(text: &str) -> Option<Versions> {
    line(text, Comparison::Weak)
}

fn line(text: &str, comparison: Comparison) -> Option<Versions> {
    if text.trim_matches([' ', '\t']) == "*" {
        return Some(Versions::Any);
    }
    let tags = list(text)?;
    let counted = tags.iter().filter(|tag| comparison.counts(tag.strength));
    let versions = counted.filter_map(|tag| etag::parse(&tag.opaque));
    Some(Versions::OneOf(versions.collect()))
}

fn versions(
    headers: &HeaderMap,
    name: &HeaderName,
    comparison: Comparison,
) -> Result<Option<Versions>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let unreadable = || {
        let detail =
            format!(r#"{name} is neither * nor a list of entity tags like "0000000000000001-1""#);
        Problem::new(Code::InvalidParameter, detail)
    };
    let mut versions = Vec::new();
    let mut lines = 0_usize;
    let mut any = false;
    for text in headers.get_all(name) {
        let text = std::str::from_utf8(text.as_bytes()).map_err(|_not_utf8| unreadable())?;
        lines += 1;
        match line(text, comparison).ok_or_else(unreadable)? {
            Versions::Any => any = true,
            Versions::OneOf(named) => versions.extend(named),
        }
    }
    match (any, lines) {
        (false, _) => Ok(Some(Versions::OneOf(versions))),
        (true, 1) => Ok(Some(Versions::Any)),
        // A * beside tags is no list that the RFC knows.
        (true, _) => Err(unreadable()),
    }
}

/// The tags of one line. Empty elements, and so an empty list, are allowed (RFC 9110, section 5.6.1.2): it names no version.
fn list(line: &str) -> Option<Vec<etag::Tag<'_>>> {
    let mut tags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            break;
        }
        let (tag, behind) = etag::take_tag(rest)?;
        tags.push(tag);
        rest = behind.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;
    use crate::keyspace::Version;

    const ONE: &str = r#""0000000000000001-1""#;
    const TWO: &str = r#""0000000000000001-2""#;

    fn version(revision: u64) -> Version {
        Version { mark: 1, revision }
    }

    fn parsed(lines: &[(HeaderName, &str)]) -> Result<Conditions, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                name.clone(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        parse(&headers).map_err(|problem| problem.code())
    }

    #[test]
    fn absent_headers_are_no_condition() {
        assert!(parsed(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_star_is_any_version() {
        let conditions =
            parsed(&[(header::IF_MATCH, " * "), (header::IF_NONE_MATCH, "*")]).unwrap();
        assert_eq!(conditions.if_match, Some(Versions::Any));
        assert_eq!(conditions.if_none_match, Some(Versions::Any));
    }

    #[test]
    fn lists_over_several_lines_are_one_list() {
        let one_line = format!(r#"{ONE},, "other,tag" ,{TWO}"#);
        let conditions = parsed(&[(header::IF_MATCH, &one_line)]).unwrap();
        assert_eq!(
            conditions.if_match,
            Some(Versions::OneOf(vec![version(1), version(2)]))
        );
        let conditions =
            parsed(&[(header::IF_NONE_MATCH, ONE), (header::IF_NONE_MATCH, TWO)]).unwrap();
        assert_eq!(
            conditions.if_none_match,
            Some(Versions::OneOf(vec![version(1), version(2)]))
        );
    }

    #[test]
    fn weak_tags_count_for_if_none_match_alone() {
        let weak = format!("W/{ONE}");
        let conditions =
            parsed(&[(header::IF_MATCH, &weak), (header::IF_NONE_MATCH, &weak)]).unwrap();
        assert_eq!(conditions.if_match, Some(Versions::OneOf(Vec::new())));
        assert_eq!(
            conditions.if_none_match,
            Some(Versions::OneOf(vec![version(1)]))
        );
    }

    #[test]
    fn an_empty_list_names_no_version() {
        for value in ["", " ", ", ,"] {
            let conditions = parsed(&[(header::IF_MATCH, value)]).unwrap();
            assert_eq!(
                conditions.if_match,
                Some(Versions::OneOf(Vec::new())),
                "{value:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for value in ["abc", r#""a" "b""#, r#""a"#, r#"*, "a""#, "**", r#"w/"a""#] {
            assert_eq!(
                parsed(&[(header::IF_MATCH, value)]),
                Err(Code::InvalidParameter),
                "{value:?}"
            );
        }
        assert_eq!(
            parsed(&[(header::IF_MATCH, "*"), (header::IF_MATCH, ONE)]),
            Err(Code::InvalidParameter)
        );
    }
}
