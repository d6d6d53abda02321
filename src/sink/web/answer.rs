//! What an answer means: taken, refused for good, or to be tried again, and when. It must not know what was sent.
//!
//! | status | means |
//! |---|---|
//! | 2xx | taken |
//! | 401 402 403 404 405 406 407 410 411 414 415 421 426 428 431 451 | something is wrong with the address, the token or the header fields, and with no row: tried again |
//! | 408 409 423 424 425 429 | not now: tried again. 409 is what a request is told whose name is being worked on |
//! | any other 4xx, 400 413 422 among them | a row is refused for good |
//! | everything else | tried again |

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::outbound::{HeaderMap, StatusCode};
use crate::sink::ledger::Fault;

/// The longest that an answer can ask to be left alone.
const LONGEST: Duration = Duration::from_hours(1);

/// Statuses that are about the request as a whole.
const ABOUT_NO_ROW: &[u16] = &[
    401, 402, 403, 404, 405, 406, 407, 410, 411, 414, 415, 421, 426, 428, 431, 451,
];

/// Statuses that will be others at another time.
const NOT_NOW: &[u16] = &[408, 409, 423, 424, 425, 429];

/// Decides by the table above.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap, origin: &str) -> Result<(), Fault> {
    if status.is_success() {
        return Ok(());
    }
    let text = format!("{origin} answered {status}");
    let code = status.as_u16();
    let passes = ABOUT_NO_ROW.contains(&code) || NOT_NOW.contains(&code);
    if status.is_client_error() && !passes {
        return Err(Fault::Refused(text));
    }
    Err(match patience(headers) {
        None => Fault::Failed(text),
        Some(after) => Fault::Later(text, after),
    })
}

/// The `Retry-After` of an answer (RFC 9110, section 10.2.3): seconds, or a date.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    let wait = date.duration_since(Timestamp::now());
    // What is over is over.
    Some(Duration::try_from(wait).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::HeaderValue;

    fn judged(status: u16, after: Option<&str>) -> Result<(), Fault> {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert("retry-after", HeaderValue::from_str(after).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        judge(status, &headers, "http://host")
    }

    #[test]
    fn statuses_mean_what_the_table_says() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(judged(status, Some("9")), Ok(()));
        }
        for status in [400, 413, 422, 418, 499] {
            assert!(
                matches!(judged(status, Some("9")), Err(Fault::Refused(_))),
                "{status}"
            );
        }
        for status in [
            304, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504, 599,
        ] {
            assert!(
                matches!(judged(status, None), Err(Fault::Failed(_))),
                "{status}"
            );
        }
    }

    #[test]
    fn an_answer_says_when_to_come_again() {
        let after = |text: &str| match judged(503, Some(text)) {
            Err(Fault::Later(_, after)) => Some(after),
            _ => None,
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after("99999999"), Some(LONGEST));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("Fri, 01 Jan 2100 00:00:00 GMT"), Some(LONGEST));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }
}
