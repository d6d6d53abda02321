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

/// The key in `path`, which has that many slashes because a route says so.
pub(crate) fn of(path: &str, slashes: usize) -> Result<Cow<'_, str>, Problem> {
    from_path(path, slashes).unwrap_or_else(|| checked(""))
}

/// The name in `/keyspaces/{ks}/...`, percent-decoded once. What cannot be decoded is no keyspace's name.
pub(crate) fn keyspace(path: &str) -> Result<Cow<'_, str>, Problem> {
    let raw = path.split('/').nth(2).unwrap_or_default();
    percent::decode(raw, Plus::Plus).map_err(|error| {
        let detail = format!("in the name of the keyspace {error}");
        Problem::new(Code::KeyspaceNotFound, detail)
    })
}

fn checked(raw: &str) -> Result<Cow<'_, str>, Problem> {
    if raw.is_empty() {
        return Err(Problem::new(
            Code::InvalidKey,
            "the key is empty: it is what follows the last slash of the address's fixed part",
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
    fn a_key_of_a_keyspace_follows_the_fourth_slash() {
        for (path, name, key) in [
            ("/keyspaces/a/keys/b", "a", "b"),
            ("/keyspaces/a-b_1/keys/b/c//", "a-b_1", "b/c//"),
            ("/key%73paces/%61/k%65ys/%2F", "a", "/"),
            ("/keyspaces//keys/a", "", "a"),
            ("/keyspaces/a%2Fb/keys/a", "a/b", "a"),
        ] {
            assert_eq!(keyspace(path).unwrap(), name, "{path}");
            assert_eq!(of(path, 4).unwrap(), key, "{path}");
        }
        assert_eq!(keyspace("/keyspaces/a").unwrap(), "a");
        let problem = keyspace("/keyspaces/%FF/keys/a").unwrap_err();
        assert_eq!(problem.code(), Code::KeyspaceNotFound);
        let problem = of("/keyspaces/a/keys/", 4).unwrap_err();
        assert_eq!(problem.code(), Code::InvalidKey);
    }

    #[test]
    fn without_the_second_slash_there_is_no_key() {
        assert!(from_path("/v1", 2).is_none());
    }
}
