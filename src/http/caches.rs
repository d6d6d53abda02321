//! What caches say to each other, where somebody else's word counts for a value: what a reader accepts (RFC 9111, section
//! 5.2.1), how an answer came about (RFC 9211) and how old it is. It must not know how a value is found.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::answer;
use super::call::Call;
use super::code::Code;
use super::problem::Problem;
use crate::keyspace::{
    Accepts, Conditions, Entry, Forwarded, Freshness, Served, SourceFailure, Stale, Values,
};

/// How an answer came about.
pub(super) const CACHE_STATUS: HeaderName = header::CACHE_STATUS;

/// What this cache calls itself.
const NAME: &str = "standpipe";

/// The answer to a read that found `entry`. Where somebody else's word counts for the value, it tells how old it is.
#[inline]
pub(super) fn found(
    call: &Call,
    values: &Values,
    key: &str,
    conditions: &Conditions,
    entry: Entry,
    served: Option<&Served>,
) -> Result<HttpResponse, Problem> {
    let (method, headers) = (call.method(), call.headers());
    let max_age = values.max_age(&entry);
    let followed = values.freshness(key.as_bytes(), &entry);
    let age = followed
        .map(|freshness| freshness.age)
        .or_else(|| call.service().age(&entry))
        .or_else(|| served.map(|_| values.age(&entry)));
    let Some(age) = age else {
        return answer::of_entry(method, headers, conditions, entry, max_age);
    };
    // A client takes the age off.
    let age = age.as_secs();
    let max_age = max_age.map(|max_age| max_age.saturating_add(Duration::from_secs(age)));
    let answer = answer::of_entry(method, headers, conditions, entry, max_age);
    let mut response = answer.map_err(|problem| nothing(problem, served))?;
    let headers = response.headers_mut();
    headers.insert(header::AGE, HeaderValue::from(age));
    if let Some(status) = served.map(status).or_else(|| followed.map(mirrored)) {
        headers.insert(CACHE_STATUS, status);
    }
    Ok(response)
}

/// `problem`, which tells that nothing was found, or nothing that may be shown.
pub(super) fn nothing(problem: Problem, served: Option<&Served>) -> Problem {
    match served {
        None => problem,
        Some(served) => problem.with_header(CACHE_STATUS, status(served)),
    }
}

/// What the reader accepts. Other directives are for other caches: a value is as fresh as the keyspace says.
pub(super) fn accepts(headers: &HeaderMap) -> Accepts {
    let has = |wanted: &str| {
        let lines = headers.get_all(header::CACHE_CONTROL);
        let mut directives = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        directives.any(|directive| directive.trim().eq_ignore_ascii_case(wanted))
    };
    match (has("no-cache"), has("only-if-cached")) {
        (false, false) => Accepts::Anything,
        (true, false) => Accepts::Fetched,
        (false, true) => Accepts::Stored,
        (true, true) => Accepts::Nothing,
    }
}

/// The code of a failure.
pub(super) fn code(failure: &SourceFailure) -> Code {
    match failure {
        SourceFailure::Failed { .. } | SourceFailure::TooLarge { .. } => Code::SourceFailed,
        SourceFailure::TimedOut { .. } => Code::SourceTimeout,
        SourceFailure::BreakerOpen { .. } => Code::BreakerOpen,
        SourceFailure::RateLimited { .. } => Code::SourceRateLimited,
        SourceFailure::NotStored => Code::NotStored,
    }
}

/// How a failure came about.
pub(super) fn failed(failure: &SourceFailure) -> HeaderValue {
    let asked = if was_asked(failure) { "; fwd=miss" } else { "" };
    header_of(format!("{NAME}{asked}; detail={}", code(failure).name()))
}

/// How an answer came about.
fn status(served: &Served) -> HeaderValue {
    match served {
        Served::Hit => HeaderValue::from_static("standpipe; hit"),
        Served::NegativeHit => HeaderValue::from_static("standpipe; hit; detail=negative"),
        Served::Stale { over_for, because } => {
            let (how, detail) = match because {
                Stale::WhileRevalidating => ("hit", "revalidating"),
                Stale::If(failure) => {
                    let how = if was_asked(failure) {
                        "fwd=stale"
                    } else {
                        "hit"
                    };
                    (how, code(failure).name())
                }
            };
            // What is over is over for a second at least.
            let over_for = over_for.as_secs().max(1);
            header_of(format!("{NAME}; {how}; ttl=-{over_for}; detail={detail}"))
        }
        Served::Fetched {
            forwarded,
            stored,
            collapsed,
        } => {
            let why = match forwarded {
                Forwarded::Miss => "miss",
                Forwarded::Stale => "stale",
                Forwarded::Request => "request",
            };
            let mut text = format!("{NAME}; fwd={why}");
            for (is_so, what) in [(stored, "stored"), (collapsed, "collapsed")] {
                if *is_so {
                    write!(text, "; {what}").expect("a string takes everything");
                }
            }
            header_of(text)
        }
    }
}

/// How an answer came about with a value of whom the keyspace follows.
fn mirrored(Freshness { age, stale }: Freshness) -> HeaderValue {
    if !stale {
        return HeaderValue::from_static("standpipe; hit");
    }
    let age = age.as_secs();
    let over = if age == 0 { "" } else { "-" };
    header_of(format!("{NAME}; hit; ttl={over}{age}; detail=stale"))
}

/// Whether the source was asked at all.
fn was_asked(failure: &SourceFailure) -> bool {
    match failure {
        SourceFailure::Failed { .. }
        | SourceFailure::TooLarge { .. }
        | SourceFailure::TimedOut { .. } => true,
        SourceFailure::BreakerOpen { .. }
        | SourceFailure::RateLimited { .. }
        | SourceFailure::NotStored => false,
    }
}

fn header_of(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("words and numbers can stand in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_directives_of_a_request_matter() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_static(line));
            }
            accepts(&headers)
        };
        assert_eq!(of(&[]), Accepts::Anything);
        assert_eq!(of(&["max-age=0, no-store, x=no-cache"]), Accepts::Anything);
        assert_eq!(of(&["max-age=0 , No-Cache"]), Accepts::Fetched);
        assert_eq!(of(&["no-transform", "only-if-cached"]), Accepts::Stored);
        assert_eq!(of(&["only-if-cached", "no-cache"]), Accepts::Nothing);
    }

    #[test]
    fn an_answer_says_how_it_came_about() {
        let fetched = |forwarded, stored, collapsed| Served::Fetched {
            forwarded,
            stored,
            collapsed,
        };
        let stale = |because| Served::Stale {
            over_for: Duration::from_millis(2_999),
            because,
        };
        let retry_after = Duration::from_secs(1);
        for (served, text) in [
            (Served::Hit, "standpipe; hit"),
            (Served::NegativeHit, "standpipe; hit; detail=negative"),
            (
                fetched(Forwarded::Miss, true, false),
                "standpipe; fwd=miss; stored",
            ),
            (
                fetched(Forwarded::Stale, true, true),
                "standpipe; fwd=stale; stored; collapsed",
            ),
            (
                fetched(Forwarded::Request, false, false),
                "standpipe; fwd=request",
            ),
            (
                stale(Stale::WhileRevalidating),
                "standpipe; hit; ttl=-2; detail=revalidating",
            ),
            (
                stale(Stale::If(SourceFailure::TimedOut { after: retry_after })),
                "standpipe; fwd=stale; ttl=-2; detail=source_timeout",
            ),
            (
                stale(Stale::If(SourceFailure::BreakerOpen { retry_after })),
                "standpipe; hit; ttl=-2; detail=breaker_open",
            ),
        ] {
            assert_eq!(status(&served), text);
        }
        assert_eq!(
            failed(&SourceFailure::TooLarge { limit: 1 }),
            "standpipe; fwd=miss; detail=source_failed"
        );
        assert_eq!(
            failed(&SourceFailure::NotStored),
            "standpipe; detail=not_stored"
        );
    }
}
