//! The name of a request, by which its traces in several programs are found again (`X-Request-Id`). Whoever sends one gets
//! it back; who sends none gets one where the access log names it. It must not know what is asked for.

use std::cell::Cell;
use std::fmt::Write as _;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header, in requests and in answers.
pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name that is taken over.
const LONGEST: usize = 128;

/// The names that one worker makes: what is random belongs to the worker, what counts to the request.
#[derive(Debug)]
pub(super) struct RequestIds {
    prefix: String,
    made: Cell<u64>,
}

/// Whether a request without a name gets one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Named {
    /// Nobody would read it.
    IfAsked,
    /// It will be in the log.
    Always,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut random = [0_u8; 8];
        // Without randomness names only lose their difference between workers.
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::debug!(%error, "no randomness for request ids");
        }
        let mut prefix = String::with_capacity(16);
        for byte in random {
            write!(prefix, "{byte:02x}").expect("writing to a String cannot fail");
        }
        Self {
            prefix,
            made: Cell::new(0),
        }
    }

    /// The name of the request with these headers. One that could not stand in a line of a log is replaced.
    #[inline]
    pub(super) fn of(&self, headers: &HeaderMap, named: Named) -> Option<HeaderValue> {
        match headers.get(&X_REQUEST_ID) {
            None if named == Named::IfAsked => None,
            Some(given) if is_sane(given.as_bytes()) => Some(given.clone()),
            None | Some(_) => Some(self.make()),
        }
    }

    fn make(&self) -> HeaderValue {
        let number = self.made.get();
        self.made.set(number.wrapping_add(1));
        HeaderValue::try_from(format!("{}-{number:x}", self.prefix))
            .unwrap_or_else(|_never| HeaderValue::from_static("-"))
    }
}

/// Bounded, and visible ASCII without spaces: a line of text stays a line with its columns.
fn is_sane(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: Option<&[u8]>, named: Named) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(
                X_REQUEST_ID.clone(),
                HeaderValue::from_bytes(given).unwrap(),
            );
        }
        let id = RequestIds::new().of(&headers, named)?;
        Some(id.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_sane_name_is_kept() {
        for given in [
            "a",
            "01HZX/é".trim_end_matches("/é"),
            "7f-8_9.~:/+=",
            &"x".repeat(LONGEST),
        ] {
            for named in [Named::IfAsked, Named::Always] {
                assert_eq!(of(Some(given.as_bytes()), named).as_deref(), Some(given));
            }
        }
    }

    #[test]
    fn any_other_name_is_replaced() {
        for given in [
            &b""[..],
            b"a b",
            b"a\tb",
            "é".as_bytes(),
            b"\xff",
            &[b'x'; LONGEST + 1],
        ] {
            let made = of(Some(given), Named::IfAsked).unwrap();
            assert!(
                is_sane(made.as_bytes()) && made.as_bytes() != given,
                "{made}"
            );
        }
    }

    #[test]
    fn one_is_made_only_where_somebody_reads_it_and_never_twice() {
        assert_eq!(of(None, Named::IfAsked), None);
        let ids = [RequestIds::new(), RequestIds::new()];
        let made = |ids: &RequestIds| ids.of(&HeaderMap::new(), Named::Always).unwrap();
        let all = [made(&ids[0]), made(&ids[0]), made(&ids[1])];
        assert!(
            all[0] != all[1] && all[0] != all[2] && all[1] != all[2],
            "{all:?}"
        );
    }
}
