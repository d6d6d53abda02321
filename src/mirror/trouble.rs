//! Why a mirror does not follow its upstream. Everybody may see it who may see `/mirrors`: of an address it shows scheme, host
//! and port, and of what the upstream says a bounded piece without control characters.

use std::time::Duration;

use crate::keyspace::Refusal;
use crate::outbound::{CallError, OutboundError};

/// The most letters of what an upstream says that are shown.
const SAID: usize = 200;

/// Why a mirror does not follow its upstream.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The call could not be made, or broke off.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its authorities cannot be had.
    #[error(transparent)]
    Setup(#[from] OutboundError),
    /// The endpoint cannot be called at all, or no connection came about.
    #[error("{origin}: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// What failed.
        reason: String,
    },
    /// The token lies in a file that cannot be read.
    #[error("the token cannot be read: {reason}")]
    Token {
        /// Why not.
        reason: String,
    },
    /// The upstream refuses.
    #[error("the upstream answers {said}")]
    Refused {
        /// Its status, and what it says.
        said: String,
    },
    /// Nothing came for too long.
    #[error("no sign of life for {} ms", after.as_millis())]
    Silent {
        /// How long it was waited for.
        after: Duration,
    },
    /// The stream ended without a word, or with this one.
    #[error("the upstream ended the stream{said}")]
    Ended {
        /// Empty, or a colon and the word.
        said: String,
    },
    /// What came is not what was asked for.
    #[error("what the upstream sends cannot be read: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// What was asked for is not there.
    #[error("the upstream has no {what}")]
    Absent {
        /// What was asked for.
        what: String,
    },
    /// There is no such publication.
    #[error("the upstream has no publication {id:?}")]
    NoPublication {
        /// Its id.
        id: String,
    },
    /// Another task follows in the place of this one.
    #[error("another one follows")]
    Superseded,
    /// The values that could not be stored yet take too much memory.
    #[error("values that are not stored yet take more than {limit} bytes")]
    Unstored {
        /// The most, in bytes.
        limit: usize,
    },
    /// The store cannot be asked.
    #[error("the store: {0}")]
    Store(Refusal),
}

impl Trouble {
    /// An end of the stream for which the upstream gave `reason`.
    pub(super) fn bye(reason: &str) -> Self {
        Self::Ended {
            said: format!(": {}", shown(reason)),
        }
    }
}

/// What an upstream says, as it can be shown.
pub(super) fn shown(said: &str) -> String {
    said.chars()
        .take(SAID)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_upstream_says_is_shown_in_part_and_on_one_line() {
        let said = format!("a\nb\u{1b}[0m{}", "x".repeat(1000));
        let shown = shown(&said);
        assert!(shown.starts_with("a b [0mxxx"), "{shown}");
        assert_eq!(shown.chars().count(), SAID);
        let trouble = Trouble::bye("draining");
        assert_eq!(
            trouble.to_string(),
            "the upstream ended the stream: draining"
        );
    }
}
