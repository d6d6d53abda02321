//! How long a source lets its answers be kept (RFC 9111, sections 4.2 and 5.2.2). It must not know whether anybody asks.

use std::time::{Duration, SystemTime};

use crate::outbound::{HeaderMap, HeaderName, HeaderValue};

/// How long an answer may be kept, as its source says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Lifetime {
    /// It says nothing.
    #[default]
    Unsaid,
    /// So long from when it came.
    For(Duration),
    /// Not at all: it is for whoever asked.
    NotToBeKept,
}

const CACHE_CONTROL: HeaderName = HeaderName::from_static("cache-control");
const EXPIRES: HeaderName = HeaderName::from_static("expires");
const DATE: HeaderName = HeaderName::from_static("date");
const AGE: HeaderName = HeaderName::from_static("age");

impl Lifetime {
    /// As the headers of an answer say, from when it is received.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let said = Said::in_headers(headers);
        if said.no_store {
            return Self::NotToBeKept;
        }
        if said.no_cache {
            return Self::For(Duration::ZERO);
        }
        match said.max_age.or_else(|| until_expires(headers)) {
            None => Self::Unsaid,
            // What other caches have kept it for already is over.
            Some(lifetime) => Self::For(lifetime.saturating_sub(age(headers))),
        }
    }
}

/// What `Cache-Control` says, as far as it matters to a cache that many share.
#[derive(Default)]
struct Said {
    no_store: bool,
    no_cache: bool,
    max_age: Option<Duration>,
}

impl Said {
    fn in_headers(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        let mut shared_max_age = None;
        let lines = headers.get_all(CACHE_CONTROL);
        let lines = lines.iter().filter_map(|line| line.to_str().ok());
        for directive in lines.flat_map(|line| line.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "private" if value.is_empty() => said.no_store = true,
                "no-cache" if value.is_empty() => said.no_cache = true,
                "max-age" => said.max_age = Some(seconds(value)),
                "s-maxage" => shared_max_age = Some(seconds(value)),
                _ => {}
            }
        }
        said.max_age = shared_max_age.or(said.max_age);
        said
    }
}

/// A number that cannot be read is one that is over (RFC 9111, section 4.2.1); one that is too large is the largest.
fn seconds(text: &str) -> Duration {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if digits {
        text.parse().unwrap_or(u64::from(u32::MAX))
    } else {
        0
    };
    Duration::from_secs(seconds.min(u64::from(u32::MAX)))
}

/// From `Date` to `Expires`. An `Expires` that is no date is one that is over; without a `Date` it cannot be told from when
/// the time runs.
fn until_expires(headers: &HeaderMap) -> Option<Duration> {
    let expires = headers.get(EXPIRES)?;
    let Some(expires) = date(expires) else {
        return Some(Duration::ZERO);
    };
    let from = date(headers.get(DATE)?)?;
    Some(expires.duration_since(from).unwrap_or_default())
}

fn date(header: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(header.to_str().ok()?).ok()
}

fn age(headers: &HeaderMap) -> Duration {
    let age = headers.get(AGE).and_then(|age| age.to_str().ok());
    age.map_or(Duration::ZERO, |age| seconds(age.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Lifetime {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Lifetime::of(&headers)
    }

    fn lasting(seconds: u64) -> Lifetime {
        Lifetime::For(Duration::from_secs(seconds))
    }

    #[test]
    fn an_answer_that_says_nothing_leaves_it_open() {
        assert_eq!(of(&[]), Lifetime::Unsaid);
        assert_eq!(of(&[("cache-control", "public")]), Lifetime::Unsaid);
        assert_eq!(of(&[("cache-control", "")]), Lifetime::Unsaid);
        // From when should it run?
        let expires = [("expires", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(of(&expires), Lifetime::Unsaid);
    }

    #[test]
    fn what_is_said_to_shared_caches_wins_over_max_age_and_that_over_expires() {
        let dates = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("expires", "Sun, 06 Nov 1994 08:50:37 GMT"),
        ];
        assert_eq!(of(&dates), lasting(60));
        let with = |said| of(&[dates[0], dates[1], ("cache-control", said)]);
        assert_eq!(with("public, Max-Age=30"), lasting(30));
        assert_eq!(with("s-maxage=20 , max-age=\"30\""), lasting(20));
        assert_eq!(
            with("max-age=99999999999999999999"),
            lasting(u64::from(u32::MAX))
        );
    }

    #[test]
    fn what_cannot_be_read_is_over() {
        for said in ["max-age=x", "max-age", "max-age=-1", "max-age=1.5"] {
            assert_eq!(of(&[("cache-control", said)]), lasting(0), "{said}");
        }
        assert_eq!(of(&[("expires", "0")]), lasting(0));
        let past = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("expires", "Sun, 06 Nov 1994 08:49:36 GMT"),
        ];
        assert_eq!(of(&past), lasting(0));
    }

    #[test]
    fn what_others_have_kept_it_for_is_taken_off() {
        let aged = |age| of(&[("cache-control", "max-age=60"), ("age", age)]);
        assert_eq!(aged("45"), lasting(15));
        assert_eq!(aged("61"), lasting(0));
        assert_eq!(aged("x"), lasting(60));
    }

    #[test]
    fn some_answers_are_only_for_whoever_asked() {
        for said in ["no-store", "private, max-age=9", "max-age=9, NO-STORE"] {
            assert_eq!(
                of(&[("cache-control", said)]),
                Lifetime::NotToBeKept,
                "{said}"
            );
        }
        assert_eq!(of(&[("cache-control", "no-cache, max-age=9")]), lasting(0));
        // Only some fields of the answer are meant.
        let fields = [("cache-control", "private=\"set-cookie\", max-age=9")];
        assert_eq!(of(&fields), lasting(9));
    }
}
