//! From the raw path to a key. The router's own decoding is lossy (two keys could become one), so it is not used here.

use std::borrow::Cow;

use super::code::Code;
use super::percent::{self, Plus};
use super::problem::Problem;

/// The key in `path`: what follows the `slashes`-th slash, percent-decoded once. `None` where there are fewer slashes.
///
/// The prefix is counted, not compared: it may be percent-encoded itself.
pub(crate) fn from_path(path: &str, slashes: usize) -> Option<Result<Cow<'_, str>, Problem>> {
    let raw = path.splitn(slashes + 1, '/').nth(slashes)?;
    Some(checked(raw))
}

fn checked(raw: &str) -> Result<Cow<'_, str>, Problem> {
    if raw.is_empty() {
        return Err(Problem::new(
            Code::InvalidKey,
            "the key is empty: it follows /v1/",
        ));
    }
    percent::decode(raw, Plus::Plus)
        .map_err(|error| Problem::new(Code::InvalidKey, format!("in the key {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> String {
        from_path(path, 2).unwrap().unwrap().into_owned()
    }

    #[test]
    fn the_key_is_the_rest_of_the_path_as_it_came() {
        assert_eq!(key("/v1/a"), "a");
        assert_eq!(key("/v1/a/b"), "a/b");
        assert_eq!(key("/v1/a%2Fb"), "a/b");
        assert_eq!(key("/v1/a//b"), "a//b");
        assert_eq!(key("/v1/a/"), "a/");
        assert_eq!(key("/v1//"), "/");
        assert_eq!(key("/v1/%252F"), "%2F");
        assert_eq!(key("/v1/../x"), "../x");
        assert_eq!(key("/%76%31/a+b"), "a+b");
    }

    #[test]
    fn an_empty_or_unreadable_key_is_refused() {
        for path in ["/v1/", "/v1/%", "/v1/%FF", "/v1/a%2"] {
            let problem = from_path(path, 2).unwrap().unwrap_err();
            assert_eq!(problem.code(), Code::InvalidKey, "{path}");
        }
    }

    #[test]
    fn without_the_second_slash_there_is_no_key() {
        assert!(from_path("/v1", 2).is_none());
    }
}
