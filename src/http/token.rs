//! Bearer tokens: only their hashes are kept, and a presented one is compared with all of them in constant time. It must
//! not know what a token is needed for.

use std::fmt;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// What a token may do, each verb for itself: none includes another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Verbs {
    /// Read values, lists, changes.
    pub read: bool,
    /// Write and remove values.
    pub write: bool,
    /// Flush, make and drop keyspaces, operate the server.
    pub admin: bool,
}

/// A token as the configuration knows it.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    /// What the log calls it.
    pub name: String,
    /// The SHA-256 of its text.
    pub sha256: [u8; 32],
    /// The keyspaces that it is for; `None` for all, and for what belongs to none.
    pub keyspaces: Option<Vec<String>>,
    /// What it may do there.
    pub verbs: Verbs,
}

impl Token {
    /// What the configuration keeps of a token.
    pub fn hash(text: &str) -> [u8; 32] {
        Sha256::digest(text.as_bytes()).into()
    }

    /// Whether it is for this keyspace.
    pub(super) fn is_for(&self, keyspace: &str) -> bool {
        self.keyspaces
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == keyspace))
    }
}

/// Without the hash: of a weak token it tells too much.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("keyspaces", &self.keyspaces)
            .field("verbs", &self.verbs)
            .finish_non_exhaustive()
    }
}

/// What a request says about its sender.
#[derive(Debug)]
pub(super) enum Presented {
    /// Nothing.
    None,
    /// Something that is no token of ours.
    Unknown,
    /// This token.
    Known(Arc<Token>),
}

/// Which of `tokens` the request brings. The time that it takes tells how many there are, not which one it was.
pub(super) fn presented(tokens: &[Arc<Token>], headers: &HeaderMap) -> Presented {
    let mut given = headers.get_all(header::AUTHORIZATION);
    let Some(first) = given.next() else {
        return Presented::None;
    };
    let bearer = first.to_str().ok().and_then(bearer);
    let (None, Some(bearer)) = (given.next(), bearer) else {
        return Presented::Unknown;
    };
    let hash = Token::hash(bearer);
    let mut found = u64::MAX;
    for (index, token) in (0_u64..).zip(tokens) {
        let same: Choice = token.sha256.ct_eq(&hash);
        found.conditional_assign(&index, same);
    }
    let known = usize::try_from(found).ok().and_then(|at| tokens.get(at));
    known.map_or(Presented::Unknown, |token| {
        Presented::Known(Arc::clone(token))
    })
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110, section 11.1).
fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.trim().split_once(' ')?;
    let token = token.trim_start();
    Some(token).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn tokens() -> Vec<Arc<Token>> {
        let token = |name: &str| {
            Arc::new(Token {
                name: name.to_owned(),
                sha256: Token::hash(&format!("secret of {name}")),
                keyspaces: None,
                verbs: Verbs::default(),
            })
        };
        ["a", "b", "c"].map(token).into()
    }

    fn name_of(headers: &[&str]) -> String {
        let mut request = TestRequest::get();
        for value in headers {
            request = request.append_header((header::AUTHORIZATION, *value));
        }
        match presented(&tokens(), request.to_http_request().headers()) {
            Presented::None => "none".to_owned(),
            Presented::Unknown => "unknown".to_owned(),
            Presented::Known(token) => token.name.clone(),
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(Token::hash("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn each_token_is_found_by_its_text() {
        for name in ["a", "b", "c"] {
            assert_eq!(name_of(&[&format!("Bearer secret of {name}")]), name);
        }
        assert_eq!(name_of(&["bearer  secret of b"]), "b");
    }

    #[test]
    fn anything_else_is_nobody() {
        assert_eq!(name_of(&[]), "none");
        for other in [
            "",
            "Bearer",
            "Bearer ",
            "secret of a",
            "Basic secret of a",
            "Bearer secret of d",
            "Bearer secret of",
            "Bearersecret of a",
            "Bearer secret of a, Bearer secret of b",
        ] {
            assert_eq!(name_of(&[other]), "unknown", "{other}");
        }
        assert_eq!(
            name_of(&["Bearer secret of a", "Bearer secret of a"]),
            "unknown"
        );
    }

    #[test]
    fn what_is_printed_for_debugging_holds_no_hash() {
        let printed = format!("{:?}", tokens()[0]);
        assert!(
            printed.contains("\"a\"") && !printed.contains("sha256"),
            "{printed}"
        );
    }
}
